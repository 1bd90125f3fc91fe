"""What an access token may be used for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.permissions import SAFE_METHODS
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory
from rest_framework.views import APIView

from credentials.errors import ScopeNeeded
from credentials.models import AccessToken, Scope
from credentials.permissions import HasScope, required_scope

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
KEYS = "/api/v1/users/me/llm-credentials"
TOKENS = "/api/v1/users/me/access-tokens"
EVENTS = "/api/v1/users/me/audit-events"
SESSIONS = "/api/v1/agent/sessions"
RECORDS = "/api/v1/usage/records"


def api_with(user: User, *scopes: str) -> APIClient:
    _, token = AccessToken.issue(user=user, name="test", scopes=scopes)
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return api


@pytest.mark.parametrize(
    ("verb", "url", "scope"),
    [
        ("get", KEYS, Scope.CREDENTIALS_READ),
        ("head", KEYS, Scope.CREDENTIALS_READ),
        ("post", KEYS, Scope.CREDENTIALS_WRITE),
        ("post", f"{KEYS}/validate", Scope.CREDENTIALS_WRITE),
        ("patch", f"{KEYS}/x", Scope.CREDENTIALS_WRITE),
        ("delete", f"{KEYS}/x", Scope.CREDENTIALS_WRITE),
        ("get", TOKENS, Scope.CREDENTIALS_READ),
        ("post", TOKENS, Scope.CREDENTIALS_WRITE),
        ("delete", f"{TOKENS}/1", Scope.CREDENTIALS_WRITE),
        ("get", EVENTS, Scope.CREDENTIALS_READ),
        ("get", SESSIONS, Scope.AGENTS),
        ("post", SESSIONS, Scope.AGENTS),
        ("get", RECORDS, Scope.USAGE_READ),
    ],
)
def test_a_token_needs_the_scope_and_is_told_which(
    alice: User, verb: str, url: str, scope: Scope
) -> None:
    others = [other for other in Scope.values if other != scope]
    refused = getattr(api_with(alice, *others), verb)(url, {}, format="json")

    assert refused.status_code == 403
    if verb != "head":
        assert refused.json()["code"] == "scope_needed"
        assert f"lacks the scope {scope.value}." in refused.json()["detail"]
    assert getattr(api_with(alice, scope), verb)(url, {}, format="json").status_code != 403


def test_a_person_who_signed_in_may_all(alice: User) -> None:
    api = APIClient()
    api.force_login(alice)

    for url in (KEYS, TOKENS, EVENTS, SESSIONS, RECORDS):
        assert api.get(url).status_code == 200


def test_a_method_that_is_not_there_is_a_405_whatever_the_scopes(alice: User) -> None:
    assert api_with(alice, Scope.USAGE_READ).post(RECORDS).status_code == 405
    assert api_with(alice, *Scope.values).options(RECORDS).status_code == 405


def answer_of(view: type[APIView], alice: User, *scopes: str) -> Response:
    _, token = AccessToken.issue(user=alice, name="test", scopes=scopes)
    request = APIRequestFactory().get("/", HTTP_AUTHORIZATION=f"Bearer {token}")
    response: Response = view.as_view()(request)
    return response


def test_a_view_that_declares_nothing_is_closed_to_tokens(alice: User) -> None:
    class Forgotten(APIView):
        def get(self, request: Any) -> Response:
            return Response()

    response = answer_of(Forgotten, alice, *Scope.values)
    assert response.status_code == 403
    assert response.data["code"] == "scope_needed"


def test_a_view_that_declares_only_writes_is_closed_to_reads(alice: User) -> None:
    class OnlyWrites(APIView):
        required_scopes = {"write": Scope.AGENTS}  # noqa: RUF012

        def get(self, request: Any) -> Response:
            return Response()

    assert answer_of(OnlyWrites, alice, *Scope.values).status_code == 403


def test_a_scope_that_is_no_more_opens_nothing(alice: User) -> None:
    row, _ = AccessToken.issue(user=alice, name="test", scopes=["root"])

    with pytest.raises(ScopeNeeded, match="agents"):
        row.ensure_scope(Scope.AGENTS)


def api_routes(patterns: list[Any]) -> Iterator[tuple[Any, set[str]]]:
    """Every DRF view of the project with the methods that it answers to."""
    for entry in patterns:
        if isinstance(entry, URLResolver):
            yield from api_routes(entry.url_patterns)
        elif isinstance(entry, URLPattern) and hasattr(entry.callback, "cls"):
            view: Any = entry.callback.cls
            actions = getattr(entry.callback, "actions", None) or vars(view)
            methods = {name.upper() for name in actions if name in view.http_method_names}
            yield view, methods | {"OPTIONS"}


def test_every_address_of_the_api_declares_its_scopes() -> None:
    routes = list(api_routes(get_resolver().url_patterns))

    assert len(routes) >= 10
    for view, methods in routes:
        assert HasScope in view.permission_classes, view
        for method in methods:
            declared = required_scope(view, method)
            is_closed = declared is None and "write" in view.required_scopes
            assert isinstance(declared, Scope) or is_closed, (view, method)
    assert set(SAFE_METHODS) >= {"GET", "OPTIONS"}
