"""The page of one's own audit trail."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from credentials.audit import AuditEvent

PAGE_SIZE = 50


@login_required
def trail_page(request: HttpRequest) -> HttpResponse:
    pages = Paginator(AuditEvent.objects.of_owner(request.user), PAGE_SIZE)
    page = pages.get_page(request.GET.get("page"))
    return render(request, "credentials/trail.html", {"page": page})
