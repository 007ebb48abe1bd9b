"""Which choice of OpenAI's chunks is the answer, and what may follow its end."""

from __future__ import annotations

import json

import pytest

from llmkit.errors import ProtocolError
from support.decoding import (
    EVENT_STREAM,
    JSON,
    PROVIDERS,
    Outcome,
    bytewise,
    call,
    decode,
    stream_decoder,
)
from support.streams import (
    OPENAI_DONE,
    OPENAI_STREAM,
    OPENAI_USAGE,
    openai_chunk,
    openai_data,
    openai_delta,
)


def choice(index: int, content: str | None = None, reason: str | None = None) -> dict[str, object]:
    """Build a choice of a chunk."""
    delta = {} if content is None else {"content": content}
    return {"index": index, "delta": delta, "finish_reason": reason}


def read(chunks: list[bytes], *, n: object = None) -> Outcome:
    """Decode chunks in one read and byte by byte, to the same result."""
    asked = call() if n is None else call(extra={"n": n})
    openai = PROVIDERS["openai"]
    at_once = decode(openai.decoder(asked, "m", EVENT_STREAM), [b"".join(chunks)])
    one_by_one = decode(openai.decoder(asked, "m", EVENT_STREAM), bytewise(b"".join(chunks)))
    assert at_once == one_by_one
    return at_once


@pytest.mark.parametrize("n", [None, 1, True, "2"])
@pytest.mark.parametrize("indexes", [(0, 1, 2), (1, 1, 1), (3, 0, 7)])
def test_a_choice_that_comes_alone_is_the_answer(indexes: tuple[int, ...], n: object) -> None:
    """Some servers count the index up with the chunks: no text is lost, and the finish reason is seen."""
    first, second, last = indexes
    chunks = [
        openai_chunk(choice(first, "Hello")),
        openai_chunk(choice(second, " there")),
        openai_chunk(choice(last, None, "stop")),
    ]
    outcome = read([*chunks, OPENAI_DONE], n=n)
    assert outcome.text == "Hello there"
    assert outcome.finish is not None
    assert outcome.finish.stop_reason == "end"


@pytest.mark.parametrize("first", [0, 1])
def test_of_several_choices_the_first_is_read(first: int) -> None:
    """With n, OpenAI sends each choice in chunks of its own, in turns; the other one's end is not the end."""
    other = 1 - first
    chunks = [
        openai_chunk(choice(first, "Hello")),
        openai_chunk(choice(other, "Howdy")),
        openai_chunk(choice(first, " there")),
        openai_chunk(choice(other, None, "length")),
        openai_chunk(choice(other, "x")),
        openai_chunk(choice(first, ".")),
        openai_chunk(choice(first, None, "stop")),
        openai_chunk(choice(other, " you", "length")),
        openai_chunk(usage=OPENAI_USAGE),
        OPENAI_DONE,
    ]
    outcome = read(chunks, n=2)
    assert outcome.text == "Hello there."
    assert outcome.finish is not None
    assert outcome.finish.stop_reason == "end"
    assert outcome.finish.usage.input_tokens == 19


def test_several_choices_in_one_chunk_show_that_there_are_several() -> None:
    """From then on the index rules, though the call did not ask for them."""
    chunks = [
        openai_chunk(choice(0, "Hello"), choice(1, "Howdy")),
        openai_chunk(choice(1, " you")),
        openai_chunk(choice(0, " there")),
        openai_chunk(choice(1, None, "length"), choice(0, None, "stop")),
        OPENAI_DONE,
    ]
    outcome = read(chunks)
    assert outcome.text == "Hello there"
    assert outcome.finish is not None
    assert outcome.finish.stop_reason == "end"


def test_choices_that_come_alone_before_several_are_the_answer() -> None:
    """Also where one read holds all of it, and something odd in it has it read again with more care."""
    chunks = [
        openai_chunk(choice(0, "Hello")),
        openai_chunk(choice(1, " there")),
        openai_chunk(choice(0, "."), choice(1, "Howdy")),
        openai_data({"choices": None}),
        openai_chunk(choice(1, " you", "length"), choice(0, None, "stop")),
        OPENAI_DONE,
    ]
    outcome = read(chunks)
    assert outcome.text == "Hello there."
    assert outcome.finish is not None
    assert outcome.finish.stop_reason == "end"


@pytest.mark.parametrize("indexes", [(0, 1), (1, 0), (1, 2)])
def test_of_a_whole_answer_one_choice_is_read(indexes: tuple[int, int]) -> None:
    """The one with the index 0, or the first; a single one whatever its index."""

    def document(*found: int) -> bytes:
        choices = [
            {"index": index, "message": {"content": str(index)}, "finish_reason": "stop"}
            for index in found
        ]
        return json.dumps({"choices": choices}).encode()

    openai = PROVIDERS["openai"]
    decoder = openai.decoder(call(streaming=False, extra={"n": 2}), "m", JSON)
    assert decode(decoder, [document(*indexes)]).text == str(min(indexes))
    decoder = openai.decoder(call(streaming=False), "m", JSON)
    assert decode(decoder, [document(indexes[1])]).text == str(indexes[1])


