"""Fields of a form that nobody expects: those that nobody needs cost nothing, on both wires, streamed and whole."""

from __future__ import annotations

import json

import pytest

from llmkit.errors import ProtocolError
from support.answers import FORMS, document
from support.decoding import Outcome, decode, stream_decoder, whole_decoder
from support.streams import ANTHROPIC_STOP, OPENAI_DONE, anthropic_event, openai_data

ODD: list[object] = [None, False, True, 7, 1.5, "x", [], {}, [7], {"n": 7}]


def chunk(
    choice: dict[str, object] | None = None, /, delta: object = None, **fields: object
) -> bytes:
    """Write a chunk with odd fields on every level."""
    choices = [{"index": 0, "delta": delta or {}, "finish_reason": None, **(choice or {})}]
    return openai_data({"id": "a", "model": "m-1", "choices": choices, **fields})


def event(name: str, **fields: object) -> bytes:
    """Write an event of Anthropic's, whose type may be odd."""
    return anthropic_event(name, **fields)


def whole(wire: str, body: object) -> Outcome:
    """Decode a whole answer."""
    return decode(whole_decoder(wire), [json.dumps(body).encode()])


@pytest.mark.parametrize("odd", ODD, ids=str)
@pytest.mark.parametrize("field", ["id", "model", "object", "created", "usage", "service_tier"])
@pytest.mark.parametrize(("wire", "how"), FORMS)
def test_the_head_of_an_answer(wire: str, how: str, field: str, odd: object) -> None:
    """What every chunk repeats, or the start says, may have any form: the text and the end are there."""
    if how == "whole":
        outcome = whole(wire, {**document(wire, "Hello"), field: odd})
    elif wire == "openai":
        stream = [
            chunk(delta={"content": "Hel"}, **{field: odd}),
            chunk(delta={"content": "lo"}, **{field: odd}),
            chunk({"finish_reason": "stop"}, **{field: odd}),
            OPENAI_DONE,
        ]
        outcome = decode(stream_decoder(wire), stream)
    else:
        head = {"id": "a", "model": "c", "type": "message", "usage": None, field: odd}
        text = {"type": "text_delta", "text": "Hello"}
        end = {"stop_reason": "end_turn", field: odd}
        stream = [
            event("message_start", message=head, **{field: odd}),
            event("content_block_delta", delta=text, **{field: odd}),
            event("message_delta", delta=end, **{field: odd}),
            ANTHROPIC_STOP,
        ]
        outcome = decode(stream_decoder(wire), stream)
    assert outcome.text == "Hello"
    assert outcome.finish is not None
    assert outcome.finish.stop_reason == "end"


@pytest.mark.parametrize("odd", [odd for odd in ODD if not isinstance(odd, str)], ids=str)
@pytest.mark.parametrize(
    "field", ["refusal", "reasoning", "reasoning_content", "role", "tool_calls", "audio"]
)
@pytest.mark.parametrize("how", ["streamed", "whole"])
def test_what_is_said_beside_the_content(how: str, field: str, odd: object) -> None:
    """A refusal or a thought of a wrong form is none, and so are calls of tools that are no list; one in a list may not be lost."""
    said = {"content": "Hello", field: odd}
    if how == "whole":
        outcome = whole("openai", {"choices": [{"message": said, "finish_reason": "stop"}]})
    else:
        stream = [chunk(delta=said), chunk({"finish_reason": "stop"}), OPENAI_DONE]
        outcome = decode(stream_decoder("openai"), stream)
    if field == "tool_calls" and odd == [7]:
        assert outcome.failure is not None
        assert outcome.failure[0] is ProtocolError
        return
    assert outcome.said == (("text", "Hello"),)
    assert outcome.finish is not None
    assert outcome.finish.stop_reason == "end"


@pytest.mark.parametrize("odd", [odd for odd in ODD if odd != 7], ids=str)
@pytest.mark.parametrize("field", ["index", "logprobs"])
@pytest.mark.parametrize("how", ["streamed", "whole"])
def test_what_stands_beside_a_choice(how: str, field: str, odd: object) -> None:
    """An index of a wrong form is that of the only choice."""
    if how == "whole":
        choice = {"message": {"content": "Hello"}, "finish_reason": "stop", field: odd}
        outcome = whole("openai", {"choices": [choice]})
    else:
        stream = [
            chunk({field: odd}, delta={"content": "Hello"}),
            chunk({field: odd, "finish_reason": "stop"}),
            OPENAI_DONE,
        ]
        outcome = decode(stream_decoder("openai"), stream)
    assert outcome.text == "Hello"
    assert outcome.finish is not None


