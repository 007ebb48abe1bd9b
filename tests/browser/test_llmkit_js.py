"""llmkit.js, in Chromium: over recorded bytes cut up anywhere, and over real connections."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from llmkit.events import Finish, Reset, TextDelta
from llmkit.parts import ToolCall, ToolResult
from llmkit.relay.dialects.text import HEARTBEAT, TextDialect
from llmkit.relay.problem import Problem
from llmkit.usage import Usage
from support.scripted_host import ScriptedHost

if TYPE_CHECKING:
    from playwright.sync_api import Page

FINISH = Finish("end", "stop", Usage())

EXOTIC = (
    "\ufeff: a comment\n"
    "retry: 5\n"
    "id: s:1\n"
    'data: {"text":\n'
    'data:"é "}\n'
    "\n"
    "event: from the future\n"
    "data: not JSON\n"
    "\n"
    "event: forgotten, for there is no data\n"
    "\n"
    "id: a\0b\n"
    "unknown: x\n"
    'data:  {"text":"👍🏽\u2028\\n\\u0000"}\n'
    "\n"
    "event: reset\n"
    "data\n"
    "\n"
    "data\n"
    'data: {"text":"fin"}\n'
    "id: s:9\n"
    "\n\n"
    "data: [DONE]\n"
    "\n"
)


def relayed() -> bytes:
    """Return the bytes of an answer that began anew, as the relay writes them."""
    dialect = TextDialect("s1")
    return b"".join(
        (
            HEARTBEAT,
            dialect.encode([TextDelta("No, "), TextDelta("wait")]),
            dialect.encode([Reset()]),
            dialect.encode([TextDelta("Žluťoučký kůň 🐎\n")]),
            HEARTBEAT,
            dialect.encode([ToolCall(id="t1", name="look", arguments={"a": "b"})]),
            dialect.encode([ToolResult(call_id="t1", content="c")]),
            dialect.encode([TextDelta('"</script>'), FINISH]),
        )
    )


@pytest.fixture
def blank(page: Page) -> Page:
    """Open an empty page, which can import the module."""
    if not page.url.endswith("/blank"):
        page.goto("/blank")
    return page


def replay(blank: Page, body: bytes, init: dict[str, Any] | None = None) -> Any:
    """Run `stream` over a recorded body."""
    return blank.evaluate(
        """async ([numbers, init]) => {
            const { replay } = await import("/replay.js");
            return replay([Uint8Array.from(numbers)], init ?? undefined);
        }""",
        [list(body), init],
    )


def start(blank: Page, options: dict[str, Any] | None = None) -> None:
    """Begin a stream over a real connection."""
    blank.evaluate('async (options) => (await import("/replay.js")).start(options)', options or {})


def wait_for_text(blank: Page, text: str) -> None:
    """Wait until the page was told of this piece of text."""
    blank.wait_for_function("(text) => document.title === text", arg=text)


def over(blank: Page) -> Any:
    """Wait for the end; return what the promise gave."""
    return blank.evaluate("over")


def test_reads_what_the_relay_writes(blank: Page) -> None:
    """Text, a reset and the end arrive in order; the result has the text since the reset and the last id."""
    got = replay(blank, relayed())
    assert got["told"] == [
        ["text", "No, wait"],
        ["reset"],
        ["text", "Žluťoučký kůň 🐎\n"],
        ["tool", {"id": 1, "name": "look", "state": "called"}],
        ["tool", {"id": 1, "name": "look", "state": "done"}],
        ["text", '"</script>'],
        ["done"],
    ]
    text = 'Žluťoučký kůň 🐎\n"</script>'
    assert got["result"] == {"text": text, "stopped": False, "error": None, "id": "s1:8"}


def test_reads_whatever_the_standard_allows(blank: Page) -> None:
    """Byte order mark, comments, data over several lines, unknown fields, a NUL in an id: by the standard."""
    got = replay(blank, EXOTIC.encode())
    assert got["told"] == [
        ["text", "é "],
        ["text", "👍🏽\u2028\n\0"],
        ["reset"],
        ["text", "fin"],
        ["done"],
    ]
    assert got["result"]["id"] == "s:9"


@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n"], ids=["LF", "CR", "CRLF"])
@pytest.mark.parametrize("body", [relayed().decode(), EXOTIC], ids=["relayed", "exotic"])
def test_no_split_changes_what_is_read(blank: Page, body: str, line_end: str) -> None:
    """Wherever the bytes are cut in two, and cut after every byte, the app is told the same."""
    numbers = list(body.replace("\n", line_end).encode())
    script = 'async (numbers) => (await import("/replay.js")).splitsThatMatter(numbers)'
    assert blank.evaluate(script, numbers) == []


def test_every_early_end_is_an_error(blank: Page) -> None:
    """A body that ends anywhere before its last byte is a truncated answer, never a complete one."""
    dialect = TextDialect("s1")
    body = dialect.encode([TextDelta("Dobrý ")]) + dialect.encode([TextDelta("den 🐎"), FINISH])
    script = 'async (numbers) => (await import("/replay.js")).endsThatPass(numbers)'
    assert blank.evaluate(script, list(body)) == []


def test_id_is_that_of_the_last_whole_frame(blank: Page) -> None:
    """An id whose frame was cut off is not taken, or resuming after it would lose the frame."""
    dialect = TextDialect("s1")
    body = dialect.encode([TextDelta("one")]) + dialect.encode([TextDelta("two")])[:-1]
    assert replay(blank, body)["result"]["id"] == "s1:1"


def test_tells_of_an_error_in_the_stream(blank: Page) -> None:
    """An error frame ends the stream with its type, message and hint; the text that came stays in the result."""
    dialect = TextDialect("s1")
    problem = Problem(502, "server_failed", "the provider failed", "Try again.")
    got = replay(blank, dialect.encode([TextDelta("Hal")]) + dialect.error(problem))
    error = {
        "type": "server_failed",
        "message": "the provider failed",
        "hint": "Try again.",
        "status": None,
        "retryAfter": None,
        "resetsAt": None,
    }
    assert got["told"] == [["text", "Hal"], ["error", error]]
    assert got["result"] == {"text": "Hal", "stopped": False, "error": error, "id": "s1:2"}


@pytest.mark.parametrize(
    "frame", ["data: {oops", "event: error\ndata: {}", 'event: error\ndata: {"error":"boom"}']
)
def test_unreadable_frame_is_an_error(blank: Page, frame: str) -> None:
    """A frame that is not the relay's is said to be so."""
    got = replay(blank, f"{frame}\n\ndata: [DONE]\n\n".encode())
    assert got["result"]["error"]["type"] == "protocol_error"


