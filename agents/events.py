"""Turn events as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events)."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator

from django.http import StreamingHttpResponse

from agents.loop import Event, Turn
from agents.turns import stream_turn


def event_stream(turn: Turn) -> StreamingHttpResponse:
    """The turn as a response that streams while the model answers."""
    return StreamingHttpResponse(
        _encoded(stream_turn(turn)),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _encoded(events: AsyncGenerator[Event]) -> AsyncIterator[bytes]:
    try:
        async for event in events:
            data = json.dumps(event.data, ensure_ascii=False)
            yield f"event: {event.name}\ndata: {data}\n\n".encode()
    finally:
        await events.aclose()
