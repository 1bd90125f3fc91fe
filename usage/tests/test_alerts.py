from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.utils import timezone

from credentials.models import LLMCredential
from credentials.tests.factories import CredentialFactory, UserFactory
from usage.alert_models import Kind
from usage.alerts import check_budgets, check_errors, check_keys, check_spikes, tell
from usage.deliveries import BACK_OFF, _claim, deliver
from usage.models import Alert, AlertDelivery, AlertPreference, Budget, DailyUsage, UsageRecord

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
TODAY = date(2026, 6, 1)


class Receiver:
    """Somebody's webhook: a real HTTP server that keeps what it gets."""

    def __init__(self) -> None:
        receiver = self
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 204

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Keeps tests quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?team=1"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    serve, often = receiver.server.serve_forever, {"poll_interval": 0.01}
    thread = threading.Thread(target=serve, kwargs=often, daemon=True)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
    thread.join()


@pytest.fixture
def hooked(alice: User, receiver: Receiver, allow: Callable[..., None]) -> AlertPreference:
    """Alice hears by webhook only."""
    allow("127.0.0.1")
    return AlertPreference.objects.create(user=alice, by_mail=False, webhook_url=receiver.url)


def told(user: User) -> bool:
    return tell(
        user=user, kind=Kind.SPIKE, key="k", title="It happened", text="So.", facts={"n": 1}
    )


def budget(spent: int, **fields: Any) -> Budget:
    now = timezone.now()
    named = {"name": "Team", "limit_units": 100 * 10**9, **fields}
    row = Budget.objects.create(**named)
    window = {"counted_from": now.replace(day=1), "rolls_at": now + timedelta(days=3)}
    Budget.objects.filter(pk=row.pk).update(spent_units=spent * 10**9, **window)
    return row


def spend(owner: int, day: date, cost: float) -> None:
    DailyUsage.objects.create(owner=owner, dimension="all", day=day, calls=1, cost_usd=cost)


def book(user: User, *, calls: int, failed: int) -> None:
    UsageRecord.objects.bulk_create(
        UsageRecord(
            user=user, surface="api", provider="openai", model="m", usage_source="reported",
            latency_ms=1.0, status="error" if number < failed else "ok", paid_by="user",
        )
        for number in range(calls)
    )  # fmt: skip


def quarantined(user: User) -> LLMCredential:
    credential = CredentialFactory.create(owner=user)
    credential.quarantine("OpenAI refused it.")
    credential.save()
    return credential


# Raising -----------------------------------------------------------------------------


@pytest.mark.parametrize(("spent", "steps"), [(49, 0), (50, 1), (79, 1), (80, 1), (100, 1)])
def test_a_budget_tells_of_the_step_that_it_has_reached(
    alice: User, spent: int, steps: int
) -> None:
    budget(spent, user=alice)

    assert check_budgets() == steps
    assert check_budgets() == 0


def test_a_budget_tells_small_amounts_too(alice: User) -> None:
    row = budget(50, user=alice)
    Budget.objects.filter(pk=row.pk).update(spent_units=18_600, limit_units=10_000)
    check_budgets()

    assert Alert.objects.get().text.startswith("$0.0000186 of $0.00001 are spent.")


def test_a_budget_tells_once_of_each_step(alice: User) -> None:
    row = budget(50, user=alice)
    check_budgets()
    for spent in (60, 80, 90, 100, 120):
        Budget.objects.filter(pk=row.pk).update(spent_units=spent * 10**9)
        check_budgets()

    assert [alert.title for alert in Alert.objects.order_by("created_at")] == [
        "The budget “Team” is 50% spent",
        "The budget “Team” is 80% spent",
        "The budget “Team” is 100% spent",
    ]


def test_everyones_budget_is_told_to_staff_only(alice: User) -> None:
    sam = UserFactory.create(is_staff=True)
    budget(80)
    check_budgets()

    assert [alert.user for alert in Alert.objects.all()] == [sam]


def test_a_tenfold_day_is_told_to_its_owner_and_everyones_to_staff(alice: User) -> None:
    sam = UserFactory.create(is_staff=True)
    for owner in (alice.pk, 0):
        for week in range(1, 9):
            spend(owner, TODAY - timedelta(weeks=week), 4.0 + week % 3)
        spend(owner, TODAY, 50.0)

    assert check_spikes(TODAY) == 2
    assert check_spikes(TODAY) == 0
    assert {alert.user for alert in Alert.objects.all()} == {alice, sam}
    assert "$50" in Alert.objects.get(user=alice).text
    assert "a usual Monday costs $5" in Alert.objects.get(user=alice).text


def test_half_of_the_calls_failing_is_told_once_in_six_hours(alice: User) -> None:
    book(alice, calls=20, failed=10)
    now = timezone.now()

    assert (check_errors(now), check_errors(now)) == (1, 0)
    assert Alert.objects.get().title == "10 of your calls failed"


def test_a_few_failures_are_no_alert(alice: User, bob: User) -> None:
    book(alice, calls=19, failed=19)
    book(bob, calls=30, failed=14)

    assert check_errors() == 0


def test_keys_that_expire_or_stopped_working_go_to_the_webhook(
    alice: User, hooked: AlertPreference
) -> None:
    now = timezone.now()
    CredentialFactory.create(owner=alice, label="a", expires_at=now + timedelta(days=6))
    bad = quarantined(alice)

    assert (check_keys(), check_keys()) == (2, 0)
    assert AlertDelivery.objects.filter(channel="webhook").count() == 2
    assert str(bad.pk) in {alert.facts["credential_id"] for alert in Alert.objects.all()}


