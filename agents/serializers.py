"""What the sessions API takes and gives."""

from __future__ import annotations

import base64
from typing import Any

from rest_framework import serializers

from agents.models import AgentSession, Message, Policy
from credentials.serializers import ParamsField
from usage.serializers import UsageRecordSerializer

MAX_TEXT = 200_000  # characters; more than any model's window holds
MAX_FALLBACK = 5
MAX_TOOLS = 20  # names of tools and servers
MAX_IMAGES = 10
IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif")


class SessionSerializer(serializers.ModelSerializer[AgentSession]):
    class Meta:
        model = AgentSession
        fields = (
            "id", "title", "goal", "instructions", "credential_id", "provider", "model", "params",
            "tools", "policy", "fallback", "status", "reason", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = fields


class FallbackEntry(serializers.Serializer[Any]):
    """An entry of a fallback chain: a credential, or a provider by the usual order; a model."""

    credential_id = serializers.CharField(max_length=36, required=False)
    provider = serializers.CharField(max_length=32, allow_blank=True, required=False)
    model = serializers.CharField(max_length=128, allow_blank=True, required=False)


class SessionWrite(serializers.Serializer[AgentSession]):
    """The body of POST. Without credential, provider and model: the usual selection order."""

    title = serializers.CharField(max_length=120, allow_blank=True, default="")
    goal = serializers.CharField(max_length=MAX_TEXT, allow_blank=True, default="")
    instructions = serializers.CharField(max_length=MAX_TEXT, allow_blank=True, default="")
    credential_id = serializers.CharField(max_length=36, allow_null=True, default=None)
    provider = serializers.CharField(max_length=32, allow_blank=True, default="")
    model = serializers.CharField(max_length=128, allow_blank=True, default="")
    params = ParamsField(default=dict)
    tools = serializers.ListField(
        child=serializers.CharField(max_length=40), max_length=MAX_TOOLS, default=list
    )
    policy = serializers.ChoiceField(Policy.choices, allow_blank=True, default="")
    fallback = serializers.ListField(child=FallbackEntry(), max_length=MAX_FALLBACK, default=list)


class MessageSerializer(serializers.ModelSerializer[Message]):
    content = serializers.CharField(source="text")
    parts = serializers.ListField(source="content", read_only=True)
    record = UsageRecordSerializer(read_only=True)

    class Meta:
        model = Message
        fields = (
            "id", "position", "role", "content", "parts", "record", "finish_reason", "created_at",
        )  # fmt: skip
        read_only_fields = fields


class ImageWrite(serializers.Serializer[Any]):
    """An image of a message, its bytes in base64."""

    media_type = serializers.ChoiceField(IMAGE_TYPES)
    data = serializers.CharField()  # type: ignore[assignment]  # DRF takes it out of the class

    def validate_data(self, value: str) -> bytes:
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            raise serializers.ValidationError("This is not base64.") from None


class MessageWrite(serializers.Serializer[Any]):
    """`params` win over the session's for this turn; `fallback` stands in the place of its chain,
    also an empty one."""

    content = serializers.CharField(max_length=MAX_TEXT)
    images = serializers.ListField(child=ImageWrite(), max_length=MAX_IMAGES, default=list)
    stream = serializers.BooleanField(default=False)
    params = ParamsField(default=dict)
    fallback = serializers.ListField(child=FallbackEntry(), max_length=MAX_FALLBACK, default=None)
