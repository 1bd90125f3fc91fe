"""Error cards: what went wrong in a few words, and where to go to mend it.

Why, and what to do, is the sentence that each error brings itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from django.urls import reverse

from agents.models import AgentSession
from usage.models import Status, UsageRecord


@dataclass(frozen=True, slots=True)
class Advice:
    """`link` is empty where there is nothing but to try again."""

    title: str
    action: str = ""
    link: str = ""


OTHERWISE = Advice("The answer failed")
_KEY = ("Test or replace the key", "key")
_NEW = ("Start a new chat", "new")
_OTHER = ("Choose another key or model", "change")
_BY_CODE: dict[str, tuple[str, str, str]] = {
    "authentication_failed": ("The key was not accepted", *_KEY),
    "key_refused": ("The key can’t be used", *_KEY),
    "unreadable_key": ("The key can’t be opened", *_KEY),
    "credential_expired": ("The key has expired", *_KEY),
    "credential_quarantined": ("The key is in quarantine", *_KEY),
    "credential_inactive": ("The key was deleted", "Go to your keys", "keys"),
    "permission_denied": ("The key may not do this", *_KEY),
    "quota_spent": ("No credit left at the provider", *_KEY),
    "base_url_refused": ("The key’s address can’t be used", *_KEY),
    "destination_refused": ("The key’s address can’t be reached", *_KEY),
    "no_credential": ("No key for this call", "Add a key", "add"),
    "nobody_pays": ("No key may pay for this call", "Look at the policy", "policy"),
    "model_not_found": ("The model is not there", *_OTHER),
    "context_too_long": ("The conversation is too long", *_OTHER),
    "content_refused": ("The provider refused the content", "", ""),
    "rate_limited": ("The provider asks to slow down", "", ""),
    "too_many_calls": ("Too many calls", "", ""),
    "budget_spent": ("The budget is spent", "See your usage", "usage"),
    "overloaded": ("The provider is overloaded", *_OTHER),
    "timeout": ("The provider took too long", "", ""),
    "connection_failed": ("The provider can’t be reached", "", ""),
    "stream_broken": ("The answer broke off", "", ""),
    "bad_answer": ("The answer could not be read", *_OTHER),
    "invalid_request": ("The provider did not take the request", *_OTHER),
    "alias_elsewhere": ("The alias is for another key", *_OTHER),
    "model_mismatch": ("The model does not belong to the key", *_OTHER),
    "model_needed": ("No model is named", *_OTHER),
    "own_key_forbidden": ("Your own key may not pay", "Look at the policy", "policy"),
    "simulator_off": ("The simulator does not run", *_OTHER),
    "tool_not_found": ("A tool is gone", "Change this chat’s tools", "change"),
    "base_urls_closed": ("Own addresses are switched off", *_OTHER),
    "turn_running": ("This chat is still answering", "", ""),
    "too_many_tokens": ("Too many tokens", "", ""),
    "too_many_at_once": ("Too many calls at once", "", ""),
    "price_unknown": ("No price is known for the model", *_OTHER),
    "unsupported": ("The provider can’t do this", *_OTHER),
    "tool_server_failed": ("A tool server did not answer", "Look at your tool servers", "servers"),
    "tool_server_denied": ("A tool server refused", "Look at your tool servers", "servers"),
    "suspended": ("The key is suspended for a while", *_OTHER),
    "cut_off": ("The answer was cut off", "", ""),
    "connection_lost": ("The connection broke", "", ""),
    "signed_out": ("You have been signed out", "", ""),
    "session_ended": ("This conversation has ended", *_NEW),
}

# Of an answer that is there, but is not all that it might have been: by its finish reason.
ENDS = {
    "length": ("cut_off", "It reached the most tokens this chat allows."),
    "refused": (
        "content_refused",
        "The provider stopped it under its usage policy. Rephrase the question.",
    ),
    "max_steps": (
        "cut_off",
        "The model still wanted to use tools after the most steps that one turn may take. "
        "Ask it to go on.",
    ),
}


def title_of(code: str) -> str:
    return _BY_CODE[code][0]


def advice_for(session: AgentSession) -> dict[str, dict[str, str]]:
    """The card of every error code, its links made for this session; for the page's script."""
    links = _links(session)
    cards = {
        code: Advice(title, action, links.get(to, ""))
        for code, (title, action, to) in _BY_CODE.items()
    }
    return {code: asdict(card) for code, card in cards.items()} | {"": asdict(OTHERWISE)}


def last_advice(session: AgentSession) -> dict[str, str]:
    """The card for how the session's last turn ended, with the provider's request id."""
    cards = advice_for(session)
    failed = UsageRecord.objects.filter(session_id=session.pk, status=Status.ERROR)
    last = failed.order_by("-created_at").values_list("error_code", "request_id").first()
    code, request_id = last or ("", "")
    return {**cards.get(code, cards[""]), "request_id": request_id}


def _links(session: AgentSession) -> dict[str, str]:
    keys = reverse("credentials:list")
    key = session.credential_id
    return {
        "key": reverse("credentials:detail", args=[key]) if key else keys,
        "keys": keys,
        "add": reverse("credentials:add"),
        "new": reverse("agents:new"),
        "change": reverse("agents:change", args=[session.pk]),
        "policy": reverse("agents:policy"),
        "servers": reverse("agents:tool-servers"),
        "usage": reverse("usage:usage"),
    }
