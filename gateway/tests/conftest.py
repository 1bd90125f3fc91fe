from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from byom.asgi import Receive, Scope, Send, application
from byom.tests.live_server import serve
from credentials.models import AccessToken, LLMCredential
from credentials.tests.factories import CredentialFactory
from gateway.tests.sdks import SDKS, Place


async def started_before_the_database(scope: Scope, receive: Receive, send: Send) -> None:
    """The product's server without its checks at the start: one for all tests, while each test
    has a database of its own."""
    if scope["type"] != "lifespan":
        await application(scope, receive, send)
        return
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with serve(started_before_the_database) as url:
        yield url


@pytest.fixture
def place(server: str, alice: User) -> Place:
    """Where alice's program calls, with a token that is pinned to nothing."""
    _, token = AccessToken.issue(user=alice, name="program")
    return Place(server, token)


@pytest.fixture
def pinned(server: str, alice: User) -> Callable[..., Place]:
    """Makes a credential of alice's and a token that is pinned to it."""

    def pin(**values: Any) -> Place:
        credential: LLMCredential = CredentialFactory.create(owner=alice, **values)
        _, token = AccessToken.issue(user=alice, name="pinned", credential=credential)
        return Place(server, token)

    return pin


@pytest.fixture(params=SDKS, ids=lambda sdk: sdk.provider)
def sdk(request: pytest.FixtureRequest) -> Any:
    return request.param
