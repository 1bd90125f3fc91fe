from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from providers import errors
from providers.translation import clean, read_failure

RPC = "type.googleapis.com/google.rpc."


def openai(status: int, message: str = "", code: str | None = None, type: str = "") -> Any:
    return status, {"error": {"message": message, "code": code, "type": type, "param": None}}


def anthropic(status: int, type: str, message: str = "") -> Any:
    return status, {"type": "error", "error": {"type": type, "message": message}}


def gemini(status: int, name: str, message: str = "", *details: dict[str, Any]) -> Any:
    error = {"code": status, "status": name, "message": message, "details": list(details)}
    return status, {"error": error}


def daily(period: str) -> dict[str, Any]:
    return {"@type": f"{RPC}QuotaFailure", "violations": [{"quotaId": f"Requests{period}Project"}]}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (openai(401, code="invalid_api_key"), errors.AuthenticationFailed),
        (openai(403), errors.PermissionDenied),
        (openai(404, code="model_not_found"), errors.ModelNotFound),
        (openai(429, code="rate_limit_exceeded"), errors.RateLimited),
        (openai(429, code="insufficient_quota"), errors.QuotaSpent),
        (openai(429, type="insufficient_quota"), errors.QuotaSpent),
        (openai(400, code="context_length_exceeded"), errors.ContextTooLong),
        (openai(400, "This model's maximum context length is 8 tokens"), errors.ContextTooLong),
        (openai(400, code="content_policy_violation"), errors.ContentRefused),
        (openai(400, code="content_filter"), errors.ContentRefused),
        (openai(400, type="invalid_request_error"), errors.InvalidRequest),
        (openai(402, "Insufficient credits"), errors.QuotaSpent),
        (openai(422, "bad field"), errors.InvalidRequest),
        (openai(503, "prompt is too long to tell"), errors.Overloaded),
        (anthropic(401, "authentication_error"), errors.AuthenticationFailed),
        (anthropic(403, "permission_error"), errors.PermissionDenied),
        (anthropic(404, "not_found_error"), errors.ModelNotFound),
        (
            anthropic(400, "invalid_request_error", "prompt is too long"),
            errors.ContextTooLong,
        ),
        (
            anthropic(400, "invalid_request_error", "Your credit balance is too low to access"),
            errors.QuotaSpent,
        ),
        (anthropic(402, "billing_error"), errors.QuotaSpent),
        (anthropic(429, "rate_limit_error"), errors.RateLimited),
        (anthropic(500, "api_error"), errors.Overloaded),
        (anthropic(504, "timeout_error"), errors.CallTimeout),
        (anthropic(529, "overloaded_error"), errors.Overloaded),
        (anthropic(200, "overloaded_error"), errors.Overloaded),
        (anthropic(200, "rate_limit_error"), errors.RateLimited),
        (anthropic(200, "invalid_request_error"), errors.InvalidRequest),
        (
            gemini(400, "INVALID_ARGUMENT", "x", {"reason": "API_KEY_INVALID"}),
            errors.AuthenticationFailed,
        ),
        (
            gemini(400, "INVALID_ARGUMENT", "API key not valid."),
            errors.AuthenticationFailed,
        ),
        (gemini(400, "INVALID_ARGUMENT", "seed must be a number"), errors.InvalidRequest),
        (
            gemini(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum"),
            errors.ContextTooLong,
        ),
        (gemini(403, "PERMISSION_DENIED"), errors.PermissionDenied),
        (gemini(404, "NOT_FOUND"), errors.ModelNotFound),
        (gemini(429, "RESOURCE_EXHAUSTED", "quota", daily("PerMinutePer")), errors.RateLimited),
        (gemini(429, "RESOURCE_EXHAUSTED", "quota", daily("PerDayPer")), errors.QuotaSpent),
        (gemini(503, "UNAVAILABLE"), errors.Overloaded),
        (gemini(504, "DEADLINE_EXCEEDED"), errors.CallTimeout),
        ((302, ""), errors.BadAnswer),
        ((418, None), errors.InvalidRequest),
        ((502, "<html><h1>Bad gateway</h1>"), errors.Overloaded),
        ((None, {"message": "?"}), errors.Overloaded),
    ],
)
def test_what_a_provider_says_becomes_our_own_error(
    answer: tuple[int | None, object], kind: type[errors.ProviderError]
) -> None:
    status, body = answer
    error = read_failure(body, status).error("Acme")
    assert type(error) is kind
    assert error.upstream_status == status


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_headers_say_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert read_failure({}, 429, headers).error("Acme").retry_after == seconds


def test_the_time_to_wait_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    wait = read_failure({}, 429, {"retry-after": date}).error("Acme").retry_after
    assert wait is not None and 55 < wait <= 60


def test_gemini_says_in_its_details_how_long_to_wait() -> None:
    _, body = gemini(429, "RESOURCE_EXHAUSTED", "", {"retryDelay": "34.07s"})
    assert read_failure(body, 429).retry_after == 34.07


@pytest.mark.parametrize("body", [None, "", [], [1], 7, {"error": None}, {"error": {"details": 1}}])
def test_a_body_of_no_known_shape_is_no_trouble(body: object) -> None:
    assert type(read_failure(body, 500).error("Acme")) is errors.Overloaded


@pytest.mark.parametrize("body", [{"error": "no such model"}, {"detail": "no such model"}])
def test_shorter_forms_of_other_servers_are_read_too(body: object) -> None:
    assert read_failure(body, 404).error("Acme").detail == "no such model"


def test_a_detail_is_one_short_line_without_keys_and_urls() -> None:
    text = clean(
        "bad\nkey my-own-secret at https://x.test/?key=1 sk-0123456789abcdefghi", "my-own-secret"
    )
    assert text == "bad key [redacted] at … [redacted]"
    assert len(clean("word " * 500)) == 300
