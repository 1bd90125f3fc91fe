"""A run as one HTML file that needs nothing else: no script, no network, light and dark.

Whatever providers, prompts and models are called is escaped by the templates, and a policy inside
the file lets nothing run or load, should that ever fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string

from benchmarks import pages
from benchmarks.models import BenchmarkRun
from benchmarks.plots.calls import Call, calls_of
from benchmarks.plots.figure import Figure
from benchmarks.plots.sheet import figures

DRAWN = 20  # prompts with plots of their own; the others have their table: a file has to open
STYLE = settings.BASE_DIR / "byom/static/byom/style.css"


@dataclass(frozen=True, slots=True)
class Section:
    """What there is of one prompt, or of all together."""

    prefix: str
    title: str
    sheet: pages.Sheet
    figures: list[Figure]


def html_report(run: BenchmarkRun) -> str:
    context: dict[str, Any] = {
        "run": run,
        "style": STYLE.read_text("utf-8"),
        "facts": pages.facts(run),
        "exactness": pages.exactness(run),
        "judgements": pages.judgements(run),
        "sections": list(_sections(run, calls_of(run))),
    }
    return render_to_string("benchmarks/report.html", context)


def _sections(run: BenchmarkRun, calls: list[Call]) -> Iterator[Section]:
    prompts = pages.prompts(run)
    drawn = figures(pages.by_name(run, calls))
    yield Section("all-", "All prompts", pages.sheet(run, None), drawn)
    if len(prompts) > 1:
        for number, prompt in enumerate(prompts, 1):
            own = [call for call in calls if call.prompt == prompt] if number <= DRAWN else []
            shown = figures(pages.by_name(run, own))
            yield Section(f"p{number}-", prompt, pages.sheet(run, prompt), shown)


def file_name(run: BenchmarkRun, ending: str) -> str:
    return f"benchmark-{run.created_at:%Y%m%d-%H%M}-{str(run.pk)[:8]}.{ending}"
