"""What the credentials API takes and gives. A key goes in and never comes out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from credentials.models import LLMCredential
from providers.params import InvalidParams, check_params


class ParamsField(serializers.DictField):
    """Call parameters as `providers.params` knows them."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        try:
            return check_params(super().to_internal_value(data))
        except InvalidParams as error:
            raise serializers.ValidationError(str(error)) from None


class CredentialSerializer(serializers.ModelSerializer[LLMCredential]):
    """The body of an answer. Everything is read-only: writes go through `CredentialWrite`."""

    api_key_masked = serializers.CharField(read_only=True)
    user_id = serializers.IntegerField(source="owner_id", read_only=True)

    class Meta:
        model = LLMCredential
        fields = (
            "id", "user_id", "provider", "label", "model_name", "api_key_masked", "fingerprint",
            "base_url", "params", "is_default", "is_active", "is_simulated", "expires_at",
            "last_used_at", "last_validated_at", "last_error", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = fields


class CredentialWrite(serializers.Serializer[LLMCredential]):
    """The body of POST; with `partial=True`, of PATCH. Checks of the key are the service's."""

    provider = serializers.CharField(max_length=32)
    api_key = serializers.CharField(
        max_length=5000, trim_whitespace=False, allow_blank=True, write_only=True
    )
    label = serializers.CharField(  # type: ignore[assignment]  # a field may be called label
        max_length=80, allow_blank=True, required=False
    )
    model_name = serializers.CharField(max_length=128, allow_blank=True, required=False)
    base_url = serializers.CharField(max_length=500, allow_blank=True, required=False)
    params = ParamsField(required=False)
    is_default = serializers.BooleanField(required=False)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    validate_key = serializers.BooleanField(required=False)

    def get_fields(self) -> dict[str, Any]:
        """The field is named `validate` outside; as an attribute that is a method of ours."""
        fields: dict[str, Any] = super().get_fields()
        fields["validate"] = fields.pop("validate_key")
        return fields

    def validate_expires_at(self, value: datetime | None) -> datetime | None:
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError("This date has passed already.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if self.partial and "provider" in attrs:
            raise serializers.ValidationError(
                {"provider": "The provider can't be changed. Add another credential instead."}
            )
        return attrs


class KeyToTest(serializers.Serializer[Any]):
    """The body of a test of a key that is not stored."""

    provider = serializers.CharField(max_length=32)
    api_key = serializers.CharField(max_length=5000, trim_whitespace=False, allow_blank=True)
    base_url = serializers.CharField(max_length=500, allow_blank=True, default="")
    model_name = serializers.CharField(max_length=128, allow_blank=True, default="")
