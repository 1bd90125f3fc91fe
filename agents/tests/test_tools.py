"""Tools: what the model is told of them, and that they can't do harm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Annotated, Any, Literal

import pytest
from django.core.checks import run_checks
from rest_framework.test import APIClient

from agents import toolbox
from agents.calculator import calculator
from agents.fetching import MAX_CHARACTERS, fetch_url
from agents.models import Message
from agents.tests.test_turns import say, start
from agents.toolbox import Toolbox, current_time
from agents.tools import ToolError, tool
from providers.vocabulary import ToolCall


@tool
def greet(
    name: Annotated[str, "Whom to greet"], tone: Literal["warm", "cool"] = "warm", times: int = 1
) -> str:
    """Greets somebody.

    As often as wanted."""
    return f"{tone} hello {name}" * times


@tool
async def sleepy() -> str:
    """Never ends."""
    await asyncio.Event().wait()
    return ""


@tool
def broken() -> str:
    """Has a mistake in it."""
    raise KeyError("a secret of ours")


def run(name: str, /, **arguments: Any) -> Any:
    box = Toolbox({each.tool.name: each for each in (greet, sleepy, broken, calculator)})
    return asyncio.run(box.run(ToolCall("c1", name, arguments))).result


def test_a_functions_hints_and_docstring_are_what_the_model_is_told() -> None:
    assert (greet.tool.name, greet.tool.description) == (
        "greet", "Greets somebody.\n\nAs often as wanted.",
    )  # fmt: skip
    assert greet.tool.schema == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "Whom to greet"},
            "tone": {"type": "string", "enum": ["warm", "cool"], "default": "warm"},
            "times": {"type": "integer", "default": 1},
        },
        "required": ["name"],
    }


def test_a_tool_runs_with_its_defaults() -> None:
    assert run("greet", name="Ada").content == "warm hello Ada"


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("greet", {}, "name: Field required"),
        ("greet", {"name": "Ada", "tone": "hot"}, "tone:"),
        ("broken", {}, "The tool failed."),
        ("nothing", {}, "There is no tool nothing."),
        ("calculator", {"expression": "1/0"}, "divides by zero"),
    ],
)
def test_what_goes_wrong_is_a_result_for_the_model(
    name: str, arguments: dict[str, Any], sentence: str
) -> None:
    result = run(name, **arguments)

    assert result.is_error
    assert sentence in result.content
    assert "secret" not in result.content


def test_a_tool_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolbox, "SECONDS", 0.01)

    result = run("sleepy")
    assert result.is_error and "took longer" in result.content


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("17 * 23", "391"),
        ("(2 + 3) * 4 ** 2", "80"),
        ("-7 // 2", "-4"),
        ("0.1 + 0.2", "0.30000000000000004"),
        ("sqrt(2) ** 2 > 1", None),
        ("max(1, 2, 3) + round(2.4)", "5"),
        ("2 ** 200", str(2**200)),
    ],
)
def test_the_calculator_works_out_arithmetic(expression: str, value: str | None) -> None:
    result = run("calculator", expression=expression)

    assert result.is_error if value is None else result.content == value


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "().__class__",
        "9 ** 9 ** 9",
        "10 ** 1000 * 10 ** 1000",
        "'a' * 100000000",
        "[1] * 10",
        "(-8) ** 0.5",
        "True + 1",
        "min()",
        "1e400",
        "round(2.5, ndigits=1)",
        "(" * 400,
        "1" * 501,
        "lambda: 1",
        "",
    ],
)
def test_the_calculator_does_nothing_else(expression: str) -> None:
    assert run("calculator", expression=expression).is_error


def test_the_time_is_told_for_a_zone() -> None:
    assert "UTC+0000" in asyncio.run(current_time.run({}))
    assert "+0530" in asyncio.run(current_time.run({"zone": "Asia/Kolkata"}))
    for zone in ("Mars/Base", "../../etc/passwd", "/etc/passwd", ""):
        with pytest.raises(ToolError):
            asyncio.run(current_time.run({"zone": zone}))


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind, status, body, location = {
            "/page": ("text/html", 200, b"<script>evil()</script><p>Hello <b>there</b></p>", ""),
            "/long": ("text/plain", 200, b"x" * 2_000_000, ""),
            "/image": ("image/png", 200, b"PNG", ""),
            "/loop": ("text/plain", 302, b"", "/loop"),
            "/inside": ("text/plain", 302, b"", "http://169.254.169.254/latest"),
            "/moved": ("text/plain", 301, b"", "/page"),
        }.get(self.path, ("text/plain", 404, b"", ""))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        with suppress(OSError):  # the reader has had enough
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetch(url: str) -> str:
    return asyncio.run(fetch_url.run({"url": url}))


def test_a_page_comes_as_its_text(pages: str, allow: Callable[..., None]) -> None:
    allow("127.0.0.1")

    assert fetch(f"{pages}/page") == "Hello\nthere"
    assert fetch(f"{pages}/moved") == "Hello\nthere"
    assert len(fetch(f"{pages}/long")) == MAX_CHARACTERS


@pytest.mark.parametrize("path", ["/image", "/loop", "/inside", "/missing"])
def test_what_is_no_page_is_refused(pages: str, allow: Callable[..., None], path: str) -> None:
    allow("127.0.0.1")

    with pytest.raises(ToolError):
        fetch(pages + path)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest",
        "https://user:pass@example.com/",
        "file:///etc/passwd",
        "ftp://example.com/",
        "example.com",
        "https://",
        "",
    ],
)
def test_no_address_of_our_own_network_is_fetched(
    pages: str, allow: Callable[..., None], url: str
) -> None:
    with pytest.raises(ToolError):
        fetch(url)
    with pytest.raises(ToolError):
        fetch(f"{pages}/page")


def test_fetching_is_off_where_people_may_name_no_hosts(pages: str, settings: Any) -> None:
    settings.CUSTOM_BASE_URLS = False

    with pytest.raises(ToolError, match="switched off"):
        fetch(f"{pages}/page")


@tool
def of_operator(number: int) -> str:
    """Doubles a number."""
    return str(number * 2)


def plain_function() -> None:
    """Is no tool."""


HERE = __name__


@pytest.mark.django_db
def test_the_operators_functions_are_tools_like_the_built_in_ones(
    api: APIClient, settings: Any, simulator: Any
) -> None:
    settings.TOOLS = [f"{HERE}.of_operator"]

    assert "of_operator" in [each["name"] for each in api.get("/api/v1/agent/tools").json()]
    session = start(api, tools=["of_operator"])
    assert say(api, session, "Use of_operator with 21.").status_code == 201
    result = Message.objects.get(role="tool").parts[0]
    assert (result["name"], result["is_error"]) == ("of_operator", False)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "flaw"),
    [
        ("acme.nothing.here", "can't be imported"),
        (f"{HERE}.plain_function", "no function with @tool"),
        ("agents.calculator.calculator", "two tools named calculator"),
    ],
)
def test_what_is_no_tool_is_an_error_of_the_check(settings: Any, path: str, flaw: str) -> None:
    settings.TOOLS = [path]
    (error,) = [each for each in run_checks() if each.id == "agents.E001"]

    assert path in error.msg or "calculator" in error.msg
    assert flaw in error.msg