def test_keys_are_mailed_about_elsewhere(alice: User) -> None:
    quarantined(alice)

    assert check_keys() == 1
    assert AlertDelivery.objects.count() == 0


# Delivering --------------------------------------------------------------------------


def test_by_default_everything_is_mailed_once(alice: User) -> None:
    alice.email = "alice@example.com"
    alice.save()

    assert (told(alice), told(alice)) == (True, False)
    assert (deliver(), deliver()) == (1, 0)
    assert [(m.to, m.subject) for m in mail.outbox] == [(["alice@example.com"], "It happened")]


def test_a_name_that_no_header_can_hold_keeps_nobody_elses_mail_back(
    alice: User, bob: User
) -> None:
    for user, address in ((alice, "not an address\n"), (bob, "bob@example.com")):
        user.email = address
        user.save()
    budget(50, user=alice, name="Two\nlines")
    check_budgets()
    told(bob)

    assert Alert.objects.get(user=alice).title == "The budget “Two lines” is 50% spent"
    assert deliver() == 1
    assert [mail.to for mail in mail.outbox] == [["bob@example.com"]]
    assert AlertDelivery.objects.get(alert__user=alice).last_error


def test_what_a_person_does_not_want_is_not_sent(alice: User) -> None:
    AlertPreference.objects.create(user=alice, spike=False)
    told(alice)

    assert Alert.objects.count() == 1
    assert AlertDelivery.objects.count() == 0


def test_a_webhook_is_signed_over_time_and_body(
    alice: User, hooked: AlertPreference, receiver: Receiver
) -> None:
    told(alice)
    assert deliver() == 1

    [(headers, body)] = receiver.got
    said = headers["X-BYOM-Timestamp"].encode() + b"." + body
    digest = hmac.new(hooked.webhook_secret.encode(), said, hashlib.sha256).hexdigest()
    assert headers["X-BYOM-Signature"] == f"sha256={digest}"
    assert json.loads(body)["facts"] == {"n": 1}
    assert headers["X-BYOM-Alert"] == json.loads(body)["id"]


def test_a_webhook_that_fails_is_tried_again_and_given_up_in_the_end(
    alice: User, hooked: AlertPreference, receiver: Receiver
) -> None:
    receiver.status = 500
    told(alice)
    for attempt in range(1, len(BACK_OFF) + 2):
        assert deliver() == 0
        row = AlertDelivery.objects.get()
        assert (row.attempts, row.last_error) == (attempt, "It answered with status 500.")
        if row.next_at:
            assert row.next_at > timezone.now() + BACK_OFF[attempt - 1] * 0.9
            AlertDelivery.objects.update(next_at=timezone.now())

    assert AlertDelivery.objects.get().outcome == "given up"
    assert len({headers["X-BYOM-Alert"] for headers, _ in receiver.got}) == 1


def test_a_delivery_that_another_process_has_taken_is_left_to_it(
    alice: User, hooked: AlertPreference
) -> None:
    told(alice)
    row = AlertDelivery.objects.get()

    assert (_claim(row), _claim(row)) == (True, False)
    assert deliver() == 0


def test_a_webhook_never_reaches_into_the_servers_own_network(
    alice: User, receiver: Receiver, allow: Callable[..., None]
) -> None:
    AlertPreference.objects.create(user=alice, by_mail=False, webhook_url=receiver.url)
    told(alice)

    assert deliver() == 0
    assert receiver.got == []
    assert "public internet" in AlertDelivery.objects.get().last_error


# The page ----------------------------------------------------------------------------


def test_people_choose_on_a_page(client: Client, alice: User) -> None:
    client.force_login(alice)
    chosen = {"budget": "on", "webhook_url": "https://example.com/hook?a=b"}

    assert client.post("/usage/alerts/", chosen).status_code == 302
    own = AlertPreference.objects.get(user=alice)
    assert (own.budget, own.spike, own.by_mail) == (True, False, False)
    assert own.webhook_secret in client.get("/usage/alerts/").content.decode()


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://127.0.0.1/", "https://u:p@example.com/", "file:///x"]
)
def test_an_address_that_may_not_be_called_is_refused(
    client: Client, alice: User, allow: Callable[..., None], url: str
) -> None:
    client.force_login(alice)

    assert client.post("/usage/alerts/", {"webhook_url": url}).status_code == 422
    assert not AlertPreference.objects.exists()


def test_a_new_secret_replaces_the_old_one(client: Client, alice: User) -> None:
    client.force_login(alice)
    before = AlertPreference.of(alice).webhook_secret
    client.post("/usage/alerts/secret")

    assert AlertPreference.of(alice).webhook_secret != before


def test_a_test_can_be_sent(client: Client, alice: User) -> None:
    client.force_login(alice)
    client.post("/usage/alerts/test")

    assert Alert.objects.get(user=alice).kind == "test"
    assert "This is a test" in client.get("/usage/alerts/").content.decode()


def test_nobody_sees_what_others_were_told(client: Client, alice: User, bob: User) -> None:
    told(alice)
    client.force_login(bob)

    assert "It happened" not in client.get("/usage/alerts/").content.decode()
