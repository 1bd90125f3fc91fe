"""`/api/v1/users/me/model-aliases`: a person's own names for models."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework import serializers, viewsets
from rest_framework.serializers import as_serializer_error

from credentials.limits import limit
from credentials.models import LLMCredential, ModelAlias, Scope


class AliasSerializer(serializers.ModelSerializer[ModelAlias]):
    """The model checks itself, so that the page and this refuse the same."""

    credential_id = serializers.PrimaryKeyRelatedField(
        source="credential", queryset=LLMCredential.objects.none(), required=False, allow_null=True
    )

    class Meta:
        model = ModelAlias
        fields = (
            "id", "name", "provider", "model_name", "credential_id", "created_at", "updated_at",
        )  # fmt: skip

    def get_fields(self) -> dict[str, Any]:
        """Keys of others are not there."""
        fields: dict[str, Any] = super().get_fields()
        if (request := self.context.get("request")) is not None:
            own = LLMCredential.objects.owned_by(request.user).active()
            fields["credential_id"].queryset = own
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        kept = ("name", "provider", "model_name", "credential")
        before = {name: getattr(self.instance, name) for name in kept} if self.instance else {}
        row = ModelAlias(owner=self.context["request"].user, **{**before, **attrs})
        if self.instance:
            row.pk, row._state.adding = self.instance.pk, False
        try:
            row.full_clean()
        except ValidationError as error:
            raise serializers.ValidationError(as_serializer_error(error)) from None
        return {**attrs, "owner": row.owner}


class AliasViewSet(viewsets.ModelViewSet[ModelAlias]):
    """Make, list, read, change and delete one's own aliases; others' are not there."""

    serializer_class = AliasSerializer
    pagination_class = None
    lookup_value_regex = "[0-9a-f-]{36}"
    required_scopes: ClassVar = {
        "read": Scope.CREDENTIALS_READ,
        "write": Scope.CREDENTIALS_WRITE,
    }

    def get_queryset(self) -> QuerySet[ModelAlias]:
        return ModelAlias.objects.owned_by(self.request.user)

    def perform_create(self, serializer: Any) -> None:
        limit("changes of keys", self.request.user.pk)
        serializer.save()

    perform_update = perform_create
