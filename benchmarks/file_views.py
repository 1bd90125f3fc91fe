"""A run as a file to keep, from its page."""

from __future__ import annotations

import uuid

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from benchmarks.files import as_file
from benchmarks.models import BenchmarkRun


@require_safe
@login_required
def download(request: HttpRequest, pk: uuid.UUID, kind: str) -> HttpResponseBase:
    return as_file(get_object_or_404(BenchmarkRun.objects.owned_by(request.user), pk=pk), kind)