def test_frame_of_a_later_version_is_passed_over(blank: Page) -> None:
    """Data without text does no harm."""
    got = replay(blank, b'data: {"thinking":"hm"}\n\ndata: null\n\ndata: [DONE]\n\n')
    assert got["told"] == [["done"]]


def test_nothing_after_the_end_is_read(blank: Page) -> None:
    """What follows [DONE] is not part of the answer."""
    got = replay(blank, b'data: [DONE]\n\ndata: {"text":"x"}\n\n')
    assert got["told"] == [["done"]]


def test_tells_of_a_refusal(blank: Page) -> None:
    """A refusal gives the app's own words, with the status and the wait."""
    problem = Problem(429, "queue_full", "too many calls at once", "Try again.", retry_after=7)
    got = replay(blank, problem.body, {"status": 429, "headers": problem.answer.headers})
    assert got["told"] == [
        [
            "error",
            {
                "type": "queue_full",
                "message": "too many calls at once",
                "hint": "Try again.",
                "status": 429,
                "retryAfter": 7,
                "resetsAt": None,
            },
        ]
    ]


def test_tells_when_a_budget_has_room_again(blank: Page) -> None:
    """As a date that JavaScript reads."""
    at = datetime(2026, 12, 1, 5, tzinfo=UTC)
    problem = Problem(402, "budget_exceeded", "it is used up", "Wait.", resets_at=at)
    got = replay(blank, problem.body, {"status": 402, "headers": problem.answer.headers})
    assert datetime.fromisoformat(got["result"]["error"]["resetsAt"]) == at


@pytest.mark.parametrize(
    ("status", "content_type", "body", "type_", "message"),
    [
        (502, "text/html", b"<h1>Bad gateway</h1>", "http_error", "the status 502"),
        (403, "text/html", b"CSRF", "http_error", "the status 403"),
        (500, "application/json", b'{"detail":"boom"}', "http_error", "the status 500"),
        (404, "application/json", b"null", "http_error", "the status 404"),
        (200, "text/html; charset=utf-8", b"<form>Log in</form>", "unexpected_answer", "text/html"),
    ],
)
def test_foreign_answer_is_a_sensible_error(
    blank: Page, status: int, content_type: str, body: bytes, type_: str, message: str
) -> None:
    """What a proxy, the host's own pages or its login answer is an error with a hint, not a broken parser."""
    init = {"status": status, "headers": {"content-type": content_type}}
    error = replay(blank, body, init)["result"]["error"]
    assert error["type"] == type_
    assert message in error["message"]
    assert error["hint"]
    assert error["status"] == status


