"""Token counts of every form that servers send, on both wires, streamed and whole."""

from __future__ import annotations

import json

import pytest

from llmkit.events import Finish
from llmkit.providers.counts import believed
from llmkit.usage import Usage
from support.answers import FORMS, answer, document, frames
from support.decoding import decode, stream_decoder, whole_decoder

LARGEST = 2**31 - 1
UNREADABLE = [10**30, 2**63, 2**31, -3, 5.5, 1e300, "five", "-1", "", True, [], [7], {"n": 7}]


def usage_of(wire: str, how: str, report: object, *texts: str) -> Usage:
    """Decode an answer with this report; return its usage, and see that it is complete and says what it said."""
    outcome = answer(wire, how, *texts, usage=report)
    assert outcome.text == "".join(texts)
    assert isinstance(outcome.finish, Finish)
    return outcome.finish.usage


def report(
    wire: str, *, prompt: object, output: object, read: object = None, wrote: object = None
) -> dict[str, object]:
    """Write a report of counts in the words of the wire; Anthropic's prompt is without what the cache gave or took."""
    if wire == "anthropic":
        return {
            "input_tokens": prompt,
            "output_tokens": output,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": wrote,
        }
    details = {"cached_tokens": read, "cache_write_tokens": wrote}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "prompt_tokens_details": details,
    }


@pytest.mark.parametrize("count", UNREADABLE, ids=str)
@pytest.mark.parametrize(("wire", "how"), FORMS)
def test_a_count_that_cannot_be_is_unknown(wire: str, how: str, count: object) -> None:
    """Too large, negative, a fraction, no number: unknown, the others are kept, and no text is lost."""
    no_prompt = usage_of(wire, how, report(wire, prompt=count, output=5), "Hello")
    assert (no_prompt.input_tokens, no_prompt.input_source) == (None, "unknown")
    assert (no_prompt.output_tokens, no_prompt.output_source) == (5, "reported")
    no_output = usage_of(wire, how, report(wire, prompt=7, output=count), "Hello")
    assert (no_output.input_tokens, no_output.input_source) == (7, "reported")
    assert (no_output.output_tokens, no_output.output_source) == (None, "unknown")


@pytest.mark.parametrize("count", UNREADABLE, ids=str)
@pytest.mark.parametrize(("wire", "how"), FORMS)
def test_a_part_that_cannot_be_is_unknown(wire: str, how: str, count: object) -> None:
    """Of cached and written tokens the same holds, and of reasoning and the two kinds of writes."""
    usage = usage_of(wire, how, report(wire, prompt=7, output=5, read=count, wrote=count), "Hello")
    assert (usage.input_tokens, usage.output_tokens) == (7, 5)
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == (None, None)
    parts: dict[str, object] = {"ephemeral_5m_input_tokens": count}
    parts["ephemeral_1h_input_tokens"] = count
    more = {
        "completion_tokens_details": {"reasoning_tokens": count},
        "output_tokens_details": {"thinking_tokens": count},
        "cache_creation": parts,
        "prompt_cache_hit_tokens": count,
        "total_tokens": count,
    }
    usage = usage_of(wire, how, {**report(wire, prompt=7, output=5), **more}, "Hello")
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (7, 5, None)
    assert (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens) == (None, None)


@pytest.mark.parametrize("how", ["streamed", "whole"])
def test_the_parts_of_an_unknown_prompt_are_unknown(how: str) -> None:
    """A prompt that is estimated later cannot be told which part of it was written to the cache, and for how long."""
    parts = {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}
    counts = report("anthropic", prompt=None, output=5, read=2, wrote=7)
    usage = usage_of("anthropic", how, {**counts, "cache_creation": parts}, "Hello")
    assert usage == Usage(output_tokens=5, output_source="reported")


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
def test_of_a_broken_answers_reports_the_last_counts(wire: str) -> None:
    """As it would in JSON that can be read; one that is cut itself is passed over."""
    first, last = (json.dumps(report(wire, prompt=n, output=n)) for n in (7, 11))
    for end in ("", ',"usage":{"input_tokens":9'):
        decoder = whole_decoder(wire)
        body = f'{{"choices":7,"content":7,"usage":{first},"usage":{last}{end}'
        assert decode(decoder, [body.encode()]).failure is not None
        assert (decoder.usage.input_tokens, decoder.usage.output_tokens) == (11, 11)


@pytest.mark.parametrize(("wire", "how"), FORMS)
def test_a_number_of_any_length_is_read_over(wire: str, how: str) -> None:
    """Python itself refuses to read a number of five thousand digits."""
    counts = report(wire, prompt=0.123456, output=5)
    streamed = b"".join(frames(wire, "Hello", usage=counts))
    stored = (
        streamed
        if how == "streamed"
        else json.dumps(document(wire, "Hello", usage=counts)).encode()
    )
    decoder = stream_decoder(wire) if how == "streamed" else whole_decoder(wire)
    outcome = decode(decoder, [stored.replace(b"0.123456", b"9" * 5000)])
    assert outcome.text == "Hello"
    assert outcome.finish is not None
    assert (outcome.finish.usage.input_tokens, outcome.finish.usage.output_tokens) == (None, 5)


