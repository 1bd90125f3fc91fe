"""`/api/v1/usage/records`: a person's own provider calls, the latest first."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import QuerySet
from rest_framework import viewsets

from credentials.models import Scope
from usage.models import UsageRecord
from usage.serializers import UsageRecordSerializer


class UsageRecordViewSet(viewsets.ReadOnlyModelViewSet[UsageRecord]):
    serializer_class = UsageRecordSerializer
    lookup_value_regex = "[0-9a-f-]{36}"
    required_scopes: ClassVar = {"read": Scope.USAGE_READ}

    def get_queryset(self) -> QuerySet[UsageRecord]:
        return UsageRecord.objects.visible_to(self.request.user)
