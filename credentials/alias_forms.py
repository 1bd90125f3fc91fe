"""The form to make and change a model alias."""

from __future__ import annotations

from typing import Any

from django import forms

from credentials.models import LLMCredential, ModelAlias
from providers import registry


class AliasForm(forms.ModelForm[ModelAlias]):
    template_name = "forms/fields.html"

    provider = forms.ChoiceField(
        choices=lambda: [(name, registry.label(name)) for name in registry.names()]
    )

    class Meta:
        model = ModelAlias
        fields = ("name", "provider", "model_name", "credential")
        labels = {"model_name": "Model", "credential": "Pay with"}  # noqa: RUF012

    def __init__(self, *args: Any, owner: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.owner = owner
        field: Any = self.fields["credential"]
        field.queryset = LLMCredential.objects.owned_by(owner).active()
        field.empty_label = "The usual order: my default, then the system’s"

    def clean_name(self) -> str:
        """The owner is no field of the form, so Django does not look for a twin by itself."""
        name = str(self.cleaned_data["name"])
        others = ModelAlias.objects.owned_by(self.instance.owner).exclude(pk=self.instance.pk)
        if others.filter(name=name).exists():
            raise forms.ValidationError("You have an alias of this name already.")
        return name
