"""`/api/v1/usage/records`: a person's own provider calls, the latest first."""

from __future__ import annotations

from django.db.models import QuerySet
from rest_framework import viewsets

from usage.models import UsageRecord
from usage.serializers import UsageRecordSerializer


class UsageRecordViewSet(viewsets.ReadOnlyModelViewSet[UsageRecord]):
    serializer_class = UsageRecordSerializer
    lookup_value_regex = "[0-9a-f-]{36}"

    def get_queryset(self) -> QuerySet[UsageRecord]:
        return UsageRecord.objects.visible_to(self.request.user)
