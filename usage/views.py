"""Pages of usage: what it comes to, call by call, and as a file."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render

from usage.charts import chart_data, deltas
from usage.daily import EVERYONE, Dimension
from usage.export import FORMATS, exported
from usage.forms import PERIODS, RecordsForm, SummaryForm
from usage.models import UsageRecord
from usage.paging import BadCursor, Cursor, page_of
from usage.summary import by_day, by_value, read, total, totals_of
from usage.waiting import waiting_of

CALLS_PER_PAGE = 50
BREAKDOWNS = ("model", "provider", "credential", "surface", "token", "paid_by")


@login_required
def usage(request: HttpRequest) -> HttpResponse:
    form = SummaryForm(request.GET, user=request.user)
    period = form.period
    owner = form.owner if form.is_valid() else int(request.user.pk or 0)
    group_by = _breakdown(form)
    waiting = waiting_of(owner)
    sums = [Dimension.PROVIDER, Dimension.PAID_BY]
    costs = read(owner, sums, period, waiting=waiting, durations=False)
    cells = read(owner, [Dimension.ALL, group_by], period, waiting=waiting)
    totals, days = total(cells), by_day(cells, period)
    before = total(read(owner, [Dimension.ALL], period.previous, waiting=waiting))
    context = {
        "form": form,
        "period": period,
        "periods": PERIODS,
        "chosen": None if _dated(form) else len(period.days),
        "everyone": owner == EVERYONE,
        "totals": totals,
        "before": before,
        "deltas": deltas(totals, before),
        "paid_by": by_value(costs, Dimension.PAID_BY),
        "days": [day for day in reversed(days) if day.figures.calls],
        "charts": chart_data(costs, days),
        "group_by": group_by,
        "breakdowns": _tabs(request, owner),
        "groups": by_value(cells, group_by)[:CALLS_PER_PAGE],
        "incomplete": waiting.too_many,
        "ever": waiting.too_many or bool(totals.calls or totals_of(owner).calls),
    }
    return render(request, "usage/usage.html", context)


def _breakdown(form: SummaryForm) -> str:
    wanted = str(form.cleaned_data.get("group_by") or "")
    return wanted if wanted in (*BREAKDOWNS, Dimension.USER) else BREAKDOWNS[0]


def _dated(form: SummaryForm) -> bool:
    return bool(form.cleaned_data.get("from") or form.cleaned_data.get("to"))


def _tabs(request: HttpRequest, owner: int) -> list[tuple[str, str, str]]:
    """(dimension, label, query) of each breakdown; the rest of the question stays."""
    names = (*BREAKDOWNS, Dimension.USER) if owner == EVERYONE else BREAKDOWNS
    return [(name, Dimension(name).label, _query(request, group_by=name)) for name in names]


def _query(request: HttpRequest, **changes: str | None) -> str:
    query = request.GET.copy()
    for name, value in changes.items():
        query.pop(name, None)
        if value is not None:
            query[name] = value
    return query.urlencode()


@login_required
def records(request: HttpRequest) -> HttpResponse:
    form = RecordsForm(request.GET, user=request.user)
    try:
        cursor = Cursor.parse(text) if (text := request.GET.get("cursor")) else None
    except BadCursor as error:
        raise Http404 from error
    everyone = form.is_valid() and form.everyone_asked
    read = UsageRecord.objects.defer("unit_prices")
    read = read.select_related("user") if everyone else read
    page = page_of(form.records(), cursor, CALLS_PER_PAGE, read=read)
    context = {
        "form": form,
        "everyone": everyone,
        "page": page,
        "query": _query(request, cursor=None),
        "older": _query(request, cursor=str(page.older)) if page.older else "",
        "newer": _query(request, cursor=str(page.newer)) if page.newer else "",
    }
    return render(request, "usage/records.html", context)


@login_required
def record(request: HttpRequest, pk: str) -> HttpResponse:
    own = UsageRecord.objects.visible_to(request.user)
    found = get_object_or_404(own.select_related("credential", "access_token"), pk=pk)
    context = {
        "record": found,
        "attempts": own.filter(attempt_of=found.pk).order_by("created_at"),
        "corrections": own.filter(corrects=found.pk).order_by("created_at"),
        "of_call": own.filter(pk__in=[found.attempt_of, found.corrects_id]).first(),
    }
    return render(request, "usage/record.html", context)


@login_required
async def export(request: HttpRequest, form: str) -> StreamingHttpResponse:
    """The rows that the records list would show, all of them, as CSV or JSON lines."""
    question = await sync_to_async(RecordsForm)(request.GET, user=await request.auser())
    rows = await sync_to_async(question.records)()
    kind = FORMATS[form]
    headers: dict[str, Any] = {
        "Content-Disposition": f'attachment; filename="usage.{form}"',
        "Cache-Control": "no-store",
    }
    return StreamingHttpResponse(exported(rows, kind), headers=headers, content_type=kind.mime)