TAG = '<meta name="csrf-token" content="t">'


def refused(
    blank: Page,
    status: int,
    content_type: str,
    body: bytes,
    *,
    head: str = "",
    options: dict[str, Any] | None = None,
) -> tuple[str, list[str]]:
    """Let the app refuse a call of a page with this head; return the visitor's hint and the developer's warnings."""
    blank.goto("/blank")
    hint, warnings = blank.evaluate(
        """async ([head, numbers, init, options]) => {
            document.head.insertAdjacentHTML("beforeend", head);
            const { stream } = await import("/llm/llmkit.js");
            const { fetchOf } = await import("/replay.js");
            const fetch = fetchOf([Uint8Array.from(numbers)], init);
            const warnings = [], { warn } = console;
            console.warn = (text) => warnings.push(text);
            const { error } = await stream("Hi", { fetch, onError() {}, ...options });
            console.warn = warn;
            return [error.hint, warnings];
        }""",
        [
            head,
            list(body),
            {"status": status, "headers": {"content-type": content_type}},
            options or {},
        ],
    )
    return hint, warnings


CSRF_FAILED = b'{"error":{"type":"csrf_failed","message":"no","hint":"Reload the page."}}'


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (400, "text/html; charset=utf-8", b"<p>The CSRF token is missing.</p>"),
        (403, "text/html", b"<h1>Forbidden</h1>"),
        (403, "application/json", CSRF_FAILED),
    ],
    ids=["Flask-WTF", "Django", "llmkit in Django"],
)
def test_a_page_without_its_csrf_tag_is_told_so(
    blank: Page, status: int, content_type: str, body: bytes
) -> None:
    """The developer reads in the console what to add; the visitor is not told to reload the page for ever."""
    hint, (warning,) = refused(blank, status, content_type, body)
    assert "CSRF protection may have refused this" in warning
    assert '<meta name="csrf-token"' in warning
    assert "Reload" not in hint
    assert "people who run this app" in hint


@pytest.mark.parametrize(
    ("status", "content_type", "body", "head", "options"),
    [
        (403, "text/html", b"no", TAG, {}),
        (403, "text/html", b"no", "", {"headers": {"X-CSRFToken": "t"}}),
        (403, "text/html", b"no", "", {"url": "https://other.example/stream"}),
        (403, "application/json", CSRF_FAILED, TAG, {}),
        (404, "text/html", b"no", "", {}),
        (400, "application/json", b'{"detail":"no"}', "", {}),
    ],
)
def test_other_refusals_say_nothing_of_a_tag(
    blank: Page, status: int, content_type: str, body: bytes, head: str, options: dict[str, Any]
) -> None:
    """With a token that may be too old, at another site, or where the app says something else, the hint stays."""
    hint, warnings = refused(blank, status, content_type, body, head=head, options=options)
    assert warnings == []
    assert hint.startswith("Reload the page")


def test_the_cookie_of_another_app_is_no_tag(blank: Page, host: ScriptedHost) -> None:
    """Cookies do not know ports: on a developer's machine that of a Django project goes to a Flask app, too."""
    blank.context.add_cookies([{"name": "csrftoken", "value": "of-django", "url": host.url}])
    assert refused(blank, 400, "text/html", b"invalid")[1]
    assert refused(blank, 403, "application/json", CSRF_FAILED) == ("Reload the page.", [])


