"""A run as a file to keep: the whole as JSON, its report as HTML, its calls as CSV or JSON
lines."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse

from benchmarks import results, store
from benchmarks.export import FORMATS, exported
from benchmarks.html_report import file_name, html_report
from benchmarks.models import BenchmarkRun

KINDS = ("json", "html", *FORMATS)


def as_file(run: BenchmarkRun, kind: str) -> HttpResponseBase:
    """`kind` is one of KINDS."""
    if kind == "html":
        return HttpResponse(html_report(run), headers=_headers(run, kind))
    if kind == "json":
        return HttpResponse(_document(run), "application/json", headers=_headers(run, kind))
    found = FORMATS[kind]
    return StreamingHttpResponse(
        exported(run, found), content_type=found.mime, headers=_headers(run, kind)
    )


def _document(run: BenchmarkRun) -> str:
    found = results.document(store.run_of(run.pk), _known(run))
    return json.dumps(found, indent=2, ensure_ascii=False)


def _known(run: BenchmarkRun) -> dict[str, Any] | None:
    """None until the run is over, and of runs that an earlier version has judged."""
    if run.finished_at is None or run.schema_version != results.SCHEMA_VERSION:
        return None
    return {
        "summary": run.summary,
        "sweep": run.sweep,
        "verdicts": run.verdicts,
        "harness_error_ms": run.harness_error,
    }


def _headers(run: BenchmarkRun, ending: str) -> dict[str, str]:
    return {
        "Content-Disposition": f'attachment; filename="{file_name(run, ending)}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }
