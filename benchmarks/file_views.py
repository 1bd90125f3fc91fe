"""A run as a file to keep: its report as HTML, its calls as CSV or JSON lines."""

from __future__ import annotations

import uuid

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import aget_object_or_404, get_object_or_404
from django.views.decorators.http import require_safe

from benchmarks.export import FORMATS, exported
from benchmarks.html_report import file_name, html_report
from benchmarks.models import BenchmarkRun


@require_safe
@login_required
def report(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    run = get_object_or_404(BenchmarkRun.objects.owned_by(request.user), pk=pk)
    return HttpResponse(html_report(run), headers=_attachment(run, "html"))


@login_required
async def export(request: HttpRequest, pk: uuid.UUID, form: str) -> StreamingHttpResponse:
    user = await request.auser()
    own = await sync_to_async(BenchmarkRun.objects.owned_by)(user)
    run = await aget_object_or_404(own, pk=pk)
    kind = FORMATS[form]
    return StreamingHttpResponse(
        exported(run, kind), content_type=kind.mime, headers=_attachment(run, form)
    )


def _attachment(run: BenchmarkRun, ending: str) -> dict[str, str]:
    return {
        "Content-Disposition": f'attachment; filename="{file_name(run, ending)}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }
