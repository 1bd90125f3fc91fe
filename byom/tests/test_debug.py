from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

KEY = "a-key-of-my-own-server-77"
SHAPED = "sk-proj-0123456789abcdefgh"


@pytest.mark.django_db
def test_a_debug_page_shows_no_key_that_was_typed(
    alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*args: Any) -> None:
        raise RuntimeError(f"broken by {SHAPED}")

    settings.DEBUG = True
    monkeypatch.setattr("credentials.services._refuse_twin", breaks)
    client = Client(raise_request_exception=False)
    client.force_login(alice)
    response = client.post(
        "/keys/add/",
        {"provider": "openai_compatible", "api_key": KEY, "base_url": "http://localhost:1/v1"},
    )

    page = response.content.decode()
    assert response.status_code == 500 and "RuntimeError" in page
    assert KEY not in page and SHAPED not in page
