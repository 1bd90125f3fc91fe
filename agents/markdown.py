"""Answers of models as HTML. What a model writes is not trusted: no HTML of its own comes through.

`static/byom/markdown.js` draws the same kinds of element while an answer streams.
"""

from __future__ import annotations

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

TAGS = {
    "p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li",
    "h3", "h4", "h5", "h6", "a", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
ATTRIBUTES = {"a": {"href"}, "ol": {"start"}, "pre": {"tabindex"}}
SCHEMES = {"http", "https", "mailto"}
TOP_HEADING = 3  # the page has an h1 and may have h2s: those of an answer begin below

_parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(
    ["table", "strikethrough"]
)
# A picture would be fetched from wherever the model says, and tell them who reads: its
# description is shown, as a link's text.
_parser.disable("image")


def to_html(text: str) -> SafeString:
    """Markdown as HTML that is safe to show: the parser lets no HTML through, and what it makes
    passes an allow-list besides."""
    tokens = _parser.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + TOP_HEADING - 1)}"
    html = _parser.renderer.render(tokens, _parser.options, {})
    # So that a keyboard can scroll it.
    html = html.replace("<pre>", '<pre tabindex="0">')
    clean = nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes=SCHEMES,
        link_rel="noopener noreferrer nofollow",
    )
    return mark_safe(clean)  # noqa: S308
