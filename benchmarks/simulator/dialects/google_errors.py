"""Gemini's error bodies: google.rpc.Status with details.

Sources: https://ai.google.dev/gemini-api/docs/troubleshooting, https://google.aip.dev/193 and
observed responses. A bad key is a 400, a missing one a 403.
"""

from typing import Any

from benchmarks.simulator.problem import Problem, Reply

_RPC = "type.googleapis.com/google.rpc."
_NO_KEY = (
    "Method doesn't allow unregistered callers (callers without established identity). Please use "
    "API Key or other form of API consumer identity to call this API."
)
_BAD_KEY = "API key not valid. Please pass a valid API key."
_DENIED = (
    "Generative Language API has not been used in project 000000000000 before or it is disabled."
)
_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more "
    "information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)
_NO_MODEL = (
    "models/{model} is not found for API version {version}, or is not supported for "
    "generateContent. Call ListModels to see the list of available models and their supported "
    "methods."
)
_CONTEXT = (
    "The input token count ({tokens}) exceeds the maximum number of tokens allowed ({limit})."
)

ERRORS: dict[str, tuple[int, str, str]] = {
    "missing_key": (403, "PERMISSION_DENIED", _NO_KEY),
    "bad_key": (400, "INVALID_ARGUMENT", _BAD_KEY),
    "forbidden": (403, "PERMISSION_DENIED", _DENIED),
    "rate_limit": (429, "RESOURCE_EXHAUSTED", _QUOTA),
    "quota": (429, "RESOURCE_EXHAUSTED", _QUOTA),
    "server": (500, "INTERNAL", "An internal error has occurred. Please retry or report."),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "context": (400, "INVALID_ARGUMENT", _CONTEXT),
    "no_model": (404, "NOT_FOUND", _NO_MODEL),
    "no_path": (404, "NOT_FOUND", "Requested entity was not found."),
    "no_method": (404, "NOT_FOUND", "Requested entity was not found."),
    "bad_request": (400, "INVALID_ARGUMENT", "{message}"),
    "not_json": (400, "INVALID_ARGUMENT", "Invalid JSON payload received. Unexpected token."),
    "too_large": (413, "INVALID_ARGUMENT", "Request payload size exceeds the limit."),
}
"""Kind → status, google.rpc.Code, message."""


def error(problem: Problem, key: str) -> Reply:
    """The problem as Gemini would put it."""
    status, name, message = ERRORS[problem.kind]
    facts = {
        "version": "v1beta",
        "limit": 1_048_576,
        "tokens": 1_048_577,
        **problem.facts,
        "message": problem.message,
    }
    body: dict[str, Any] = {
        "code": status,
        "message": message.format_map(facts),
        "status": name,
    }
    details = _details(problem)
    if details:
        body["details"] = details
    return Reply({"error": body}, status, content_type="application/json; charset=UTF-8")


def headers(request_id: str = "") -> dict[str, str]:
    """What comes with every response. Google sends no request id, but says how long it took."""
    return {"server-timing": "gfet4t7; dur=1", "vary": "Origin, X-Origin, Referer"}


def _details(problem: Problem) -> list[dict[str, Any]]:
    if problem.kind == "bad_key":
        return [_info("API_KEY_INVALID"), _localized(_BAD_KEY)]
    if problem.kind == "forbidden":
        return [_info("SERVICE_DISABLED")]
    if problem.kind == "rate_limit":
        wait = f"{problem.facts.get('retry_after', 1.0):g}s"
        return [
            _violation("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", problem),
            _help(),
            {"@type": f"{_RPC}RetryInfo", "retryDelay": wait},
        ]
    if problem.kind == "quota":
        return [_violation("GenerateRequestsPerDayPerProjectPerModel-FreeTier", problem), _help()]
    return []


def _info(reason: str) -> dict[str, Any]:
    return {
        "@type": f"{_RPC}ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }


def _localized(message: str) -> dict[str, Any]:
    return {"@type": f"{_RPC}LocalizedMessage", "locale": "en-US", "message": message}


def _violation(quota: str, problem: Problem) -> dict[str, Any]:
    model = str(problem.facts.get("model", "gemini-2.5-flash"))
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
    violation = {
        "quotaMetric": metric,
        "quotaId": quota,
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": "10",
    }
    return {"@type": f"{_RPC}QuotaFailure", "violations": [violation]}


def _help() -> dict[str, Any]:
    link = {
        "description": "Learn more about Gemini API quotas",
        "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
    }
    return {"@type": f"{_RPC}Help", "links": [link]}
