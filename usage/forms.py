"""What pages and the API ask usage by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.utils import timezone

from providers import registry
from usage.daily import EVERYONE, Dimension
from usage.models import Status, Surface, UsageQuerySet, UsageRecord
from usage.summary import Period

PERIODS = (7, 30, 90)
LONGEST_DAYS = 1100
GROUPS = ("day", *(d.value for d in Dimension if d != Dimension.ALL))


class UsageForm(forms.Form):
    """Dates and whose calls. `from` and `to` are no names that a class body could have."""

    everyone = forms.BooleanField(required=False, label="Everyone’s")

    def __init__(self, data: Mapping[str, Any], *, user: AbstractBaseUser | AnonymousUser) -> None:
        super().__init__(data)
        self.user = user
        widget = forms.DateInput(attrs={"type": "date"})
        self.fields["from"] = forms.DateField(required=False, label="From", widget=widget)
        self.fields["to"] = forms.DateField(required=False, label="To", widget=widget)
        if not self.may_see_everyone:
            self.fields["everyone"].widget = forms.HiddenInput()

    @property
    def may_see_everyone(self) -> bool:
        return bool(getattr(self.user, "is_staff", False))

    @property
    def everyone_asked(self) -> bool:
        return self.may_see_everyone and bool(self.cleaned_data.get("everyone"))

    def clean_everyone(self) -> bool:
        wanted = bool(self.cleaned_data["everyone"])
        if wanted and not self.may_see_everyone:
            raise forms.ValidationError("Only staff see everyone’s usage.")
        return wanted

    @property
    def owner(self) -> int:
        return EVERYONE if self.everyone_asked else int(self.user.pk or 0)


class SummaryForm(UsageForm):
    """A period and what to group it by. Without dates it is the last `days` days, with today."""

    days = forms.TypedChoiceField(
        choices=[(n, f"{n} days") for n in PERIODS], coerce=int, required=False
    )
    group_by = forms.ChoiceField(choices=[(name, name) for name in GROUPS], required=False)
    compare = forms.ChoiceField(choices=[("previous", "previous")], required=False)

    def clean_group_by(self) -> str:
        group_by = str(self.cleaned_data["group_by"])
        if group_by == Dimension.USER and not self.may_see_everyone:
            raise forms.ValidationError("Only staff see everyone’s usage.")
        return group_by

    def clean(self) -> dict[str, Any]:
        start, end = self._dates()
        if start > end:
            self.add_error("from", "The first day is after the last one.")
        elif (end - start).days >= LONGEST_DAYS:
            self.add_error("from", f"At most {LONGEST_DAYS} days at a time.")
        return self.cleaned_data

    def _dates(self) -> tuple[Any, Any]:
        end = self.cleaned_data.get("to") or timezone.now().astimezone(UTC).date()
        days = self.cleaned_data.get("days") or 30
        return self.cleaned_data.get("from") or end - timedelta(days=days - 1), end

    @property
    def period(self) -> Period:
        """The period that was asked for; the default where that makes no sense."""
        if self.is_valid():
            return Period(*self._dates())
        today = timezone.now().astimezone(UTC).date()
        return Period(today - timedelta(days=29), today)

    @property
    def owner(self) -> int:
        by_user = self.cleaned_data.get("group_by") == Dimension.USER
        return EVERYONE if by_user else super().owner


class RecordsForm(UsageForm):
    """Filters of the records list; what is left empty does not filter."""

    provider = forms.ChoiceField(required=False)
    model = forms.CharField(required=False, max_length=128)
    status = forms.ChoiceField(choices=[("", "Any outcome"), *Status.choices], required=False)
    surface = forms.ChoiceField(choices=[("", "Any surface"), *Surface.choices], required=False)
    credential = forms.UUIDField(required=False, widget=forms.HiddenInput())
    field_order = ("from", "to", "provider", "model", "status", "surface", "everyone")

    def __init__(self, data: Mapping[str, Any], *, user: AbstractBaseUser | AnonymousUser) -> None:
        super().__init__(data, user=user)
        providers = [(name, registry.label(name)) for name in registry.names()]
        provider = self.fields["provider"]
        assert isinstance(provider, forms.ChoiceField)
        provider.choices = [("", "Any provider"), *providers]
        self.order_fields(self.field_order)

    def records(self) -> UsageQuerySet:
        """The rows asked for; none where the question makes no sense."""
        if not self.is_valid():
            return UsageRecord.objects.none()
        rows = UsageRecord.objects.all()
        if not self.everyone_asked:
            rows = rows.visible_to(self.user)
        asked = self.cleaned_data
        for name in ("provider", "model", "status", "surface", "credential"):
            if asked[name]:
                rows = rows.filter(**{name: asked[name]})
        if asked["from"]:
            rows = rows.filter(created_at__gte=datetime.combine(asked["from"], time.min, UTC))
        if asked["to"]:
            end = asked["to"] + timedelta(days=1)
            rows = rows.filter(created_at__lt=datetime.combine(end, time.min, UTC))
        return rows
