"""Puts the request into the context, so that the audit trail can tell who acts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from credentials import trail

Answer = Callable[[HttpRequest], Any]


@sync_and_async_middleware
def AuditContextMiddleware(get_response: Answer) -> Answer:
    """Stands after AuthenticationMiddleware; reads nothing until something is recorded."""
    if iscoroutinefunction(get_response):

        async def in_context(request: HttpRequest) -> HttpResponseBase:
            with trail.acting(request):
                return await cast(Awaitable[HttpResponseBase], get_response(request))

        return in_context

    def in_sync_context(request: HttpRequest) -> HttpResponseBase:
        with trail.acting(request):
            return cast(HttpResponseBase, get_response(request))

    return in_sync_context
