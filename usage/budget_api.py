"""`/api/v1/usage/budgets`: one's own budgets. Staff keep everyone's in the admin.

A budget limits what an access token may spend, so no token may change one: that takes a person
who has signed in.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework import serializers, viewsets

from credentials.models import AccessToken, LLMCredential, Scope
from usage.budget_models import Budget, Unit
from usage.budgets import fresh

_LARGEST = Decimal(10) ** 9


class BudgetSerializer(serializers.ModelSerializer[Budget]):
    """Amounts are decimal strings, in dollars or tokens as `unit` says. Without `access_token_id`
    and `credential_id` a budget is for all of one's own calls."""

    limit = serializers.DecimalField(
        max_digits=18, decimal_places=9, min_value=Decimal(0), max_value=_LARGEST
    )
    spent = serializers.DecimalField(max_digits=20, decimal_places=9, read_only=True)
    rolls_at = serializers.DateTimeField(source="resets_at", read_only=True)
    reserved = serializers.DecimalField(max_digits=20, decimal_places=9, read_only=True)
    access_token_id = serializers.PrimaryKeyRelatedField(
        source="access_token", queryset=AccessToken.objects.none(), required=False, allow_null=True
    )
    credential_id = serializers.PrimaryKeyRelatedField(
        source="credential", queryset=LLMCredential.objects.none(), required=False, allow_null=True
    )

    class Meta:
        model = Budget
        fields = (
            "id", "name", "limit", "unit", "spent", "reserved", "percent", "period", "is_rolling",
            "time_zone", "access_token_id", "credential_id", "is_hard", "refuses_unpriced",
            "is_active", "counted_from", "rolls_at", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = ("counted_from",)

    def get_fields(self) -> dict[str, Any]:
        """Tokens and keys of others are not there."""
        fields: dict[str, Any] = super().get_fields()
        if (request := self.context.get("request")) is not None:
            fields["access_token_id"].queryset = AccessToken.objects.owned_by(request.user)
            fields["credential_id"].queryset = LLMCredential.objects.owned_by(request.user)
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        row = self.instance or Budget()
        token = attrs.get("access_token", row.access_token)
        key = attrs.get("credential", row.credential)
        if token and key:
            raise serializers.ValidationError("A budget is for one token or one credential.")
        limit, unit = attrs.pop("limit", row.limit if self.instance else None), attrs.get("unit")
        row.unit = Unit(unit or row.unit)
        owner = self.context["request"].user
        user = None if token or key else owner
        return {**attrs, "limit_units": row.units(limit), "owner": owner, "user": user}


class BudgetViewSet(viewsets.ModelViewSet[Budget]):
    serializer_class = BudgetSerializer
    pagination_class = None
    lookup_value_regex = "[0-9a-f-]{36}"
    required_scopes: ClassVar = {"read": Scope.USAGE_READ, "write": None}  # closed to tokens

    def get_queryset(self) -> QuerySet[Budget]:
        rows = Budget.objects.owned_by(self.request.user)
        if self.action in ("list", "retrieve"):
            fresh(rows)
        return rows.select_related("access_token", "credential")

    def perform_create(self, serializer: Any) -> None:
        serializer.save()
        serializer.instance = fresh([serializer.instance])[0]

    perform_update = perform_create
