"""The one translation of errors into API answers, and the pages for browsers.

Every API error is `{"detail": sentence, "code": word}`, with `fields` ({name: [sentences]})
where a form would show them, `retry_after` (seconds) where waiting helps and `request_id` where
the provider gave one.
"""

from __future__ import annotations

import math
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

NOT_FOUND = {"detail": "Not found. Check the address and the id.", "code": "not_found"}


def api_exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's hook. Our own errors carry `status` and `code`; DRF's are put into the same shape."""
    if isinstance(error, Http404):
        return Response(NOT_FOUND, status=404)
    if own := own_error_body(error):
        set_rollback()
        status = getattr(error, "status", 400)
        headers = {}
        if wait := own.get("retry_after"):
            headers["Retry-After"] = str(math.ceil(wait))
        return Response(own, status=status, headers=headers)
    if isinstance(error, exceptions.ValidationError):
        set_rollback()
        return Response(validation_body(error), status=400)
    response = exception_handler(error, context)
    if response is not None:
        response.data = _drf_body(error)
    return response


def own_error_body(error: Exception) -> dict[str, Any] | None:
    """The body for an error of one of our trees (it has `status` and `code`), else None."""
    code = getattr(error, "code", None)
    if not isinstance(code, str) or not isinstance(getattr(error, "status", None), int):
        return None
    body: dict[str, Any] = {"detail": str(error), "code": code}
    if (wait := getattr(error, "retry_after", None)) is not None:
        body["retry_after"] = wait
    if request_id := getattr(error, "request_id", ""):
        body["request_id"] = request_id
    return body


def validation_body(error: exceptions.ValidationError) -> dict[str, Any]:
    fields = _flat(error.detail)
    sentences = [
        sentence if name in ("", "non_field_errors") else f"{name}: {sentence}"
        for name, found in fields.items()
        for sentence in found
    ]
    return {"detail": " ".join(sentences), "code": "invalid", "fields": fields}


def _flat(detail: Any, prefix: str = "") -> dict[str, list[str]]:
    """DRF's nested details as {dotted name: [sentences]}."""
    if isinstance(detail, dict):
        flat: dict[str, list[str]] = {}
        for name, value in detail.items():
            flat |= _flat(value, f"{prefix}.{name}" if prefix else str(name))
        return flat
    if isinstance(detail, list):
        return {prefix: [str(item) for item in detail]}
    return {prefix: [str(detail)]}


def _drf_body(error: Exception) -> dict[str, Any]:
    if isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    assert isinstance(error, exceptions.APIException)
    if isinstance(error, exceptions.NotAuthenticated):
        detail = "Sign in, or send an access token as 'Authorization: Bearer byom_…'."
        return {"detail": detail, "code": "not_authenticated"}
    return {"detail": str(error.detail), "code": error.default_code}


def is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page_or_json(request, 400, "bad_request", "This request can't be read.")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page_or_json(request, 403, "permission_denied", "You are not allowed to do this.")


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page_or_json(request, 404, "not_found", NOT_FOUND["detail"])


def server_error(request: HttpRequest) -> HttpResponse:
    sentence = "Something went wrong on our side. It has been logged; try again in a moment."
    return _page_or_json(request, 500, "server_error", sentence)


def _page_or_json(request: HttpRequest, status: int, code: str, sentence: str) -> HttpResponse:
    if is_api(request):
        return JsonResponse({"detail": sentence, "code": code}, status=status)
    return render(request, "error.html", {"status": status, "sentence": sentence}, status=status)
