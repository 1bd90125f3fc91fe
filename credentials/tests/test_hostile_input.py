"""Hypothesis over what people may send: no 500, nothing sent upstream, nothing echoed."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from credentials.models import AccessToken
from credentials.tests.factories import UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
URL = "/api/v1/users/me/llm-credentials"
CALM = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

text = st.text(max_size=600)
keys = st.one_of(
    text,
    st.from_regex(r"sk-(ant-|proj-)?[A-Za-z0-9_-]{8,40}", fullmatch=True),
    st.builds(lambda head, bad, tail: head + bad + tail, text, st.sampled_from("\r\n\0\t ü"), text),
)
urls = st.one_of(
    text,
    st.sampled_from(["http://", "https://", "ftp://", "//", "http://[", "http://a:b@c", "http:x"]),
    st.builds(lambda host, rest: f"https://{host}/{rest}", text, text),
)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


def sender(user: User) -> APIClient:
    _, token = AccessToken.issue(user=user, name="hostile")
    api = APIClient(raise_request_exception=False)
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return api


@pytest.fixture
def hostile() -> APIClient:
    return sender(UserFactory.create())


def check(response: Any, simulator: Any, key: Any) -> None:
    assert response.status_code in (201, 400), response.content[:300]
    assert response.json().get("detail") or response.status_code == 201
    assert len(simulator.app.log) == 0
    if isinstance(key, str) and len(key.strip()) >= 8 and not key.isalpha():
        assert key.strip() not in response.content.decode()


@CALM
@given(key=keys, label=text, base_url=urls)
def test_keys_labels_and_urls(
    hostile: APIClient, simulator: Any, key: str, label: str, base_url: str
) -> None:
    body = {"provider": "openai", "api_key": key, "label": label, "base_url": base_url}
    response = hostile.post(URL, body, format="json")
    if response.status_code == 201:  # the label is echoed, as it should be
        return check(response, simulator, None)
    check(response, simulator, key)


@CALM
@given(body=anything)
def test_bodies_of_any_shape(hostile: APIClient, simulator: Any, body: Any) -> None:
    check(hostile.post(URL, body, format="json"), simulator, None)


@CALM
@given(
    name=st.sampled_from(
        ["provider", "api_key", "label", "model_name", "base_url", "params", "is_default",
         "expires_at", "validate"]
    ),
    value=anything,
)  # fmt: skip
def test_fields_of_any_shape(hostile: APIClient, simulator: Any, name: str, value: Any) -> None:
    body = {"provider": "openai", "api_key": "sk-sim-ok-12345678", name: value}
    response = hostile.post(URL, body, format="json")

    assert response.status_code in (201, 400, 409, 503), response.content[:300]
