"""The environments take a gigabyte and minutes to make: only who asks for them has them made."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "clients" in config.getoption("markexpr"):
        return
    skip = pytest.mark.skip(reason="makes environments of their own: `make clients`")
    for item in items:
        if item.get_closest_marker("clients"):
            item.add_marker(skip)
