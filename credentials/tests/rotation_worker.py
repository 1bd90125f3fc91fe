"""The processes of `test_rotation_killed`: `python -m credentials.tests.rotation_worker`
followed by `seed`, `keys FOLDER`, `labels FOLDER` or `verify FOLDER`.

A writer works until the file FOLDER/stop exists, and logs each write after it was made.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byom.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402

from credentials import services  # noqa: E402
from credentials.canary import ensure_canaries  # noqa: E402
from credentials.models import LLMCredential  # noqa: E402

# 100 for the full proof of 3,000 keys.
USERS, KEYS_EACH = int(os.environ.get("BYOM_PROOF_USERS", "20")), 30
PAUSE = 0.005


def first_key(number: int) -> str:
    return f"sk-proj-first-{number:06d}"


def seed() -> None:
    ensure_canaries()
    users = User.objects.bulk_create(User(username=f"user{n}") for n in range(USERS))
    rows = []
    for number in range(USERS * KEYS_EACH):
        owner = users[number % USERS]
        row = LLMCredential(owner=owner, provider="openai", label=f"label {number}")
        row.params = {"user": str(number)}
        row.is_active = number % 10 != 0
        row.set_api_key(first_key(number))
        rows.append(row)
    LLMCredential.objects.bulk_create(rows, batch_size=500)


def replace_key(pk: str, count: int) -> str:
    key = f"sk-proj-again-{count:06d}"
    services.rotate_key(credential=LLMCredential.objects.get(pk=pk), api_key=key, validate=False)
    return key


def edit_label(pk: str, count: int) -> str:
    """By the service and, as the admin does, by a plain save()."""
    row, label = LLMCredential.objects.get(pk=pk), f"edited {count}"
    if count % 2:
        services.update_credential(credential=row, label=label)
    else:
        row.label = label
        row.save()
    return label


def write(folder: Path, name: str, change: Callable[[str, int], str]) -> None:
    pks = [str(pk) for pk in LLMCredential.objects.active().values_list("pk", flat=True)]
    chance, count = random.Random(name), 0
    with (folder / f"{name}.log").open("w") as log:
        while not (folder / "stop").exists():
            pk = chance.choice(pks)
            log.write(json.dumps([pk, change(pk, count)]) + "\n")
            log.flush()
            count += 1
            time.sleep(PAUSE)


def verify(folder: Path) -> dict[str, Any]:
    """How many rows are not as the logs say they were left. Fails if one is on an old key,
    or the audit trail's chain is broken."""
    call_command("rotate_keys", check=True, stdout=sys.stderr)
    call_command("verify_audit", stdout=sys.stderr)
    keys, labels = (_last_writes(folder / f"{name}.log") for name in ("keys", "labels"))
    found = {"rows": 0, "wrong_keys": 0, "wrong_labels": 0}
    for row in LLMCredential.objects.iterator():
        number, pk = int(row.params["user"]), str(row.pk)
        found["rows"] += 1
        key = keys.get(pk, first_key(number))
        found["wrong_keys"] += row.api_key.reveal("test") != key or row.last4 != key[-4:]
        found["wrong_labels"] += row.label != labels.get(pk, f"label {number}")
    return found


def _last_writes(log: Path) -> dict[str, str]:
    return dict(map(json.loads, log.read_text().splitlines()))


def main(command: str, folder: str = "") -> None:
    match command:
        case "seed":
            seed()
        case "keys":
            write(Path(folder), "keys", replace_key)
        case "labels":
            write(Path(folder), "labels", edit_label)
        case "verify":
            print(json.dumps(verify(Path(folder))))


if __name__ == "__main__":
    main(*sys.argv[1:])
