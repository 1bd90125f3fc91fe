"""/metrics, for Prometheus (by its bearer token) and for staff. For others it does not exist."""

from __future__ import annotations

import hmac

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from usage.metrics import exposition


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    if not (_has_token(request) or (request.user.is_active and request.user.is_staff)):
        raise Http404
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)


def _has_token(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    wanted = settings.METRICS_TOKEN.encode()
    given = token.strip().encode("utf-8", "replace")
    return bool(wanted) and scheme.lower() == "bearer" and hmac.compare_digest(given, wanted)
