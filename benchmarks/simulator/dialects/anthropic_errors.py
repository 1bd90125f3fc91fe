"""Anthropic's error bodies and headers. Source: https://docs.claude.com/en/api/errors."""

from benchmarks.simulator.dialects.base import unique
from benchmarks.simulator.problem import Problem, Reply

_CREDIT = (
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to "
    "upgrade or purchase credits."
)
_RATE = (
    "This request would exceed your organization's rate limit of 50 requests per minute. For "
    "details, refer to: https://docs.claude.com/en/api/rate-limits."
)
_INVALID = "invalid_request_error"

ERRORS: dict[str, tuple[int, str, str]] = {
    "missing_key": (401, "authentication_error", "x-api-key header is required"),
    "bad_key": (401, "authentication_error", "invalid x-api-key"),
    "forbidden": (
        403,
        "permission_error",
        "Your API key does not have permission to use the specified resource.",
    ),
    "rate_limit": (429, "rate_limit_error", _RATE),
    "quota": (400, _INVALID, _CREDIT),
    "server": (500, "api_error", "Internal server error"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "context": (400, _INVALID, "prompt is too long: {tokens} tokens > {limit} maximum"),
    "no_model": (404, "not_found_error", "model: {model}"),
    "no_path": (404, "not_found_error", "Not Found"),
    "no_method": (405, _INVALID, "Method Not Allowed"),
    "bad_request": (400, _INVALID, "{message}"),
    "not_json": (400, _INVALID, "The request body is not valid JSON."),
    "too_large": (413, "request_too_large", "Request exceeds the maximum size"),
}
"""Kind → status, type, message."""


def error(problem: Problem, key: str) -> Reply:
    """The problem as Anthropic would put it."""
    status, kind, message = ERRORS[problem.kind]
    facts = {"limit": 200_000, "tokens": 200_001, **problem.facts, "message": problem.message}
    request_id = unique("req_", 24)
    body = {
        "type": "error",
        "error": {"type": kind, "message": message.format_map(facts)},
        "request_id": request_id,
    }
    extra = {"request-id": request_id}
    if problem.kind == "rate_limit":
        extra["retry-after"] = f"{problem.facts.get('retry_after', 1.0):g}"
        extra["anthropic-ratelimit-requests-remaining"] = "0"
    return Reply(body, status, extra)


def headers(request_id: str = "") -> dict[str, str]:
    """What comes with every response."""
    return {
        "request-id": request_id or unique("req_", 24),
        "anthropic-organization-id": "00000000-0000-4000-8000-000000000000",
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-input-tokens-limit": "50000",
        "anthropic-ratelimit-input-tokens-remaining": "49000",
        "anthropic-ratelimit-output-tokens-limit": "10000",
        "anthropic-ratelimit-output-tokens-remaining": "9900",
    }
