"""Answers: whole and streamed, with the SDKs' own helpers and usage objects."""

from __future__ import annotations

import pytest

from gateway.tests.contract.conftest import Pair
from gateway.tests.contract.faces import Said
from gateway.tests.sdks import Place, run
from usage.models import UsageRecord

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]


def as_booked(said: Said, pair: Pair) -> None:
    """Nobody's usage is another one than the ledger's."""
    row = UsageRecord.objects.get()
    assert "Paris" in said.text and said.finish == pair.face.finishes[0]
    assert (said.input_tokens, said.output_tokens) == (row.input_tokens, row.output_tokens)
    assert (row.provider, row.status, row.usage_source) == (pair.provider, "ok", "reported")


@pytest.mark.promise("complete, with usage")
def test_an_answer_comes_whole(pair: Pair, place: Place) -> None:
    as_booked(run(pair.face.complete(place, pair.model)), pair)


@pytest.mark.promise("stream, with usage")
def test_an_answer_comes_in_pieces(pair: Pair, place: Place) -> None:
    as_booked(run(pair.face.stream(place, pair.model)), pair)


@pytest.mark.promise("stream helper")
def test_the_streaming_helper_puts_the_pieces_together(pair: Pair, place: Place) -> None:
    as_booked(run(pair.face.stream_helper(place, pair.model)), pair)


@pytest.mark.promise("instructions")
def test_instructions_reach_the_model(pair: Pair, place: Place) -> None:
    said = pair.face.instructed(
        place, pair.model, "Always mention marmalade.", "What are your instructions?"
    )
    assert "marmalade" in run(said)


@pytest.mark.promise("image")
def test_an_image_reaches_the_model(pair: Pair, place: Place) -> None:
    assert "image/png" in run(pair.face.image(place, pair.model))


@pytest.mark.promise("schema helper")
def test_the_schema_helper_gives_an_object(pair: Pair, place: Place) -> None:
    parsed = run(pair.face.schema_helper(place, pair.model))
    assert parsed is not None and parsed.city


@pytest.mark.promise("tool helper, whole round")
def test_the_tool_helper_calls_and_answers(pair: Pair, place: Place) -> None:
    assert run(pair.face.tool_helper(place, pair.model))
    assert UsageRecord.objects.filter(provider=pair.provider, status="ok").count() == 2


@pytest.mark.promise("tool call in a stream")
def test_a_tool_call_comes_in_a_stream(pair: Pair, place: Place) -> None:
    assert run(pair.face.streamed_tool(place, pair.model))
