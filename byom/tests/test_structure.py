"""Imports point one way; providers is a leaf."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from django.conf import settings

ORDER = ["providers", "credentials", "usage", "agents", "gateway", "benchmarks"]
# What each package may import of the project, apart from itself.
ALLOWED = {
    "providers": set(),
    "credentials": {"providers"},
    "usage": {"providers", "credentials"},
    "agents": {"providers", "credentials", "usage"},
    "gateway": {"providers", "credentials", "usage", "agents"},
    "benchmarks": {"providers", "credentials", "usage", "agents"},
}


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def modules_of(package: str) -> list[Path]:
    return [
        path
        for path in (settings.BASE_DIR / package).rglob("*.py")
        if not {"tests", "migrations"} & set(path.relative_to(settings.BASE_DIR).parts)
    ]


@pytest.mark.parametrize("package", ORDER)
def test_imports_point_one_way(package: str) -> None:
    forbidden = set(ORDER) - ALLOWED[package] - {package}

    for path in modules_of(package):
        assert not imports_of(path) & forbidden, path


def test_providers_and_the_simulator_know_no_django() -> None:
    leaves = modules_of("providers") + modules_of("benchmarks/simulator")

    for path in leaves:
        assert not imports_of(path) & {"django", "rest_framework", "byom"}, path


def test_only_wiring_imports_apps_into_byom() -> None:
    wiring = {"urls.py", "asgi.py", "views.py", "fixtures.py"}

    for path in modules_of("byom"):
        if path.name not in wiring:
            assert not imports_of(path) & (set(ORDER) - {"providers"}), path


def test_every_app_has_its_models_in_the_admin() -> None:
    from django.apps import apps
    from django.contrib import admin

    ours = [model for name in ORDER[1:] for model in apps.get_app_config(name).get_models()]
    assert {model for model in ours if not admin.site.is_registered(model)} == set()
