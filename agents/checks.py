"""System checks: what keeps the server from starting."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from agents.toolbox import functions


@register
def the_operators_tools_are_tools(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    try:
        functions()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="agents.E001")]
    return []
