"""`/api/v1/usage/…`: a person's own provider calls, one by one and summed up."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework import viewsets
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from credentials.models import Scope
from usage.daily import Dimension
from usage.forms import RecordsForm, SummaryForm, UsageForm
from usage.models import UsageRecord
from usage.paging import BadCursor, Cursor, page_of
from usage.serializers import UsageRecordSerializer
from usage.summary import Figures, Group, by_day, by_value, read, total
from usage.waiting import waiting_of

PAGE = 50
LARGEST_PAGE = 500


class KeyPagination(BasePagination):
    """`{next, previous, results}`: addresses of the older and of the newer rows."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        try:
            text = request.query_params.get("cursor")
            self.page = page_of(queryset, Cursor.parse(text) if text else None, _size(request))
        except BadCursor as error:
            raise ValidationError({"cursor": [str(error)]}) from None
        self.address = request.build_absolute_uri()
        return self.page.rows

    def get_paginated_response(self, data: Any) -> Response:
        links = {"next": self._link(self.page.older), "previous": self._link(self.page.newer)}
        return Response({**links, "results": data})

    def _link(self, cursor: Cursor | None) -> str | None:
        return replace_query_param(self.address, "cursor", str(cursor)) if cursor else None


def _size(request: Request) -> int:
    text = request.query_params.get("limit", "")
    return min(max(int(text), 1), LARGEST_PAGE) if text.isdecimal() else PAGE


class UsageRecordViewSet(viewsets.ReadOnlyModelViewSet[UsageRecord]):
    serializer_class = UsageRecordSerializer
    pagination_class = KeyPagination
    lookup_value_regex = "[0-9a-f-]{36}"
    required_scopes: ClassVar = {"read": Scope.USAGE_READ}

    def get_queryset(self) -> QuerySet[UsageRecord]:
        if self.detail:
            return UsageRecord.objects.visible_to(self.request.user)
        form = RecordsForm(self.request.query_params, user=self.request.user)
        ensure_valid(form)
        return form.records()


def ensure_valid(form: UsageForm) -> None:
    """Raises ValidationError."""
    if not form.is_valid():
        raise ValidationError(
            {name: [str(text) for text in texts] for name, texts in form.errors.items()}
        )


class SummaryView(APIView):
    required_scopes: ClassVar = {"read": Scope.USAGE_READ}

    def get(self, request: Request) -> Response:
        form = SummaryForm(request.query_params, user=request.user)
        ensure_valid(form)
        return Response(summary(form))


def summary(form: SummaryForm) -> dict[str, Any]:
    """The body of the answer; `compare=previous` adds the same number of days before."""
    period, group_by = form.period, form.cleaned_data["group_by"] or "day"
    waiting = waiting_of(form.owner)
    sums = [Dimension.ALL, Dimension.PAID_BY, group_by]
    cells = read(form.owner, sums, period, waiting=waiting)
    groups = by_day(cells, period) if group_by == "day" else by_value(cells, group_by)
    body: dict[str, Any] = {
        "from": period.start,
        "to": period.end,
        "group_by": group_by,
        "is_complete": not waiting.too_many,
        "total": body_of(total(cells)),
        "paid_by": {g.key: body_of(g.figures) for g in by_value(cells, Dimension.PAID_BY)},
        "groups": [_group_body(group) for group in groups],
    }
    if form.cleaned_data["compare"]:
        before = period.previous
        figures = total(read(form.owner, [Dimension.ALL], before, waiting=waiting))
        body["previous"] = {"from": before.start, "to": before.end, "total": body_of(figures)}
    return body


def _group_body(group: Group) -> dict[str, Any]:
    return {"key": group.key, "label": group.label, **body_of(group.figures)}


def body_of(figures: Figures) -> dict[str, Any]:
    body = asdict(figures)
    durations = {name: body.pop(name) for name in DURATIONS}
    rounded = {name: None if ms is None else round(ms, 1) for name, ms in durations.items()}
    return {
        **body,
        "cost_usd": f"{figures.cost_usd:f}",
        **{f"{n}_ms": v for n, v in rounded.items()},
    }


DURATIONS = ("latency_p50", "latency_p95", "latency_p99", "first_token_p50", "first_token_p95")