def say(content: str | None, reason: str | None = None, **more: object) -> bytes:
    """Write a chunk, with a role or an id of its own if they are given."""
    head = {"id": more.pop("id")} if "id" in more else {}
    said = {} if content is None else {"content": content}
    return openai_chunk(openai_delta(reason, **said, **more), **head)


ONE = [say("", role="assistant"), say("Hello"), say(None, "stop")]
TWO = [say("", role="assistant", id="b"), say("Hello", id="b"), say(None, "stop", id="b")]


@pytest.mark.parametrize(
    "second",
    [
        TWO,
        [say("Hello", id="b"), say(None, "stop", id="b")],
        ONE,
        [say("Hello", "stop", role="assistant")],
        [say("Hello", "stop", role="assistant", id="b")],
        [openai_chunk(usage=OPENAI_USAGE), *TWO],
        [say(None, "stop", id="b", role="assistant"), say("Hello", id="b")],
    ],
)
def test_a_second_answer_behind_the_end_is_not_shown(second: list[bytes]) -> None:
    """A proxy that asked again: an error with the first answer, for nothing is said twice."""
    outcome = read([*ONE, *second, OPENAI_DONE])
    assert outcome.text == "Hello"
    assert outcome.failure == (ProtocolError, None)
    decoder = stream_decoder("openai")
    decoder.feed(b"".join([*ONE, *second]))
    assert "began a second answer inside the first" in str(decoder.failure)


def test_a_second_answer_behind_one_that_came_in_one_chunk() -> None:
    """Another id and a role again are proof, though the first answer had no more than one chunk."""
    chunks = [say("Hello", "stop", role="assistant", id=name) for name in "ab"]
    assert read([*chunks, OPENAI_DONE]).failure == (ProtocolError, None)


def test_a_stored_answer_twice() -> None:
    """The same bytes again, without the end marker between them."""
    stream = OPENAI_STREAM.removesuffix(OPENAI_DONE)
    outcome = read([stream, stream, OPENAI_DONE])
    assert outcome == read([stream, stream])
    assert outcome.failure == (ProtocolError, None)
    assert outcome.text == read([OPENAI_STREAM]).text


@pytest.mark.parametrize(
    "chunks",
    [
        [say(part, "stop") for part in ("Hel", "lo")],
        [say(part, "stop", role="assistant") for part in ("Hel", "lo")],
        [say("", role="assistant"), say("Hel", "stop"), say("lo", "stop")],
        [say(part, id=name) for part, name in (("Hel", "a"), ("lo", "b"))],
        [say(part, id=name, role="assistant") for part, name in (("Hel", "a"), ("lo", "b"))],
        [say(part, "stop", id=name) for part, name in (("Hel", "a"), ("lo", "b"))],
        [say("Hel", id="a"), say("", "stop", id="b"), say("lo", "stop", id="c")],
        [say("Hel", id=""), say("lo", "stop", id=""), say("", "stop", id="x")],
    ],
)
def test_content_that_goes_on_is_content(chunks: list[bytes]) -> None:
    """A finish reason, an id of its own or a role with every chunk begin no second answer."""
    outcome = read([*chunks, say(None, "stop", id="c"), OPENAI_DONE])
    assert outcome.failure is None
    assert outcome.text == "Hello"


@pytest.mark.parametrize(
    "last",
    [
        openai_chunk(usage=OPENAI_USAGE),
        openai_data({"id": "other", "choices": [], "usage": OPENAI_USAGE}),
        openai_chunk(openai_delta(role="assistant", content=""), usage=OPENAI_USAGE),
        openai_chunk(openai_delta(content=None), id="other", usage=OPENAI_USAGE),
        openai_data({"id": "other", "choices": [7.5], "usage": OPENAI_USAGE}).replace(
            b"7.5", b"{}"
        ),
    ],
)
def test_usage_behind_the_end(last: bytes) -> None:
    """It may come with another id, or with a choice that says nothing, as OpenRouter sends it."""
    outcome = read([*ONE, last, OPENAI_DONE])
    assert outcome.text == "Hello"
    assert outcome.finish is not None
    assert (outcome.finish.stop_reason, outcome.finish.usage.input_tokens) == ("end", 19)


def test_the_mark_of_an_odd_chunk_is_read_too() -> None:
    """A chunk that msgspec is too strict for begins a second answer like any other."""
    second = say("Hello", id="b").replace(b'"logprobs":null', b'"logprobs":NaN')
    assert read([*ONE, second, OPENAI_DONE]).failure == (ProtocolError, None)
    unnamed = say("Hello", id=7)
    assert read([*ONE, unnamed, OPENAI_DONE]).text == "HelloHello"


def test_a_finish_reason_with_every_chunk_ends_nothing_by_itself() -> None:
    """Content behind it shows that silence may not end the answer; a finish reason without content says so again."""
    decoder = stream_decoder("openai")
    said = []
    for content, stops in (("a", True), ("b", False), ("c", False), ("", True), ("d", False)):
        decoder.feed(openai_chunk(openai_delta("stop", content=content)))
        said.append((content, decoder.stopping is stops))
    assert said == [(content, True) for content in "abc"] + [("", True), ("d", True)]
