"""What was asked and answered: in the row where the settings say so, redacted, and nowhere else."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmkit import Call, CallNext, ConfigError, InvalidRequest, Kit, RequestRejected, Stream
from llmkit.ledger.content import Content
from llmkit.ledger.host import HostLedger
from llmkit.ledger.outbox.records import decode, encode
from llmkit.ledger.outbox.store import Outbox
from llmkit.ledger.row import Closing, Opening, Refusals, RowRejected
from llmkit.testing import Behaviour, Emulator
from support.kits import make_kit
from support.ledger import closing, opening, read
from support.memory_store import MemoryStore, writing

ASKED = {"system": None, "messages": [{"role": "user", "content": "my PIN is 9876"}]}


def without_digits(content: dict[str, Any]) -> dict[str, Any]:
    """Redact what was asked, as an app would."""
    messages = [
        {**message, "content": "".join("#" if c.isdigit() else c for c in message["content"])}
        for message in content["messages"]
    ]
    return {**content, "messages": messages}


def kit_of(emulator: Emulator, database: str, **ledger: Any) -> Kit:
    """Make a kit that keeps content."""
    return make_kit(emulator, ledger={"database": database, "store_content": True, **ledger})


def test_nothing_is_kept_unless_it_is_asked_for(database: str) -> None:
    """The column is NULL."""
    with Emulator() as emulator:
        kit = make_kit(emulator, ledger={"database": database})
        kit.client.complete("my PIN is 9876")
        kit.close()
    assert [row["content"] for row in read(database)] == [None]


def test_messages_and_answer_are_kept(database: str) -> None:
    """Whole and streamed, complete or left early, each as much as there was."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        kit = kit_of(emulator, database)
        reply = kit.client.complete("Hi", system="Be short.")
        with kit.client.stream([{"role": "user", "content": "Hi"}]) as stream:
            list(stream)
        emulator.script(Behaviour(tokens=9, delay=0, hold_at=2))
        with kit.client.stream("Hi") as stream:
            while not stream.response.text:
                stream.read()
            seen = stream.response.text
        kit.close()
    assert reply.text
    whole, streamed, left = (row["content"] for row in read(database))
    assert whole == {
        "system": "Be short.",
        "messages": [{"role": "user", "content": "Hi"}],
        "answer": {"text": reply.text},
    }
    assert streamed == {**whole, "system": None}
    assert left["answer"] == {"text": seen}


def test_calls_of_tools_are_kept(database: str) -> None:
    """Where they were answered, and where they are said again with their results."""

    def add(a: int) -> int:
        return a + 1

    with Emulator(behaviour=Behaviour(text="so", delay=0)) as emulator:
        emulator.script(Behaviour(calls=[{"name": "add", "arguments": {"a": 1}}], delay=0))
        kit = kit_of(emulator, database)
        kit.client.run("Hi", tools=[add])
        kit.close()
    first, second = (row["content"] for row in read(database))
    (called,) = first["answer"]["tool_calls"]
    assert (called["name"], called["arguments"]) == ("add", {"a": 1})
    assert second["messages"][1]["tool_calls"] == [called]
    assert second["messages"][2]["tool_results"][0]["content"] == "2"
    assert second["answer"] == {"text": "so"}


def test_calls_without_an_answer_keep_what_was_asked(database: str) -> None:
    """Those that the provider refuses, and those that no attempt was made for."""

    class Refuse:
        def handle(self, call: Call, call_next: CallNext) -> Stream:
            if call.system == "refuse":
                raise InvalidRequest("no")
            return call_next(call)

    with Emulator(behaviour=Behaviour(status=400)) as emulator:
        ledger = {"database": database, "store_content": True}
        kit = make_kit(emulator, ledger=ledger, middleware=[Refuse()])
        with pytest.raises(RequestRejected):
            kit.client.complete("my PIN is 9876")
        with pytest.raises(InvalidRequest):
            kit.client.complete("my PIN is 9876", system="refuse")
        kit.close()
    failed, refused = (row["content"] for row in read(database))
    assert failed == {**ASKED, "answer": None}
    assert refused == {**ASKED, "system": "refuse", "answer": None}


def test_it_is_redacted_before_it_is_kept(database: str) -> None:
    """By a function, or one that the settings name."""
    with Emulator() as emulator:
        for redact in (without_digits, f"{__name__}.without_digits", lambda content: None):
            kit = kit_of(emulator, database, redact=redact)
            kit.client.complete("my PIN is 9876")
            kit.close()
    first, named, nothing = (row["content"] for row in read(database))
    assert first["messages"] == [{"role": "user", "content": "my PIN is ####"}]
    assert first["answer"]["text"]
    assert named == first
    assert nothing is None


class Odd:
    """Something that JSON does not know."""


def fails(content: dict[str, Any]) -> dict[str, Any]:
    """Fail, and say what must not be said."""
    raise KeyError(content["messages"][0]["content"])


def leaves(content: dict[str, Any]) -> None:
    """End the program."""
    sys.exit(content["messages"][0]["content"])


