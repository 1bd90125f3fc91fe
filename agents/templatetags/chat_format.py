"""How messages read on pages."""

from __future__ import annotations

import json
from typing import Any

from django import template
from django.utils.safestring import SafeString

from agents.markdown import to_html

register = template.Library()


@register.filter
def markdown(text: str) -> SafeString:
    return to_html(text)


@register.filter
def pretty_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
