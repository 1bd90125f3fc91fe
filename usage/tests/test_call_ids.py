"""Ids of calls begin with the time, and no two are the same."""

from __future__ import annotations

import time
from uuid import RFC_4122

import pytest

from usage import call_ids
from usage.call_ids import new_call_id


def test_they_are_uuids_of_version_7_of_now() -> None:
    before = time.time_ns() // 1_000_000
    made = [new_call_id() for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert {(one.version, one.variant) for one in made} == {(7, RFC_4122)}
    assert all(before <= one.int >> 80 <= after for one in made)
    assert len({one.int & (1 << 62) - 1 for one in made}) == 1000


@pytest.mark.parametrize(("random", "tail"), [(b"\0", "7000-8000-0"), (b"\xff", "7fff-bfff-f")])
def test_whatever_is_random_leaves_the_rest_alone(
    monkeypatch: pytest.MonkeyPatch, random: bytes, tail: str
) -> None:
    monkeypatch.setattr(call_ids, "urandom", lambda count: random * count)
    monkeypatch.setattr(call_ids, "time_ns", lambda: 0x0123456789AB * 1_000_000 + 999_999)
    assert str(new_call_id()).startswith(f"01234567-89ab-{tail}")
