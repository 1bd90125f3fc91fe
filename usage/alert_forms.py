"""What a person wants to hear of, and how."""

from __future__ import annotations

from django import forms

from providers.keys import webhook_flaw
from usage.models import AlertPreference


class AlertPreferenceForm(forms.ModelForm[AlertPreference]):
    template_name = "forms/fields.html"

    class Meta:
        model = AlertPreference
        fields = ("budget", "spike", "errors", "keys", "by_mail", "webhook_url")
        help_texts = {"webhook_url": "An https address that takes a POST of JSON."}  # noqa: RUF012
        widgets = {"webhook_url": forms.URLInput(attrs={"autocomplete": "off"})}  # noqa: RUF012

    def clean_webhook_url(self) -> str:
        url: str = self.cleaned_data["webhook_url"].strip()
        if url and (flaw := webhook_flaw(url)):
            raise forms.ValidationError(f"This address can't be used: {flaw}.", code="bad_url")
        return url
