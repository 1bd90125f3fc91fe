"""`/api/v1/benchmarks/runs`: a person's own benchmark runs, the latest first."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpResponseBase
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from benchmarks import background, store
from benchmarks.asking import RunRequest
from benchmarks.files import KINDS, as_file
from benchmarks.models import BenchmarkRun
from benchmarks.serializers import RunListSerializer, RunSerializer, SampleSerializer
from benchmarks.starting import LIMITS, StartError, prepared, start
from credentials.models import AccessToken, Scope


class CannotGoOn(StartError):
    """{reason}"""

    status = 409
    code = "not_resumable"


def token_of(request: Request) -> AccessToken | None:
    return request.auth if isinstance(request.auth, AccessToken) else None


class BenchmarkRunViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[BenchmarkRun]
):
    lookup_value_regex = "[0-9a-f-]{36}"
    required_scopes: ClassVar = {"read": Scope.BENCHMARKS, "write": Scope.BENCHMARKS}

    def get_queryset(self) -> QuerySet[BenchmarkRun]:
        own = BenchmarkRun.objects.owned_by(self.request.user)
        return own.light() if self.action == "list" else own

    def get_serializer_class(self) -> type[BaseSerializer[BenchmarkRun]]:
        return RunListSerializer if self.action == "list" else RunSerializer

    def create(self, request: Request) -> Response:
        """Starts a run; a task worker carries it out. Raises StartError."""
        asked = RunRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        token = token_of(request)
        plan = asked.plan_for(request.user, token)
        run = start(plan=plan, source=asked.whose, user=request.user, token=token)
        run.refresh_from_db()
        return Response(RunSerializer(run).data, status=201)

    @action(detail=False, methods=["post"])
    def estimate(self, request: Request) -> Response:
        """What the same body would start, and what that can cost at most. Starts nothing."""
        asked = RunRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        token = token_of(request)
        plan = asked.plan_for(request.user, token)
        ready = prepared(plan=plan, source=asked.whose, user=request.user, token=token)
        body = {
            "calls": ready.calls,
            "most_cost_usd": f"{ready.most:f}",
            "max_cost_usd": f"{plan.max_cost:f}",
            "skipped": dict(ready.keys.skipped),
        }
        return Response(body)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """With its calls; what they cost stays in the ledger. Raises UnderWay."""
        store.delete(self.get_object().pk)
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stops it after the calls under way. 202 if it goes on until then, else 200."""
        run = self.get_object()
        asked = store.cancel(run.pk)
        run.refresh_from_db()
        return Response(RunSerializer(run).data, status=202 if asked and run.is_under_way else 200)

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Makes the calls that are missing of a run that stopped early."""
        run = self.get_object()
        asked = ResumeRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            store.reopen(run.pk, max_cost=asked.validated_data["max_cost_usd"])
        except store.NotResumable as error:
            raise CannotGoOn(reason=error) from None
        background.go_on(run.pk)
        run.refresh_from_db()
        return Response(RunSerializer(run).data, status=202)

    @action(detail=True)
    def samples(self, request: Request, pk: str) -> Response:
        """Its calls, in the order of the plan."""
        paginator = LimitOffsetPagination()
        rows = self.get_object().samples.order_by("order")
        page = paginator.paginate_queryset(rows, request, view=self)
        return paginator.get_paginated_response(SampleSerializer(page or [], many=True).data)

    @action(detail=True)
    def export(self, request: Request, pk: str) -> HttpResponseBase:
        """The run as a file: `?as=json` (the whole, as the command writes it), `csv` or `jsonl`
        (its calls) or `html` (the report)."""
        kind: Any = request.query_params.get("as", "json")
        if kind not in KINDS:
            raise serializers.ValidationError({"as": [f"Name one of {', '.join(KINDS)}."]})
        return as_file(self.get_object(), kind)


class ResumeRequest(serializers.Serializer[Any]):
    """`max_cost_usd` in place of the run's limit, if it is named."""

    max_cost_usd = serializers.DecimalField(**LIMITS, required=False, allow_null=True, default=None)
