"""Admission: may this call be made now?"""

from __future__ import annotations

from django.conf import settings

from credentials.limits import buckets


class TooManyCalls(Exception):
    """You are making calls faster than the limit of {limit} a minute. Wait {seconds} seconds."""

    status = 429
    code = "too_many_calls"

    def __init__(self, limit: int, retry_after: float) -> None:
        self.retry_after = retry_after
        sentence = " ".join((type(self).__doc__ or "").split())
        super().__init__(sentence.format(limit=limit, seconds=f"{retry_after:.1f}"))


def admit(user_id: object) -> None:
    """Lets one call of this user through, or raises TooManyCalls."""
    wait = buckets().take(f"calls:{user_id}", settings.CALLS_PER_MINUTE, 60.0)
    if wait:
        raise TooManyCalls(settings.CALLS_PER_MINUTE, wait)
