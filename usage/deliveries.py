"""Bringing alerts to people: by mail, and by signed webhooks.

A delivery that fails is tried again, later each time, and given up in the end. Of several
processes one takes it: whoever moves `next_at` on first.

A webhook is a POST of JSON. `X-BYOM-Signature` is `sha256=` and the hex HMAC-SHA256, under the
person's secret, of `X-BYOM-Timestamp`, a dot and the body; `X-BYOM-Alert` is the same at every
try, so that a receiver can tell a repetition.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
import time
from datetime import datetime, timedelta
from smtplib import SMTPException

import httpx2
from asgiref.sync import async_to_sync
from django.core.mail import send_mail
from django.utils import timezone

from providers.http import http_client, timeouts
from providers.keys import webhook_flaw
from usage.alert_models import Alert, AlertDelivery, AlertPreference, Channel

BACK_OFF = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 720))
LEASE = timedelta(minutes=5)  # what a process that died was at is taken up after this
BATCH = 100
SECONDS = 10.0


class NotDelivered(Exception):
    """It did not arrive; the message says why, for the person whose webhook it is."""


def deliver() -> int:
    """Everything that is due; how many were delivered."""
    due = AlertDelivery.objects.filter(next_at__lte=timezone.now()).order_by("next_at")
    rows = due.select_related("alert__user")[:BATCH]
    return sum(_deliver(delivery) for delivery in rows if _claim(delivery))


def _claim(delivery: AlertDelivery) -> bool:
    row = AlertDelivery.objects.filter(pk=delivery.pk, next_at=delivery.next_at)
    return bool(row.update(next_at=timezone.now() + LEASE))


def _deliver(delivery: AlertDelivery) -> bool:
    send = _mail if delivery.channel == Channel.MAIL else _post
    delivery.attempts += 1
    try:
        send(delivery.alert)
    except NotDelivered as error:
        delivery.last_error = str(error)[:200]
        delivery.next_at = _next_time(delivery.attempts)
    else:
        delivery.last_error, delivery.next_at = "", None
        delivery.delivered_at = timezone.now()
    delivery.save(update_fields=["attempts", "last_error", "next_at", "delivered_at"])
    return delivery.next_at is None and delivery.delivered_at is not None


def _next_time(attempts: int) -> datetime | None:
    if attempts > len(BACK_OFF):
        return None
    return timezone.now() + BACK_OFF[attempts - 1]


def _mail(alert: Alert) -> None:
    address = alert.user.email
    if not address:
        raise NotDelivered("There is no mail address.")
    try:
        send_mail(alert.title, alert.text or alert.title, None, [address])
    except (SMTPException, OSError, ValueError) as error:  # ValueError: a header can't hold it
        raise NotDelivered(type(error).__name__) from None


def _post(alert: Alert) -> None:
    preference = AlertPreference.of(alert.user)
    body = json.dumps(payload(alert), ensure_ascii=False).encode()
    headers = signed(body, preference.webhook_secret, int(time.time()))
    headers["X-BYOM-Alert"] = str(alert.pk)
    async_to_sync(_send)(preference.webhook_url, headers, body)


def payload(alert: Alert) -> dict[str, object]:
    return {
        "id": str(alert.pk),
        "kind": alert.kind,
        "title": alert.title,
        "text": alert.text,
        "facts": alert.facts,
        "created_at": alert.created_at.isoformat(),
    }


def signed(body: bytes, secret: str, timestamp: int) -> dict[str, str]:
    """The headers that let a receiver check where a body comes from, and when."""
    said = f"{timestamp}.".encode() + body
    digest = hmac.new(secret.encode(), said, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-BYOM-Timestamp": str(timestamp),
        "X-BYOM-Signature": f"sha256={digest}",
    }


async def _send(url: str, headers: dict[str, str], body: bytes) -> None:
    """Through the guard, as the URL is a person's own. The answer's body is not read."""
    if flaw := webhook_flaw(url):
        raise NotDelivered(f"Its address can't be used: {flaw}.")
    try:
        async with http_client() as http, asyncio.timeout(SECONDS):
            request = http.build_request(
                "POST", url, content=body, headers=headers, timeout=timeouts(SECONDS)
            )
            response = await http.send(request, stream=True)
            await response.aclose()
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, ssl.SSLError) as error:
        raise NotDelivered(f"No answer ({type(error).__name__}).") from None
    if not response.is_success:
        raise NotDelivered(f"It answered with status {response.status_code}.")