@pytest.mark.parametrize(("wire", "how"), FORMS)
def test_the_largest_count_is_taken(wire: str, how: str) -> None:
    """Up to what a column of the ledger holds; a sum beyond it is unknown, with its parts."""
    usage = usage_of(wire, how, report(wire, prompt=LARGEST, output=LARGEST), "Hello")
    assert (usage.input_tokens, usage.output_tokens) == (LARGEST, LARGEST)
    if wire == "anthropic":
        counts = report(wire, prompt=LARGEST, output=LARGEST, read=1, wrote=0)
        usage = usage_of(wire, how, counts, "Hello")
        assert (usage.input_tokens, usage.cache_read_tokens) == (None, None)
        assert (usage.input_source, usage.output_tokens) == ("unknown", LARGEST)
    else:
        beside = {"completion_tokens_details": {"reasoning_tokens": 1}, "total_tokens": LARGEST}
        counts = {**report(wire, prompt=1, output=LARGEST - 2), **beside}
        assert usage_of(wire, how, counts, "Hello").output_tokens == LARGEST - 1


@pytest.mark.parametrize("eleven", [11, 11.0, "11", " 11 ", "11.0"])
@pytest.mark.parametrize(("wire", "how"), FORMS)
def test_whole_numbers_in_any_form_are_taken(wire: str, how: str, eleven: object) -> None:
    """Written as a fraction or as a text, eleven is eleven, for the parts too."""
    counts = report(wire, prompt=eleven, output=eleven, read=eleven)
    usage = usage_of(wire, how, counts, "Hello")
    assert usage.input_tokens == (22 if wire == "anthropic" else 11)
    assert (usage.output_tokens, usage.cache_read_tokens) == (11, 11)
    assert (usage.input_source, usage.output_source) == ("reported", "reported")


@pytest.mark.parametrize("odd", ["x", [], [1], 5, False, True, 1.5])
@pytest.mark.parametrize(("wire", "how"), FORMS)
def test_a_report_of_any_form_costs_no_text(wire: str, how: str, odd: object) -> None:
    """What is no report at all is unknown; a part of it that is none leaves the counts beside it."""
    assert usage_of(wire, how, odd, "Hello") == Usage()
    details = (
        *("prompt_tokens_details", "completion_tokens_details"),
        *("cache_creation", "output_tokens_details"),
    )
    counts = {**report(wire, prompt=7, output=5), **dict.fromkeys(details, odd)}
    usage = usage_of(wire, how, counts, "Hello")
    assert (usage.input_tokens, usage.output_tokens) == (7, 5)


@pytest.mark.parametrize(("wire", "how"), FORMS)
def test_zeros_that_cannot_be_are_unknown(wire: str, how: str) -> None:
    """No prompt has 0 tokens, and no text: such zeros are not reported, on both wires alike."""
    zeros = report(wire, prompt=0, output=0, read=0, wrote=0)
    assert usage_of(wire, how, zeros, "Hello") == Usage()
    assert usage_of(wire, how, zeros) == Usage()
    prompt_alone = usage_of(wire, how, report(wire, prompt=7, output=0), "Hello")
    assert (prompt_alone.input_tokens, prompt_alone.output_tokens) == (7, None)
    output_alone = usage_of(wire, how, report(wire, prompt=0, output=5), "Hello")
    assert (output_alone.input_tokens, output_alone.output_tokens) == (None, 5)


@pytest.mark.parametrize(("wire", "how"), FORMS)
def test_a_true_zero_is_reported(wire: str, how: str) -> None:
    """An answer without a text has 0 tokens, and a prompt may have 0 of them in the cache."""
    usage = usage_of(wire, how, report(wire, prompt=7, output=0, read=0, wrote=0))
    assert (usage.input_tokens, usage.output_tokens) == (7, 0)
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == (0, 0)
    assert (usage.input_source, usage.output_source) == ("reported", "reported")


def test_what_a_decoder_of_the_apps_own_counts_is_believed_no_further() -> None:
    """A negative count would give a budget something back."""
    told = Usage(input_tokens=-5, output_tokens=-1_000_000, reasoning_tokens=-1)
    assert believed(told, said=True) == Usage()
    whole = believed(Usage(input_tokens=9, cache_read_tokens=-9, output_tokens=2), said=True)
    assert (whole.input_tokens, whole.cache_read_tokens, whole.output_tokens) == (9, None, 2)