@pytest.mark.parametrize(
    ("header", "seconds"), [("0", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("soon", None)]
)
def test_retry_after_is_seconds(blank: Page, header: str, seconds: float | None) -> None:
    """Retry-After may be a number or a date; what is neither is left out."""
    init = {"status": 503, "headers": {"content-type": "application/json", "retry-after": header}}
    assert replay(blank, b"", init)["result"]["error"]["retryAfter"] == seconds


def test_app_that_cannot_be_reached_is_an_error(blank: Page) -> None:
    """No connection is an error like another."""
    error = blank.evaluate("""async () => {
        const { stream } = await import("/llm/llmkit.js");
        const fetch = async () => { throw new TypeError("Failed to fetch"); };
        return (await stream("Hi", { fetch, onError() {} })).error;
    }""")
    assert error["type"] == "connection_failed"


def test_without_on_error_the_promise_rejects(blank: Page) -> None:
    """Whoever passes no onError gets an Error, with type, hint and status."""
    got = blank.evaluate(
        """async (body) => {
            const { stream } = await import("/llm/llmkit.js");
            const { fetchOf } = await import("/replay.js");
            const fetch = fetchOf([new TextEncoder().encode(body)], { status: 402 });
            const error = await stream("Hi", { fetch }).catch((error) => error);
            return [error instanceof Error, error.message, error.type, error.hint, error.status];
        }""",
        Problem(402, "budget_spent", "it is spent", "Wait a day.").body.decode(),
    )
    assert got == [True, "it is spent", "budget_spent", "Wait a day.", 402]


def test_request_is_what_the_relay_takes(blank: Page, host: ScriptedHost) -> None:
    """It posts JSON of the same origin, with the cookies and headers of the app; without an alias it names none."""
    blank.context.add_cookies([{"name": "session", "value": "s", "url": host.url}])
    start(blank, {"headers": {"X-CSRFToken": "t"}})
    asked = host.asked()
    assert asked.json == {"messages": [{"role": "user", "content": "Hi"}]}
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["x-csrftoken"] == "t"
    assert asked.headers["cookie"] == "session=s"
    assert asked.headers["sec-fetch-site"] == "same-origin"


def test_the_csrf_token_is_found(blank: Page, host: ScriptedHost) -> None:
    """Django's cookie has it, or a tag of the page, which wins; what the caller says wins over both."""
    blank.context.add_cookies([{"name": "csrftoken", "value": "of-cookie", "url": host.url}])
    start(blank)
    assert host.asked().headers["x-csrftoken"] == "of-cookie"
    blank.evaluate(
        """() => document.head.insertAdjacentHTML("beforeend",
            '<meta name="csrf-token" content="of-tag" data-header="X-Token">')"""
    )
    start(blank)
    asked = host.asked()
    assert asked.headers["x-token"] == "of-tag"
    assert "x-csrftoken" not in asked.headers
    start(blank, {"headers": {"X-Token": "of-caller"}})
    assert host.asked().headers["x-token"] == "of-caller"


def test_no_other_site_is_told_the_token(blank: Page, host: ScriptedHost) -> None:
    """An app that asks another address gives its token to nobody."""
    blank.context.add_cookies([{"name": "csrftoken", "value": "secret", "url": host.url}])
    given = blank.evaluate("""async () => {
        const { stream } = await import("/llm/llmkit.js");
        let given;
        const fetch = async (url, { headers }) => { given = [...headers.keys()]; throw new TypeError(); };
        await stream("Hi", { fetch, url: "https://other.example/stream", onError() {} });
        return given;
    }""")
    assert sorted(given) == ["accept", "content-type"]


def test_conversation_and_alias_are_sent(blank: Page, host: ScriptedHost) -> None:
    """Messages go as they are, and the alias with them, to the address that is given."""
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    start(blank, {"messages": messages, "model": "fast", "url": "/llm/stream"})
    assert host.asked().json == {"messages": messages, "model": "fast"}


def test_text_is_told_as_it_comes(blank: Page, host: ScriptedHost) -> None:
    """The second token is sent only when the page has been told of the first."""
    start(blank)
    asked = host.asked()
    asked.start()
    asked.text("one")
    wait_for_text(blank, "one")
    asked.text("two")
    wait_for_text(blank, "two")
    asked.done()
    assert over(blank)["text"] == "onetwo"


def test_end_is_told_before_the_connection_ends(blank: Page, host: ScriptedHost) -> None:
    """The promise resolves at [DONE], and the connection is left to the server to end."""
    start(blank)
    asked = host.asked()
    asked.start()
    asked.send(b"data: [DONE]\n\n")
    assert over(blank)["error"] is None
    assert not asked.is_over
    asked.end()


def test_broken_connection_is_a_truncated_answer(blank: Page, host: ScriptedHost) -> None:
    """A connection that breaks in the middle is an error; the text so far stays."""
    start(blank)
    asked = host.asked()
    asked.start()
    asked.text("one")
    wait_for_text(blank, "one")
    asked.cut()
    result = over(blank)
    assert result["error"]["type"] == "stream_truncated"
    assert result["text"] == "one"


@pytest.mark.parametrize("when", ["before the head", "before text", "after text"])
def test_abort_closes_the_connection(blank: Page, host: ScriptedHost, when: str) -> None:
    """Aborting the signal is not an error, and the server sees the browser leave."""
    start(blank)
    asked = host.asked()
    if when != "before the head":
        asked.start()
    if when == "after text":
        asked.text("one")
        wait_for_text(blank, "one")
    blank.evaluate("controller.abort()")
    result = over(blank)
    assert result["stopped"]
    assert result["error"] is None
    assert result["text"] == ("one" if when == "after text" else "")
    assert asked.left()


def test_aborted_signal_asks_nothing(blank: Page, host: ScriptedHost) -> None:
    """With a signal that is aborted already no request is made."""
    stopped = blank.evaluate("""async () => {
        const { stream } = await import("/llm/llmkit.js");
        return (await stream("Hi", { signal: AbortSignal.abort() })).stopped;
    }""")
    assert stopped
    assert host.idle


def test_no_text_is_told_after_an_abort(blank: Page) -> None:
    """An app that aborts while it is told of a piece is not told of the next, even if that has come already."""
    got = blank.evaluate(
        """async (body) => {
            const { stream } = await import("/llm/llmkit.js");
            const { fetchOf } = await import("/replay.js");
            const fetch = fetchOf([new TextEncoder().encode(body)]);
            const controller = new AbortController();
            const told = [];
            const onText = (text) => { told.push(text); controller.abort(); };
            const onDone = () => told.push("done");
            const result = await stream("Hi", { fetch, onText, onDone, signal: controller.signal });
            return [told, result.stopped, result.text];
        }""",
        relayed().decode(),
    )
    assert got == [["No, wait"], True, "No, wait"]


def test_error_in_a_callback_stops_the_answer(blank: Page, host: ScriptedHost) -> None:
    """What a callback throws comes out of the promise, and the model does not go on for nobody."""
    blank.evaluate("""async () => {
        const { stream } = await import("/llm/llmkit.js");
        const onText = () => { throw new RangeError("the app's own"); };
        window.over = stream("Hi", { onText, onError() {} }).catch((error) => error.message);
    }""")
    asked = host.asked()
    asked.start()
    asked.text("one")
    assert over(blank) == "the app's own"
    assert asked.left()


def test_leaving_the_page_closes_the_connection(blank: Page, host: ScriptedHost) -> None:
    """A page that is left for another stops its answer, though the Back button could bring it back."""
    start(blank)
    asked = host.asked()
    asked.start()
    asked.text("one")
    wait_for_text(blank, "one")
    blank.goto("/llm/")
    assert asked.left()


def test_a_page_that_is_left_is_told_of_no_error(blank: Page, host: ScriptedHost) -> None:
    """The browser breaks the connection of a page that is being left; that is a stop, and nothing to alarm anybody with."""
    blank.goto("/llm/")
    blank.evaluate("""async () => {
        const { stream } = await import("/llm/llmkit.js");
        const onError = ({ type }) => sessionStorage.setItem("told", type);
        const onText = (text) => (document.title = text);
        stream("Hi", { onText, onError }).then(({ stopped }) => sessionStorage.setItem("stopped", stopped));
    }""")
    asked = host.asked()
    asked.start()
    asked.text("one")
    wait_for_text(blank, "one")
    blank.reload()
    assert asked.left()
    assert blank.evaluate("({ ...sessionStorage })") == {"stopped": "true"}


def test_a_page_that_was_not_left_after_all(blank: Page, host: ScriptedHost) -> None:
    """After a link to a download, or a dialog in which the user chose to stay, a broken connection is an error as ever."""
    tab = blank.context.new_page()
    tab.clock.install()
    tab.goto("/blank")
    start(tab)
    asked = host.asked()
    asked.start()
    asked.text("one")
    wait_for_text(tab, "one")
    tab.evaluate("void dispatchEvent(new Event('beforeunload'))")
    tab.clock.run_for(1000)
    asked.cut()
    result = over(tab)
    tab.close()
    assert not result["stopped"]
    assert result["error"]["type"] == "stream_truncated"


def test_closing_the_tab_closes_the_connection(blank: Page, host: ScriptedHost) -> None:
    """A closed tab stops its answer."""
    tab = blank.context.new_page()
    tab.goto("/blank")
    start(tab)
    asked = host.asked()
    asked.start()
    tab.close()
    assert asked.left()
