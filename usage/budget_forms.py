"""The forms to make and change budgets: one for people, one for staff."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from django import forms

from credentials.models import AccessToken, LLMCredential
from usage.budget_models import Budget, Unit

MOST_UNITS = 2**63 - 1


@cache
def time_zones() -> list[tuple[str, str]]:
    """Places, and UTC; not the old names and abbreviations."""
    places = sorted(name for name in available_timezones() if "/" in name and name[:3] != "Etc")
    return [("UTC", "UTC"), *((name, name.replace("_", " ")) for name in places)]


class LimitForm(forms.ModelForm[Budget]):
    """A budget with its limit in dollars or tokens."""

    template_name = "forms/fields.html"

    limit = forms.DecimalField(
        min_value=Decimal(0), max_digits=18, decimal_places=9, help_text="In US dollars or tokens."
    )

    class Meta:
        model = Budget
        fields: tuple[str, ...] = (
            "name", "limit", "unit", "period", "is_rolling", "time_zone", "user", "access_token",
            "credential", "is_hard", "refuses_unpriced", "is_active",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kept = self.instance.time_zone
        zones = time_zones() if kept in dict(time_zones()) else [(kept, kept), *time_zones()]
        self.fields["time_zone"].widget = forms.Select(choices=zones)
        if self.instance.limit_units is not None:
            self.fields["limit"].initial = self.instance.limit.normalize()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        limit, unit = cleaned.get("limit"), cleaned.get("unit")
        if limit is not None and unit is not None:
            self.instance.unit = Unit(unit)
            self.instance.limit_units = self.instance.units(limit)
            if self.instance.limit_units > MOST_UNITS:
                self.add_error("limit", "This is more than can be counted.")
        return cleaned


class OwnBudgetForm(LimitForm):
    """For what is one's own: all calls, those of a token, or those on a key."""

    class Meta(LimitForm.Meta):
        fields = (
            "name", "limit", "unit", "period", "is_rolling", "time_zone", "access_token",
            "credential", "is_hard", "refuses_unpriced", "is_active",
        )  # fmt: skip

    def __init__(self, *args: Any, owner: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.owner = owner
        for name, model in (("access_token", AccessToken), ("credential", LLMCredential)):
            field: Any = self.fields[name]
            field.queryset = model.objects.owned_by(owner)
            field.empty_label = "all of mine"

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        self.instance.owner = self.owner
        one_thing = cleaned.get("access_token") or cleaned.get("credential")
        self.instance.user = None if one_thing else self.owner
        return cleaned
