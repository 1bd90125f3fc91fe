"""`/api/v1/benchmarks/runs`: a person's own benchmark runs, the latest first."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import QuerySet
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from benchmarks.models import BenchmarkRun
from benchmarks.serializers import RunListSerializer, RunSerializer, SampleSerializer
from credentials.models import Scope


class BenchmarkRunViewSet(viewsets.ReadOnlyModelViewSet[BenchmarkRun]):
    lookup_value_regex = "[0-9a-f-]{36}"
    required_scopes: ClassVar = {"read": Scope.BENCHMARKS}

    def get_queryset(self) -> QuerySet[BenchmarkRun]:
        return BenchmarkRun.objects.owned_by(self.request.user)

    def get_serializer_class(self) -> type[BaseSerializer[BenchmarkRun]]:
        return RunListSerializer if self.action == "list" else RunSerializer

    @action(detail=True)
    def samples(self, request: Request, pk: str) -> Response:
        """Its calls, in the order of the plan."""
        paginator = LimitOffsetPagination()
        page = paginator.paginate_queryset(self.get_object().samples.all(), request, view=self)
        return paginator.get_paginated_response(SampleSerializer(page or [], many=True).data)
