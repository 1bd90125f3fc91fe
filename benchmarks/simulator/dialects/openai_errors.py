"""OpenAI's error bodies and headers.

Source: https://platform.openai.com/docs/guides/error-codes and observed responses.
"""

from benchmarks.simulator.dialects.base import unique
from benchmarks.simulator.problem import Problem, Reply

_FAILED = "The server had an error while processing your request. Sorry about that!"
_OVERLOADED = "The engine is currently overloaded, please try again later."
_NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank "
    "username) if you're accessing the API from your browser and are prompted for a username and "
    "password. You can obtain an API key from https://platform.openai.com/account/api-keys."
)
_BAD_KEY = (
    "Incorrect API key provided: {masked}. You can find your API key at "
    "https://platform.openai.com/account/api-keys."
)
_RATE = (
    "Rate limit reached for {model} in organization org-simulated on requests per min (RPM): "
    "Limit 500, Used 500, Requested 1. Please try again in {wait}s. Visit "
    "https://platform.openai.com/account/rate-limits to learn more."
)
_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more "
    "information on this error, read the docs: "
    "https://platform.openai.com/docs/guides/error-codes/api-errors."
)
_CONTEXT = (
    "This model's maximum context length is {limit} tokens. However, your messages resulted in "
    "{tokens} tokens. Please reduce the length of the messages."
)
_NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
    "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not "
    "valid JSON.)"
)
_INVALID = "invalid_request_error"

ERRORS: dict[str, tuple[int, str, str | None, str | None, str]] = {
    "missing_key": (401, _INVALID, None, None, _NO_KEY),
    "bad_key": (401, _INVALID, None, "invalid_api_key", _BAD_KEY),
    "forbidden": (
        403,
        "request_forbidden",
        None,
        "unsupported_country_region_territory",
        "Country, region, or territory not supported",
    ),
    "rate_limit": (429, "requests", None, "rate_limit_exceeded", _RATE),
    "quota": (429, "insufficient_quota", None, "insufficient_quota", _QUOTA),
    "server": (500, "server_error", None, None, _FAILED),
    "overloaded": (503, "server_error", None, None, _OVERLOADED),
    "context": (400, _INVALID, "messages", "context_length_exceeded", _CONTEXT),
    "no_model": (
        404,
        _INVALID,
        None,
        "model_not_found",
        "The model `{model}` does not exist or you do not have access to it.",
    ),
    "no_path": (404, _INVALID, None, None, "Invalid URL ({method} {path})"),
    "no_method": (
        405,
        _INVALID,
        None,
        "method_not_supported",
        "Not allowed to {method} on {path}.",
    ),
    "bad_request": (400, _INVALID, None, None, "{message}"),
    "not_json": (400, _INVALID, None, None, _NOT_JSON),
    "too_large": (413, _INVALID, None, None, "Request body is larger than 32 MB."),
}
"""Kind → status, type, param, code, message."""


def error(problem: Problem, key: str) -> Reply:
    """The problem as OpenAI would put it. A key is shown as OpenAI does, masked."""
    status, kind, param, code, message = ERRORS[problem.kind]
    wait = problem.facts.get("retry_after", 1.0)
    facts = {"model": "gpt-4o-mini", "limit": 128_000, "tokens": 128_001, **problem.facts}
    facts |= {"message": problem.message, "masked": _masked(key), "wait": f"{wait:g}"}
    body = {
        "message": message.format_map(facts),
        "type": kind,
        "param": problem.facts.get("param", param),
        "code": problem.facts.get("code", code),
    }
    return Reply({"error": body}, status, _error_headers(problem.kind, wait))


def headers(request_id: str = "") -> dict[str, str]:
    """What comes with every response."""
    return {
        "x-request-id": request_id or unique("req_", 32),
        "openai-version": "2020-10-01",
        "openai-organization": "org-simulated",
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-limit-tokens": "200000",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-remaining-tokens": "199000",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-reset-tokens": "300ms",
    }


def _error_headers(kind: str, wait: float) -> dict[str, str]:
    if kind == "rate_limit":
        return {
            "retry-after": f"{wait:g}",
            "retry-after-ms": f"{wait * 1000:.0f}",
            "x-ratelimit-remaining-requests": "0",
        }
    return {"retry-after": f"{wait:g}"} if kind == "overloaded" else {}


def _masked(key: str) -> str:
    return f"{key[:3]}{'*' * min(max(len(key) - 7, 4), 40)}{key[-4:]}" if len(key) > 12 else "*" * 8
