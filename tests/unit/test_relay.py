"""The relay's pure parts: what a browser may ask, how it is answered."""

from __future__ import annotations

import json

import pytest

from llmkit import (
    AuthenticationFailed,
    Caller,
    ConfigError,
    Finish,
    InvalidRequest,
    LLMKitError,
    Message,
    ProviderError,
    QueueFull,
    Reset,
    SSEDecoder,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from llmkit.config import RelayConfig
from llmkit.relay.dialects.text import TextDialect
from llmkit.relay.pages import chat_page
from llmkit.relay.payload import MAX_PARTS, parse
from llmkit.relay.problem import Problem, Refusal, problem_of
from llmkit.relay.rules import caller_of, check_origin, forbidden, forged, too_large

FINISH = Finish("end", "end_turn", Usage())


def frames(data: bytes) -> list[tuple[str, str, str | None]]:
    decoder = SSEDecoder()
    return [(event.event, event.data, event.id) for event in decoder.feed(data)]


def test_text_of_one_read_is_one_frame() -> None:
    """Adjacent texts are merged; the id is the ordinal of the last event in the frame."""
    dialect = TextDialect("s1")
    data = dialect.encode([TextDelta("a"), TextDelta("b")]) + dialect.encode([TextDelta("c")])
    assert frames(data) == [
        ("message", '{"text":"ab"}', "s1:2"),
        ("message", '{"text":"c"}', "s1:3"),
    ]


def test_finish_is_done() -> None:
    """The end marker comes last, after the text of the same read."""
    dialect = TextDialect("s1")
    assert frames(dialect.encode([TextDelta("a"), FINISH])) == [
        ("message", '{"text":"a"}', "s1:1"),
        ("message", "[DONE]", "s1:2"),
    ]
    assert dialect.finished


CALL = ToolCall(id="toolu_1", name="weather", arguments={"city": "Köln"})
RESULT = ToolResult(call_id="toolu_1", content="grey")


def test_a_tool_is_a_name_and_a_state() -> None:
    """In its place; neither what it is called with, nor what it returns, nor the provider's id. Nobody has called an unknown one."""
    dialect = TextDialect("s1")
    more = ToolCall(id="toolu_2", name="time", arguments={})
    events = [TextDelta("a"), CALL, more, ToolResult(call_id="toolu_2", content="", is_error=True)]
    unknown = ToolResult(call_id="x", content="?")
    data = dialect.encode([*events, RESULT, unknown, TextDelta("b"), FINISH])
    assert frames(data) == [
        ("message", '{"text":"a"}', "s1:1"),
        ("tool", '{"id":1,"name":"weather","state":"called"}', "s1:2"),
        ("tool", '{"id":2,"name":"time","state":"called"}', "s1:3"),
        ("tool", '{"id":2,"name":"time","state":"failed"}', "s1:4"),
        ("tool", '{"id":1,"name":"weather","state":"done"}', "s1:5"),
        ("message", '{"text":"b"}', "s1:7"),
        ("message", "[DONE]", "s1:8"),
    ]


def test_calls_of_several_steps_with_one_id() -> None:
    """Each has its own number, which its end has too."""
    dialect = TextDialect("s1")
    seen = []
    for at in range(3):
        call = ToolCall(id="call_0", name=f"t{at}", arguments={})
        for _, data, _ in frames(dialect.encode([call, ToolResult(call_id="call_0", content="")])):
            said = json.loads(data)
            seen.append((said["id"], said["name"], said["state"]))
    assert seen == [(at + 1, f"t{at}", state) for at in range(3) for state in ("called", "done")]


def test_an_app_may_show_what_tools_do() -> None:
    """If it says so."""
    dialect = TextDialect("s1", tool_details=True)
    called, done = (json.loads(data) for _, data, _ in frames(dialect.encode([CALL, RESULT])))
    assert called == {"id": 1, "name": "weather", "state": "called", "arguments": {"city": "Köln"}}
    assert done == {"id": 1, "name": "weather", "state": "done", "result": "grey"}


def test_reset_comes_in_its_place() -> None:
    """A reset is an event with data, since a browser drops events without."""
    dialect = TextDialect("s1")
    assert [name for name, _, _ in frames(dialect.encode([Reset(), TextDelta("a")]))] == [
        "reset",
        "message",
    ]


def test_thinking_is_not_shown() -> None:
    """Thinking gives no frame, but counts as an event."""
    dialect = TextDialect("s1")
    assert dialect.encode([ThinkingDelta("hm")]) == b""
    assert frames(dialect.encode([TextDelta("a")]))[0][2] == "s1:2"


@pytest.mark.parametrize("text", ["\n\n", "\r\ndata: x", "\u2028", "</script>", "\x00", "é🙂"])
def test_no_text_breaks_out_of_its_frame(text: str) -> None:
    """Whatever a model writes arrives as it was, in one frame."""
    ((_, data, _),) = frames(TextDialect("s1").encode([TextDelta(text)]))
    assert json.loads(data) == {"text": text}


def test_an_error_is_the_last_frame() -> None:
    """The error event holds the JSON error body."""
    dialect = TextDialect("s1")
    ((name, data, _),) = frames(dialect.error(Problem(502, "kind", "said", "do this")))
    assert name == "error"
    assert json.loads(data) == {"error": {"type": "kind", "message": "said", "hint": "do this"}}


def test_the_set_up_of_the_app_is_not_the_browsers_business(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What the operator has to mend goes to the log; the browser learns that something is to mend."""
    for error in (ConfigError("no key", hint="Set KEY"), AuthenticationFailed("bad key")):
        problem = problem_of(error)
        assert "key" not in problem.message.lower()
        assert problem.hint
        assert error.message in caplog.text


def refusals() -> list[Refusal]:
    """Return each kind of refusal that a visitor of the chat page may read."""
    found: list[Refusal] = [forged("CSRF cookie not set."), too_large(10), forbidden()]
    for refused in (
        lambda: caller_of(None, anonymous=False, has_get_user=False),
        lambda: check_origin({"cookie": "a=b", "sec-fetch-site": "cross-site"}),
    ):
        with pytest.raises(Refusal) as caught:
            refused()
        found.append(caught.value)
    return found


def test_a_visitor_reads_what_a_visitor_can_do() -> None:
    """No hint names a setting, a function, a header or a host's reason: those are the developer's, and go to the log."""
    developers = (
        "relay.",
        "get_user",
        "llmkit",
        "token",
        "csrf",
        "cookie",
        "header",
        "concurrency",
        "()",
    )
    problems = [
        *map(problem_of, refusals()),
        problem_of(QueueFull("x", hint="Raise concurrency.queue.")),
    ]
    for problem in problems:
        assert problem.hint
        if problem.type == "cross_origin":
            continue  # a page of the app never gets it: whoever writes another page reads how to call
        said = f"{problem.message} {problem.hint}".lower()
        assert [word for word in developers if word in said] == []


def test_a_test_client_is_told_what_a_browser_sends() -> None:
    """With cookies and no word of the page it may be one of the app's own tests."""
    with pytest.raises(Refusal, match="does not say which page it comes from") as caught:
        check_origin({"cookie": "a=b", "host": "localhost:8000"})
    assert "Origin: http://localhost:8000" in str(caught.value.hint)
    check_origin({"cookie": "a=b", "host": "localhost:8000", "origin": "http://localhost:8000"})


def test_the_log_advises_the_developer_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log says how to let people in, once a process and not for each of them."""
    monkeypatch.setattr("llmkit.relay.problem._advised", set())
    for _ in range(3):
        for refusal in refusals():
            problem_of(refusal)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 4
    for advice in ("relay.anonymous", "CSRF cookie not set", "relay.max_body", "Host header"):
        assert advice in caplog.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ProviderError("x"), 502),
        (LLMKitError("x"), 500),
        (Refusal(418, "teapot", "x", hint="y"), 418),
    ],
)
def test_statuses(error: LLMKitError, status: int) -> None:
    """Each error has its status."""
    assert problem_of(error).status == status


def test_the_browsers_choice_and_the_apps_rules() -> None:
    """The alias is checked; system prompt, max_tokens and the caller are the app's."""
    settings = RelayConfig(models=("fast",), system="Be brief", max_tokens=9)
    payload = parse(b'{"messages":[{"role":"user","content":"x"}],"model":"fast"}', settings)
    caller = Caller(user="7")
    assert payload.options(settings, caller) == {
        "model": "fast",
        "system": "Be brief",
        "max_tokens": 9,
        "user": caller,
    }


def test_many_parts_are_counted() -> None:
    """A body within its limit does not become ten times as much upstream: empty parts go, and of others there are not too many."""
    settings = RelayConfig()

    def body(part: str, count: int) -> bytes:
        return json.dumps({"messages": [{"role": "user", "content": [part] * count}]}).encode()

    assert parse(body("", MAX_PARTS), settings).messages == (Message.user(""),)
    assert len(parse(body("a", MAX_PARTS), settings).messages[0].parts) == MAX_PARTS
    many = [{"role": "user", "content": "a"}] * MAX_PARTS
    split = [{"role": "user", "content": ["a", "b"]}] * (MAX_PARTS // 2 + 1)
    for wrong in (
        body("a", MAX_PARTS + 1),
        body("", MAX_PARTS + 1),
        json.dumps({"messages": [*many, {"role": "user", "content": []}]}).encode(),
        json.dumps({"messages": split}).encode(),
    ):
        with pytest.raises(InvalidRequest, match=f"more than {MAX_PARTS} messages and parts"):
            parse(wrong, settings)


def test_a_visitor_has_a_hash_of_their_own() -> None:
    """By user and tenant, whatever the id is made of; it does not show the id."""
    callers = [
        Caller(user="ann"),
        Caller(user="ann", tenant="a"),
        Caller(user="ann", tenant="b"),
        Caller(user="\ud800"),
        Caller(user="\ud801"),
    ]
    pages = [chat_page(user=caller).body for caller in callers]
    assert len(set(pages)) == len(callers)
    assert b"ann" not in b"".join(pages)
    assert b"visitor" not in chat_page(user=Caller(tenant="a")).body
