"""`/api/v1/users/me/audit-events`: what was done to one's own keys and tokens."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import QuerySet
from rest_framework import serializers, viewsets

from credentials.audit import AuditEvent
from credentials.models import Scope


class AuditEventSerializer(serializers.ModelSerializer[AuditEvent]):
    address = serializers.CharField(source="own_address", read_only=True)

    class Meta:
        model = AuditEvent
        fields = (
            "position", "at", "actor_id", "actor_name", "action", "object_type", "object_id",
            "outcome", "provider", "last4", "address", "detail", "digest",
        )  # fmt: skip
        read_only_fields = fields


class AuditEventViewSet(viewsets.ReadOnlyModelViewSet[AuditEvent]):
    """The latest first; there is nothing to change."""

    serializer_class = AuditEventSerializer
    lookup_value_regex = "[^/]+"
    required_scopes: ClassVar = {"read": Scope.CREDENTIALS_READ}

    def get_queryset(self) -> QuerySet[AuditEvent]:
        return AuditEvent.objects.of_owner(self.request.user)
