"""The processes of `test_budgets_in_processes`: `python -m usage.tests.budget_worker` followed by
`seed LIMIT`, `spend THREADS`, `keep_spending LOG` or `verify LOG`.

A call here is admission and settlement, by the functions that every surface uses, with nothing
between them; it takes all that was set aside for it.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Lock
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byom.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.models import Sum  # noqa: E402
from django.utils import timezone  # noqa: E402

from providers.vocabulary import Usage  # noqa: E402
from usage import budgets  # noqa: E402
from usage.admission import BudgetSpent, admit  # noqa: E402
from usage.ledger import Caller, OpenCall, Payer  # noqa: E402
from usage.models import (  # noqa: E402
    Budget,
    Reservation,
    Status,
    Surface,
    UsageRecord,
    UsageSource,
)

MOST = Usage(input_tokens=1_000, output_tokens=1_000)  # gpt-4o-mini: 750,000 billionths
COST = 750_000


def seed(calls: str) -> None:
    """A budget for that many calls, by person and for everyone."""
    call_command("migrate", verbosity=0)
    alice = User.objects.create_user("alice")
    for user in (alice, None):
        Budget.objects.create(name="Lunch", limit_units=int(calls) * COST, user=user)


def call(user_id: int) -> str:
    """The id of a call that was served; empty if it was refused."""
    payer = Payer(provider="openai", model="gpt-4o-mini", paid_by="user", is_simulated=True)
    entry = OpenCall(Caller(surface=Surface.API, user_id=user_id), payer)
    try:
        admit(entry, MOST)
    except BudgetSpent:
        return ""
    entry.settle(status=Status.OK, usage=MOST, usage_source=UsageSource.REPORTED)
    return str(entry.id)


def spend(threads: str) -> None:
    """One call from each thread, all at the same time."""
    user_id, start = User.objects.get().pk, Barrier(int(threads))

    def one(_: int) -> bool:
        start.wait()
        try:
            return bool(call(user_id))
        finally:
            connection.close()

    with ThreadPoolExecutor(int(threads)) as pool:
        print(sum(pool.map(one, range(int(threads)))))


def keep_spending(log: str) -> None:
    """Calls from four threads until it is killed; each is logged once it is settled."""
    user_id, lock = User.objects.get().pk, Lock()
    with Path(log).open("a") as file, ThreadPoolExecutor(4) as pool:

        def forever(_: int) -> None:
            while True:
                served = call(user_id)
                with lock:
                    file.write(served + "\n")
                    file.flush()

        list(pool.map(forever, range(4)))


def verify(log: str = "") -> dict[str, Any]:
    """What there is, after the reclaim of whatever was left."""
    left = Reservation.objects.count()
    Reservation.objects.update(expires_at=timezone.now())
    budgets.reclaim()
    received = set(Path(log).read_text().split("\n")[:-1]) if log else set()
    rows = {str(pk) for pk in UsageRecord.objects.values_list("pk", flat=True)}
    return {
        "left": left,
        "rows": len(rows),
        "without_row": len(received - rows),
        "held": Reservation.objects.count(),
        "reserved": Budget.objects.aggregate(sum=Sum("reserved_units"))["sum"],
        "spent": sorted(b.spent_units // COST for b in Budget.objects.all()),
    }


def main(command: str, *arguments: str) -> None:
    match command:
        case "seed":
            seed(*arguments)
        case "spend":
            spend(*arguments)
        case "keep_spending":
            keep_spending(*arguments)
        case "verify":
            print(json.dumps(verify(*arguments)))


if __name__ == "__main__":
    main(*sys.argv[1:])
