"""What the simulator says outside the dialects: its front page and its log."""

import json
from typing import Protocol

from benchmarks.simulator.faults import Flaky
from benchmarks.simulator.log import Log
from benchmarks.simulator.wire import Exchange

FRONT_PAGE = """BYOM provider simulator: simulated answers, no provider is ever called.

Base URLs below this address, with any key that contains "sim-" (say sk-sim-ok-1234567890):
  OpenAI SDK         /openai/v1
  Anthropic SDK      /anthropic
  Google GenAI SDK   /google

Request headers: x-sim-ttft-ms, x-sim-itl-ms, x-sim-jitter-ms, x-sim-tokens, x-sim-chunk,
x-sim-seed, x-sim-cached-tokens, x-sim-reasoning-tokens, x-sim-retry-after, x-sim-fault.
Faults, as header value or in the key (sk-sim-429-...): 401 403 429 quota 500 503 529 slow drop
errorevent garbage hang context refuse cut flaky-N.
Request log: GET /_sim/log; DELETE /_sim/log clears it. More: docs/howto/simulator.md
"""


class Logged(Protocol):
    """What these pages need of the app."""

    log: Log
    flaky: Flaky


async def serve(app: Logged, exchange: Exchange, path: str) -> None:
    """Answers every path that is not below a dialect's base."""
    if path == "/_sim/log" and exchange.method == "GET":
        entries = {"entries": [entry.as_json() for entry in app.log]}
        await _send(exchange, 200, json.dumps(entries), "application/json")
    elif path == "/_sim/log" and exchange.method == "DELETE":
        app.log.clear()
        app.flaky.clear()
        await _send(exchange, 204, "")
    elif path == "/" and exchange.method in ("GET", "HEAD"):
        await _send(exchange, 200, FRONT_PAGE)
    else:
        await _send(exchange, 404, "Not here. " + FRONT_PAGE)


async def _send(
    exchange: Exchange, status: int, text: str, kind: str = "text/plain; charset=utf-8"
) -> None:
    data = text.encode()
    headers = {"content-type": kind, "x-simulated": "true"}
    if status != 204:
        headers["content-length"] = str(len(data))
    await exchange.start(status, headers)
    await exchange.write(data, more=False)