@pytest.mark.parametrize("odd", [False, True, 5, [], {}, {"n": 7}], ids=str)
def test_a_finish_reason_of_a_wrong_form_is_none(odd: object) -> None:
    """It ends nothing: the text goes on, and the end marker is the end."""
    stream = [
        chunk({"finish_reason": odd}, delta={"content": "Hel"}),
        chunk({"finish_reason": odd}, delta={"content": "lo"}),
        OPENAI_DONE,
    ]
    outcome = decode(stream_decoder("openai"), stream)
    assert outcome.text == "Hello"
    assert outcome.finish is not None
    assert (outcome.finish.stop_reason, outcome.finish.raw_stop_reason) == ("other", None)


@pytest.mark.parametrize("odd", [False, True, 5, [], {}, {"n": 7}], ids=str)
def test_a_stop_reason_of_a_wrong_form_is_none(odd: object) -> None:
    """message_stop is the end all the same."""
    text = {"type": "text_delta", "text": "Hello"}
    stream = [
        event("message_start", message={"id": 5}),
        event("content_block_delta", delta=text, index=odd),
        event("message_delta", delta={"stop_reason": odd, "stop_sequence": odd}, usage=odd),
        ANTHROPIC_STOP,
    ]
    outcome = decode(stream_decoder("anthropic"), stream)
    assert outcome.text == "Hello"
    assert outcome.finish is not None
    assert (outcome.finish.stop_reason, outcome.finish.raw_stop_reason) == ("other", None)


@pytest.mark.parametrize("odd", [odd for odd in ODD if not isinstance(odd, str)], ids=str)
@pytest.mark.parametrize("field", ["citations", "signature", "thinking", "stop_reason", "id"])
@pytest.mark.parametrize("how", ["streamed", "whole"])
def test_what_stands_beside_the_text_of_a_block(how: str, field: str, odd: object) -> None:
    """Of a block of text only its text is read."""
    block = {"type": "text", "text": "Hel", field: odd}
    if how == "whole":
        content = [block, {"type": "new", "text": odd}, odd, {"type": "text", "text": "lo"}]
        body = {"type": "message", "content": content, "stop_reason": "end_turn"}
        outcome = whole("anthropic", body)
    else:
        delta = {"type": "text_delta", "text": "lo", field: odd}
        stream = [
            event("content_block_start", content_block=block),
            event("content_block_start", content_block={"type": "new", "text": odd}),
            event("content_block_delta", delta=delta),
            ANTHROPIC_STOP,
        ]
        outcome = decode(stream_decoder("anthropic"), stream)
    assert outcome.said == (("text", "Hello"),)
    assert outcome.finish is not None


@pytest.mark.parametrize("odd", [7, True, {"text": "Hello"}], ids=str)
@pytest.mark.parametrize(("wire", "how"), FORMS)
def test_text_of_a_wrong_form_is_an_error(wire: str, how: str, odd: object) -> None:
    """What may hold the text is never passed over: a hole in an answer is worse than an error."""
    if wire == "openai":
        said = {"content": odd}
        choice = {"message": said, "finish_reason": "stop"}
        forms = ([chunk(delta=said)], {"choices": [choice]})
    else:
        block = {"type": "text", "text": odd}
        body = {"type": "message", "content": [block], "stop_reason": "end_turn"}
        forms = ([event("content_block_start", content_block=block)], body)
    stream, body = forms
    outcome = whole(wire, body) if how == "whole" else decode(stream_decoder(wire), stream)
    assert outcome.failure == (ProtocolError, None)


def test_a_model_that_is_known_stays_known() -> None:
    """A later chunk of an odd form that does not name it takes nothing back."""
    decoder = stream_decoder("openai")
    decoder.feed(chunk(delta={"content": "Hel"}))
    decoder.feed(chunk(delta={"content": "lo"}, model=7, id=7, usage="x"))
    assert (decoder.model, decoder.request_id) == ("m-1", "a")


def test_the_name_of_an_event_is_its_type() -> None:
    """A server that names its events may leave the type out of the data, or put anything there."""
    text = b'data: {"delta":{"type":"text_delta","text":"Hello"}}\n\n'
    end = b'event: message_delta\ndata: {"type":7,"delta":{"stop_reason":"end_turn"}}\n\n'
    stop = b"event: message_stop\ndata: {}\n\n"
    outcome = decode(stream_decoder("anthropic"), [text, end, stop])
    assert outcome.text == "Hello"
    assert outcome.finish is not None
    assert outcome.finish.stop_reason == "end"


def test_a_name_does_not_stand_for_an_event_that_is_broken() -> None:
    """What is named message_stop and cannot be read ends nothing well."""
    broken = (
        b'event: message_stop\ndata: {"type":"message_delta"}\ndata: {"type":"message_stop"}\n\n'
    )
    decoder = stream_decoder("anthropic")
    assert decode(decoder, [broken]).failure == (ProtocolError, None)
    assert not decoder.finished


def test_halves_of_pairs_in_names() -> None:
    """Ids and names are mended as they are: no half of a surrogate pair gets into a row."""
    decoder = stream_decoder("openai")
    decoder.feed(openai_data({"choices": [], "x": 1}).replace(b'"x":1', b'"model":"m\\ud83d"'))
    assert decoder.model == "m\ufffd"
