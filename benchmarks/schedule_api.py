"""`/api/v1/benchmarks/schedules`: runs that are to be made again and again."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework import viewsets
from rest_framework.request import Request

from benchmarks.api import token_of
from benchmarks.asking import RunRequest
from benchmarks.models import BenchmarkSchedule
from benchmarks.plan_json import plan_to_json
from benchmarks.serializers import ScheduleSerializer
from benchmarks.starting import prepared
from credentials.models import Scope


class BenchmarkScheduleViewSet(viewsets.ModelViewSet[BenchmarkSchedule]):
    """`run` in a body is what `POST /benchmarks/runs` takes. A schedule that a token made, or
    whose run it changed, ends with the token."""

    serializer_class = ScheduleSerializer
    lookup_value_regex = "[0-9a-f-]{36}"
    required_scopes: ClassVar = {"read": Scope.BENCHMARKS, "write": Scope.BENCHMARKS}

    def get_queryset(self) -> QuerySet[BenchmarkSchedule]:
        return BenchmarkSchedule.objects.owned_by(self.request.user)

    def perform_create(self, serializer: Any) -> None:
        values = self._run_of(self.request)
        rhythm = BenchmarkSchedule(**serializer.validated_data).rhythm
        serializer.save(owner=self.request.user, next_at=rhythm.after(timezone.now()), **values)

    def perform_update(self, serializer: Any) -> None:
        """What is due next follows from the rhythm, so it is reckoned anew."""
        values = self._run_of(self.request) if "run" in self.request.data else {}
        if token := token_of(self.request):
            values["access_token"] = token
        row = serializer.save(**values)
        row.next_at, row.note = row.rhythm.after(timezone.now()), ""
        row.save(update_fields=["next_at", "note"])

    def _run_of(self, request: Request) -> dict[str, Any]:
        """Raises StartError for a run that could not be made now either."""
        body: Any = request.data
        asked = RunRequest(data=body.get("run"))
        asked.is_valid(raise_exception=True)
        token = token_of(request)
        plan = asked.plan_for(request.user, token)
        prepared(plan=plan, source=asked.whose, user=request.user, token=token)
        return {"plan": {"keys": asked.whose, **plan_to_json(plan)}, "access_token": token}
