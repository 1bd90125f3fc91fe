"""The admin's forms for keys. They write through the services, like everything that changes keys,
so that each change keeps their rules and leaves its event in the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.db import transaction

from credentials import services
from credentials.forms import KeyField, LaterExpiry, ParamsField, ProviderField
from credentials.models import LLMCredential
from credentials.refusals import REFUSALS, refuse

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[LLMCredential]
else:
    ModelForm = forms.ModelForm


class AdminKeyForm(LaterExpiry, ModelForm):
    """The service writes in the place of the model form's own checks and `save`: only while the
    form is checked can a refusal still be shown by its field."""

    params = ParamsField(max_length=5000, required=False, help_text="JSON, for every call.")

    def _post_clean(self) -> None:
        if self.errors:
            return
        try:
            with transaction.atomic():  # all of the changes, or none
                self.instance = self.write()
        except REFUSALS as error:
            refuse(self, error, self.cleaned_data.get("provider") or self.instance.provider)

    def write(self) -> LLMCredential:
        raise NotImplementedError

    def save(self, commit: bool = True) -> LLMCredential:
        return self.instance

    def save_m2m(self) -> None:
        """The admin calls it."""


class SystemKeyForm(AdminKeyForm):
    """A new key of the system's own."""

    provider = ProviderField()
    api_key = KeyField(help_text="Sealed before it is stored. To test it, use the list's actions.")

    def write(self) -> LLMCredential:
        values = dict(self.cleaned_data)
        values["is_default"] = values["is_default"] or None  # the first one is, always
        return services.add_credential(owner=None, **values)


class ChangeKeyForm(AdminKeyForm):
    """Somebody's own key: all but the key and its host."""

    def write(self) -> LLMCredential:
        # A row of its own: what a service refuses would stay on the one that the page shows.
        credential = LLMCredential.objects.select_related("owner").get(pk=self.instance.pk)
        self.change(credential, {name: self.cleaned_data[name] for name in self.changed_data})
        return credential

    def change(self, credential: LLMCredential, changes: dict[str, Any]) -> None:
        if changes.pop("is_default", False):
            services.set_default(credential=credential)
        elif "is_default" in self.changed_data:
            changes["is_default"] = False
        if changes:
            services.update_credential(credential=credential, **changes)


class ChangeSystemKeyForm(ChangeKeyForm):
    """A key of the system's own, which can also be replaced."""

    api_key = KeyField(
        label="New API key",
        required=False,
        help_text="Empty: the key stays. A new base URL needs the key again.",
    )

    def change(self, credential: LLMCredential, changes: dict[str, Any]) -> None:
        if key := changes.pop("api_key", ""):
            services.rotate_key(
                credential=credential,
                api_key=key,
                base_url=changes.pop("base_url", None),
                validate=False,
            )
        super().change(credential, changes)