def is_cancelled(content: dict[str, Any]) -> None:
    """Raise what ends tasks, and greenlets by their own."""
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("redact", "said"),
    [
        (fails, "KeyError"),
        (leaves, "SystemExit"),
        (is_cancelled, "CancelledError"),
        (lambda content: {"large": 10**5000}, "ValueError"),
        (lambda content: content["messages"], "TypeError"),
        (lambda content: {"odd": Odd()}, "TypeError"),
        (lambda content: {1: "one"}, "TypeError"),
        (lambda content: {"far": float("inf")}, "ValueError"),
    ],
    ids=["raises", "exits", "cancelled", "large", "list", "object", "key", "infinite"],
)
def test_what_cannot_be_redacted_is_not_kept(
    redact: Callable[[dict[str, Any]], Any],
    said: str,
    sqlite: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The row is written without it, and the log says why, but not with whose words."""
    with Emulator() as emulator:
        kit = kit_of(emulator, sqlite, redact=redact)
        for _ in range(2):
            kit.client.complete("my word is hunter2")
        kit.close()
    for row in read(sqlite):
        assert (row["content"], row["status"]) == (None, "finished")
        assert row["cost_usd"] is not None
    assert f"the content of a call is not kept: ledger.redact failed ({said}, " in caplog.text
    assert ".py:" in caplog.text
    assert "hunter2" not in caplog.text


def test_any_text_can_be_kept(database: str) -> None:
    """Also what no database takes: it is replaced."""
    with Emulator() as emulator:
        kit = kit_of(
            emulator, database, redact=lambda content: {**content, "more": ["\0\ud83d", 1.5]}
        )
        kit.client.complete("a\0b")
        kit.close()
    (row,) = read(database)
    assert row["content"]["messages"][0]["content"] == "a\ufffdb"
    assert row["content"]["more"] == ["\ufffd?", 1.5]


def test_it_is_redacted_once_and_waits_in_the_outbox_as_it_is_kept(tmp_path: Path) -> None:
    """No file has what was taken out."""
    calls = []

    def count(content: dict[str, Any]) -> dict[str, Any]:
        calls.append(1)
        return without_digits(content)

    content = Content(ASKED, {"text": "ok"}, count)
    row = closing(content=content)
    line = encode(row)
    (found,) = decode(line)
    assert isinstance(found, Closing)
    assert found.kept == row.kept == {**without_digits(dict(ASKED)), "answer": {"text": "ok"}}
    assert b"9876" not in line
    assert calls == [1]


def test_who_does_not_wait_writes_without_it(sqlite: str) -> None:
    """While one thread redacts, another that writes the same row goes on; the first one's is kept."""
    entered, go = threading.Event(), threading.Event()

    def slow(content: dict[str, Any]) -> dict[str, Any]:
        entered.set()
        assert go.wait(30)
        return content

    content = Content(ASKED, None, slow)
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(content.kept))
    thread.start()
    assert entered.wait(30)
    assert content.kept is None
    go.set()
    thread.join()
    assert found == [content.kept] == [{**ASKED, "answer": None}]


def test_an_outbox_that_fills_up_keeps_rows_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its room is for the money: content that would go beyond a quarter is left out, however large it is."""
    outbox = Outbox(tmp_path, database="db", worker=lambda: "me", limit=20_000)
    for name, size in (("large", 99_000), ("one", 1500), ("two", 2500)):
        outbox.write([opening(name)], [closing(name, content={"text": "x" * size})])
    outbox.close()
    (file,) = tmp_path.iterdir()
    ends = [row for row in decode(file.read_bytes()) if isinstance(row, Closing)]
    assert [row.content is None for row in ends] == [True, False, True]
    assert [row.cost for row in ends] == [closing().cost] * 3
    assert "fills up: rows are kept without what was asked and answered" in caplog.text


@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize("hosts", [False, True])
def test_content_that_a_database_refuses_costs_nothing_else(
    hosts: bool, final: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The row has its tokens and its cost."""

    class Refuses(MemoryStore):
        def write(self, openings: Sequence[Opening], closings: Sequence[Closing]) -> Refusals:
            if any(row.content is not None for row in closings):
                raise RowRejected("the row does not fit")
            return super().write(openings, closings)

    store = Refuses()
    with writing(store) as writer:
        ledger: Any = HostLedger(store, from_async=asyncio.to_thread) if hosts else writer
        end = closing(content={"text": "x"})
        if final:
            ledger.record(opening(), end)
        else:
            ledger.begin(opening())
            ledger.finish(end)
    assert store.closings == [closing()]
    assert "without what was asked and answered: the row does not fit" in caplog.text


def nowhere(content: dict[str, Any]) -> None:
    """Be found by a dotted path."""


not_a_function = "a text"


async def later(content: dict[str, Any]) -> None:
    """Be async."""


@pytest.mark.parametrize(
    ("redact", "said"),
    [
        (3, "ledger.redact: it has to be a function, or its dotted path"),
        ("redact", "ledger.redact: it has to be a function, or its dotted path"),
        (later, "ledger.redact: it is called in a thread: it has to be a function that is not"),
        ("no.such.module", "ledger.redact cannot be imported: No module named 'no'"),
        (f"{__name__}.missing", "ledger.redact cannot be imported: .*'missing'"),
        (f"{__name__}.not_a_function", "ledger.redact: .*not_a_function is a .*, not a func"),
        (f"{__name__}.later", "ledger.redact: it is called in a thread"),
    ],
)
def test_a_wrong_redact_is_refused_at_the_start(redact: object, said: str, sqlite: str) -> None:
    """With what is right."""
    settings = {"database": sqlite, "store_content": True, "redact": redact}
    with pytest.raises(ConfigError, match=said):
        Kit({"models": {"default": "openai:m"}, "ledger": settings})


def test_redact_alone_is_refused(sqlite: str) -> None:
    """It would suggest that something is kept."""
    with pytest.raises(ConfigError, match=r"^ledger: redact is set, but nothing is stored"):
        Kit(
            {
                "models": {"default": "openai:m"},
                "ledger": {"database": sqlite, "redact": without_digits},
            }
        )
