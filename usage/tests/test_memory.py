from __future__ import annotations

from usage.memory import SECONDS, Memory


def test_what_was_read_is_remembered_for_a_second() -> None:
    now = [0.0]
    memory: Memory[str, int] = Memory(clock=lambda: now[0])
    memory.keep("a", 1, memory.age)

    assert memory.get("a") == 1
    now[0] = SECONDS
    assert memory.get("a") is None


def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    memory: Memory[str, int] = Memory()
    age = memory.age
    memory.forget()
    memory.keep("a", 1, age)

    assert memory.get("a") is None
