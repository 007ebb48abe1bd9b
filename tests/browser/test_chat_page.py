"""The chat page, in Chromium, under its own content security policy."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from llmkit.relay.problem import Problem
from support.scripted_host import PATIENCE, Exchange, ScriptedHost

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
sync_api.expect.set_options(timeout=PATIENCE * 1000)
expect = sync_api.expect

FULL = b'{"error":{"type":"queue_full","message":"too many calls at once","hint":"Try again."}}'


@pytest.fixture
def chat(page: Page) -> Page:
    """Open the chat page."""
    page.goto("/llm/")
    return page


def ask(chat: Page, host: ScriptedHost, question: str) -> Exchange:
    """Type a question and send it; return it as the app gets it."""
    chat.fill("#prompt", question)
    chat.press("#prompt", "Enter")
    return host.asked()


def answer(chat: Page, host: ScriptedHost, question: str, text: str) -> None:
    """Ask, and answer completely."""
    asked = ask(chat, host, question)
    asked.start()
    asked.text(text)
    asked.done()
    newest(chat).and_(chat.locator('[data-state="done"]')).wait_for()


def refuse(asked: Exchange) -> None:
    """Answer with a refusal that asks to wait."""
    asked.start(429, {"content-type": "application/json", "retry-after": "12"})
    asked.send(FULL)
    asked.end()


def newest(chat: Page) -> Locator:
    """Return the newest answer."""
    return chat.locator('[data-role="assistant"]').last


def said(*turns: str) -> dict[str, object]:
    """Return the body of a request with these turns, the user's first."""
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[at % 2], "content": text} for at, text in enumerate(turns)]}


def test_answer_is_shown_as_it_comes(chat: Page, host: ScriptedHost) -> None:
    """Each token is on the page before the next one is sent; then the page is ready for the next question."""
    asked = ask(chat, host, "Hi")
    expect(chat.locator('[data-role="user"]')).to_have_text("Hi")
    expect(chat.locator("#prompt")).to_have_value("")
    asked.start()
    asked.text("Hel")
    expect(newest(chat)).to_have_text("Hel")
    expect(newest(chat)).to_have_attribute("aria-busy", "true")
    expect(chat.locator("#stop")).to_be_visible()
    asked.text("lo")
    expect(newest(chat)).to_have_text("Hello")
    asked.done()
    expect(newest(chat)).to_have_attribute("data-state", "done")
    expect(newest(chat)).to_have_attribute("aria-busy", "false")
    expect(chat.locator("#stop")).to_be_hidden()
    expect(chat.locator("#send")).to_be_visible()


def test_conversation_is_kept(chat: Page, host: ScriptedHost) -> None:
    """The next question goes with the questions and answers before it."""
    answer(chat, host, "one", "1")
    answer(chat, host, "two", "2")
    assert ask(chat, host, "three").json == said("one", "1", "two", "2", "three")


def test_markup_never_runs(chat: Page, host: ScriptedHost) -> None:
    """Markup that a model or a user writes is shown as text."""
    markup = '<img src=x onerror="document.title=1"><script>document.title=2</script> & <b>b</b>'
    answer(chat, host, markup, markup)
    assert newest(chat).text_content() == markup
    assert chat.locator('[data-role="user"]').text_content() == markup
    kinds = "els => els.map((el) => el.tagName)"
    assert chat.locator("[data-role] *").evaluate_all(kinds) == ["P"]
    assert chat.title() == "Chat"


def test_whitespace_is_kept(chat: Page, host: ScriptedHost) -> None:
    """Line breaks and indentation are shown as they came."""
    answer(chat, host, "Hi\n  you", "a\nd\n\n    b  c\n")
    assert newest(chat).inner_text() == "a\nd\n\n    b  c"
    assert chat.locator('[data-role="user"]').inner_text() == "Hi\n  you"


def test_an_answer_is_shown_as_markdown(chat: Page, host: ScriptedHost) -> None:
    """Each block is there before the next is sent; the conversation keeps the text as it was written."""
    written = "## Title\n\n- **one**\n- `two`\n\n```py\nprint()\n```"
    asked = ask(chat, host, "Hi")
    asked.start()
    asked.text("## Ti")
    expect(newest(chat).get_by_role("heading", level=3)).to_have_text("Ti")
    asked.text("tle\n\n- **one**\n")
    expect(newest(chat).locator("li strong")).to_have_text("one")
    asked.text("- `two`\n\n```py\nprint()\n```")
    asked.done()
    expect(newest(chat)).to_have_attribute("data-state", "done")
    expect(newest(chat).locator("pre code")).to_have_text("print()")
    assert ask(chat, host, "More").json == said("Hi", written, "More")


def test_a_block_of_code_can_be_copied(chat: Page, host: ScriptedHost) -> None:
    """The button copies the code alone, and says that it did."""
    chat.context.grant_permissions(["clipboard-read", "clipboard-write"])
    answer(chat, host, "Hi", "Run\n```sh\nllmkit demo\nllmkit usage\n```\n")
    chat.hover(".code")
    chat.click(".copy")
    expect(chat.locator(".copy")).to_have_text("Copied")
    assert chat.evaluate("navigator.clipboard.readText()") == "llmkit demo\nllmkit usage"


def test_what_is_selected_stays_selected(chat: Page, host: ScriptedHost) -> None:
    """Text that comes leaves a selection above it alone, also in the same paragraph."""
    asked = ask(chat, host, "Hi")
    asked.start()
    asked.text("first\n\nsecond **part**")
    expect(newest(chat).locator("strong")).to_have_text("part")
    chat.evaluate("""() => {
        const [first, second] = document.querySelectorAll("[data-role=assistant] p");
        getSelection().setBaseAndExtent(first.firstChild, 1, second.querySelector("strong").firstChild, 2);
    }""")
    asked.text(" and a *third*\n\nfourth")
    expect(newest(chat)).to_contain_text("fourth")
    assert chat.evaluate("getSelection().toString()") == "irst\n\nsecond pa"


def test_shift_enter_starts_a_line(chat: Page, host: ScriptedHost) -> None:
    """Shift and Enter do not send."""
    chat.locator("#prompt").press_sequentially("a")
    chat.press("#prompt", "Shift+Enter")
    chat.locator("#prompt").press_sequentially("b")
    chat.click("#send")
    assert host.asked().json == said("a\nb")


def test_enter_that_ends_a_composition_does_not_send(chat: Page, host: ScriptedHost) -> None:
    """An Enter that takes a word of an input method is not the user's to send."""
    chat.fill("#prompt", "にほん")
    chat.dispatch_event("#prompt", "keydown", {"key": "Enter", "isComposing": True})
    expect(chat.locator("#prompt")).to_have_value("にほん")
    assert host.idle


def test_nothing_is_not_sent(chat: Page, host: ScriptedHost) -> None:
    """White space alone is no question."""
    chat.fill("#prompt", " \n ")
    chat.press("#prompt", "Enter")
    assert chat.locator("[data-role]").count() == 0
    assert host.idle


def test_no_second_question_while_one_is_answered(chat: Page, host: ScriptedHost) -> None:
    """What is typed during an answer waits in the field."""
    ask(chat, host, "one").start()
    chat.fill("#prompt", "two")
    chat.press("#prompt", "Enter")
    expect(chat.locator("#prompt")).to_have_value("two")
    assert chat.locator('[data-role="user"]').count() == 1
    assert host.idle


@pytest.mark.parametrize("way", ["button", "Escape"])
def test_stop(chat: Page, host: ScriptedHost, way: str) -> None:
    """A stopped answer stays, is marked, belongs to the conversation, and its connection is closed."""
    asked = ask(chat, host, "Hi")
    asked.start()
    asked.text("Hel")
    expect(newest(chat)).to_have_text("Hel")
    if way == "button":
        chat.click("#stop")
    else:
        chat.keyboard.press("Escape")
    assert asked.left()
    expect(newest(chat)).to_have_attribute("data-state", "stopped")
    expect(newest(chat)).to_have_text("Hel")
    expect(chat.get_by_text("Stopped", exact=True)).to_be_visible()
    expect(chat.locator("#prompt")).to_be_focused()
    assert ask(chat, host, "Go on").json == said("Hi", "Hel", "Go on")


def test_refusal_is_shown_and_can_be_tried_again(chat: Page, host: ScriptedHost) -> None:
    """A refusal shows its message, hint and wait; trying again asks the same and clears it away."""
    answer(chat, host, "one", "1")
    refuse(ask(chat, host, "two"))
    failure = chat.locator(".failure")
    expect(failure.locator(".message")).to_have_text("Too many calls at once.")
    expect(failure.locator(".hint")).to_have_text("Try again. Please wait 12 s.")
    chat.get_by_role("button", name="Try again").click()
    again = host.asked()
    assert again.json == said("one", "1", "two")
    again.start()
    again.text("2")
    again.done()
    expect(newest(chat)).to_have_text("2")
    expect(failure).to_have_count(0)
    assert chat.locator("[data-role]").all_text_contents() == ["one", "1", "two", "2"]


def test_a_budget_that_is_used_up(chat: Page, host: ScriptedHost) -> None:
    """It is said when there is room again, by the reader's own clock."""
    asked = ask(chat, host, "Hi")
    at = datetime(2037, 5, 17, 22, 30, tzinfo=UTC)
    problem = Problem(
        402, "budget_exceeded", "what may be used in this month is used up", "x", resets_at=at
    )
    asked.start(402, {"content-type": "application/json"})
    asked.send(problem.body)
    asked.end()
    failure = chat.locator(".failure")
    expect(failure.locator(".message")).to_have_text("What may be used in this month is used up.")
    shown = chat.evaluate(
        "(at) => new Date(at).toLocaleString(undefined, { dateStyle: 'long', timeStyle: 'short' })",
        at.isoformat(),
    )
    assert "2037" in shown
    expect(failure.locator(".hint")).to_have_text(f"Try again after {shown}.")


LOGIN = (
    b'{"error":{"type":"not_logged_in","message":"you are not logged in","hint":"Please log in."}}'
)


@pytest.mark.parametrize("url", [None, "/accounts/login/?from=chat", "https://login.example/in"])
def test_who_is_not_logged_in_can_log_in(chat: Page, host: ScriptedHost, url: str | None) -> None:
    """Where the host says where its login is, the page leads there, and back to the conversation."""
    if url is not None:
        chat.evaluate(
            """(url) => {
                const tag = document.createElement("meta");
                [tag.name, tag.content] = ["login-url", url];
                document.head.append(tag);
            }""",
            url,
        )
    refuse_login(ask(chat, host, "Hi"))
    expect(chat.locator(".failure .hint")).to_have_text("Please log in.")
    link = chat.get_by_role("link", name="Log in")
    if url is None:
        expect(link).to_have_count(0)
    else:
        target = url if url.startswith("https:") else host.url + url
        back = ("&" if "?" in url else "?") + "next=%2Fllm%2F"
        expect(link).to_have_attribute("href", target + back)


def refuse_login(asked: Exchange) -> None:
    """Answer that nobody is logged in."""
    asked.start(401, {"content-type": "application/json"})
    asked.send(LOGIN)
    asked.end()


def test_who_has_logged_in_asks_again(chat: Page, host: ScriptedHost) -> None:
    """The refused questions and their boxes are gone, what was answered stays, and the last question is in the field."""
    answer(chat, host, "one", "1")
    for question in ("two", "three"):
        refuse_login(ask(chat, host, question))
        expect(chat.locator(".failure").last).to_be_visible()
        expect(chat.locator("#send")).to_be_visible()
    chat.reload()
    expect(chat.locator(".failure")).to_have_count(2)
    expect(chat.locator("#prompt")).to_have_value("")
    host.user = "7"
    chat.reload()
    expect(chat.locator("#prompt")).to_have_value("three")
    expect(chat.locator(".failure")).to_have_count(0)
    assert shown(chat) == ["one", "1"]
    chat.press("#prompt", "Enter")
    assert host.asked().json == said("one", "1", "three")


def test_a_first_question_without_a_login(chat: Page, host: ScriptedHost) -> None:
    """Then the page is as new, save for the question in the field."""
    refuse_login(ask(chat, host, "one"))
    expect(chat.locator(".failure")).to_be_visible()
    host.user = "7"
    chat.reload()
    expect(chat.locator("#prompt")).to_have_value("one")
    expect(chat.locator("#welcome")).to_be_visible()
    expect(chat.get_by_role("button", name="New chat")).to_be_hidden()
    assert shown(chat) == []


def test_other_failures_have_no_login(chat: Page, host: ScriptedHost) -> None:
    """The link is for who is not logged in."""
    refuse(ask(chat, host, "Hi"))
    expect(chat.locator(".failure")).to_be_visible()
    expect(chat.locator(".login")).to_be_hidden()


def test_answer_that_breaks_off_says_so(chat: Page, host: ScriptedHost) -> None:
    """A truncated answer keeps its text and is marked as failed."""
    asked = ask(chat, host, "Hi")
    asked.start()
    asked.text("Hel")
    asked.end()
    expect(newest(chat)).to_have_attribute("data-state", "failed")
    expect(newest(chat)).to_have_text("Hel")
    expect(chat.locator(".failure .message")).to_have_text("The answer was cut off before its end.")


def test_unanswered_question_is_not_sent_again(chat: Page, host: ScriptedHost) -> None:
    """A question that the app refused does not spoil those after it, and can no longer be tried again."""
    refuse(ask(chat, host, "too long"))
    expect(chat.locator(".failure")).to_be_visible()
    assert ask(chat, host, "short").json == said("short")
    expect(chat.locator(".retry")).to_have_count(0)


def test_reset_clears_the_partial_answer(chat: Page, host: ScriptedHost) -> None:
    """When the answer begins anew, what came before is gone."""
    asked = ask(chat, host, "Hi")
    asked.start()
    asked.text("Wrong")
    expect(newest(chat)).to_have_text("Wrong")
    asked.send(b"event: reset\ndata: {}\n\n")
    expect(newest(chat)).to_have_text("")
    asked.text("Right")
    asked.done()
    expect(newest(chat)).to_have_attribute("data-state", "done")
    expect(newest(chat)).to_have_text("Right")


def tool(asked: Exchange, number: int, name: str, state: str) -> None:
    """Tell of a tool."""
    asked.send(
        b"event: tool\ndata: "
        + json.dumps({"id": number, "name": name, "state": state}).encode()
        + b"\n\n"
    )


def test_tools_are_shown_while_they_run(chat: Page, host: ScriptedHost) -> None:
    """Above the answer, each with how it ended; what the model is sent next is the text alone."""
    asked = ask(chat, host, "Hi")
    asked.start()
    tool(asked, 1, "weather", "called")
    tool(asked, 2, "<b>time</b>", "called")
    shown = chat.locator(".tools span")
    expect(shown).to_have_text(["weather: running", "<b>time</b>: running"])
    tool(asked, 2, "<b>time</b>", "failed")
    tool(asked, 1, "weather", "done")
    expect(shown).to_have_text(["weather: done", "<b>time</b>: failed"])
    asked.text("It is grey.")
    asked.done()
    expect(newest(chat)).to_have_attribute("data-state", "done")
    expect(newest(chat)).to_have_text("It is grey.")
    again = ask(chat, host, "And now?")
    assert again.json == said("Hi", "It is grey.", "And now?")
    again.start()
    tool(again, 1, "weather", "called")
    expect(shown.last).to_have_text("weather: running")
    chat.click("#stop")
    expect(shown.last).to_have_text("weather: stopped")


def test_a_retry_begins_without_the_tools_of_before(chat: Page, host: ScriptedHost) -> None:
    """They belong to the answer that is gone."""
    asked = ask(chat, host, "Hi")
    asked.start()
    tool(asked, 1, "weather", "called")
    expect(chat.locator(".tools")).to_have_count(1)
    asked.cut()
    chat.click(".retry")
    again = host.asked()
    expect(chat.locator(".tools")).to_have_count(0)
    again.start()
    again.text("It is grey.")
    again.done()
    expect(newest(chat)).to_have_text("It is grey.")


def test_empty_answer_says_so(chat: Page, host: ScriptedHost) -> None:
    """A model that answers nothing is not taken for a page that hangs."""
    asked = ask(chat, host, "Hi")
    asked.start()
    asked.done()
    expect(chat.get_by_text("The answer is empty")).to_be_visible()


def test_new_chat_stops_and_forgets(chat: Page, host: ScriptedHost) -> None:
    """A new chat stops the running answer and begins with nothing."""
    answer(chat, host, "one", "1")
    asked = ask(chat, host, "two")
    asked.start()
    asked.text("2")
    chat.get_by_role("button", name="New chat").click()
    assert asked.left()
    expect(chat.locator("[data-role]")).to_have_count(0)
    assert ask(chat, host, "three").json == said("three")


def shown(chat: Page) -> list[str]:
    """Return all that the conversation shows, in order."""
    return chat.locator("#messages > *").all_inner_texts()


def test_a_reload_keeps_the_conversation(chat: Page, host: ScriptedHost) -> None:
    """What was asked and answered is there again, as Markdown, and goes along with the next question."""
    answer(chat, host, "one", "**1**")
    asked = ask(chat, host, "two")
    asked.start()
    asked.done()
    expect(chat.get_by_text("The answer is empty")).to_be_visible()
    chat.reload()
    assert shown(chat) == ["one", "1", "two", "", "The answer is empty"]
    expect(chat.locator('[data-role="assistant"] strong')).to_have_text("1")
    expect(chat.get_by_role("button", name="New chat")).to_be_visible()
    assert ask(chat, host, "three").json == said("one", "**1**", "three")


def test_a_reload_in_the_midst_of_an_answer_stops_it(chat: Page, host: ScriptedHost) -> None:
    """The answer is kept as far as it came, and marked; its model is stopped."""
    asked = ask(chat, host, "one")
    asked.start()
    asked.text("Hel")
    expect(newest(chat)).to_have_text("Hel")
    chat.reload()
    assert asked.left()
    assert shown(chat) == ["one", "Hel", "Stopped"]
    expect(newest(chat)).to_have_attribute("aria-busy", "false")
    assert ask(chat, host, "two").json == said("one", "Hel", "two")


def test_a_reload_keeps_what_went_wrong(chat: Page, host: ScriptedHost) -> None:
    """The last question can be tried again after the reload; what was to be waited for is over."""
    refuse(ask(chat, host, "one"))
    expect(chat.locator(".failure")).to_be_visible()
    refuse(ask(chat, host, "two"))
    expect(chat.locator(".failure")).to_have_count(2)
    chat.reload()
    expect(chat.locator(".failure .hint").last).to_have_text("Try again.")
    expect(chat.locator(".retry")).to_have_count(1)
    chat.click(".retry")
    assert host.asked().json == said("two")


def test_a_conversation_is_kept_for_who_had_it(chat: Page, host: ScriptedHost) -> None:
    """Who logs in finds what they asked before; the next user of the tab does not, and leaves nothing of it there."""
    answer(chat, host, "one", "1")
    host.user = "7"
    chat.reload()
    assert shown(chat) == ["one", "1"]
    answer(chat, host, "two", "2")
    chat.reload()
    assert shown(chat) == ["one", "1", "two", "2"]
    host.user = "8"
    chat.reload()
    expect(chat.locator("#welcome")).to_be_visible()
    assert shown(chat) == []
    host.user = "7"
    chat.reload()
    assert shown(chat) == []


def test_a_new_chat_is_new_after_a_reload_too(chat: Page, host: ScriptedHost) -> None:
    """A new chat forgets what was kept, also while an answer is being written."""
    asked = ask(chat, host, "one")
    asked.start()
    chat.get_by_role("button", name="New chat").click()
    assert asked.left()
    chat.reload()
    expect(chat.locator("#welcome")).to_be_visible()
    assert shown(chat) == []


@pytest.mark.parametrize(
    "broken",
    [
        "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }",
        "Object.defineProperty(globalThis, 'sessionStorage', { get() { throw new DOMException('no', 'SecurityError'); } })",
        "sessionStorage.setItem('llmkit:/llm/', '{\"not\": [\"ours\"]}')",
        'sessionStorage.setItem(\'llmkit:/llm/\', \'{"visitor": "", "turns": [null]}\')',
    ],
    ids=["full", "forbidden", "another's", "broken"],
)
def test_the_page_works_without_a_storage(
    browser: Browser, host: ScriptedHost, broken: str
) -> None:
    """A storage that is full, forbidden or spoilt costs the conversation at a reload, and nothing else."""
    with browser.new_context(base_url=host.url) as context:
        context.add_init_script(broken)
        page = context.new_page()
        faults: list[object] = []
        page.on("pageerror", lambda error: faults.append(error))
        page.goto("/llm/")
        answer(page, host, "one", "1")
        page.reload()
        assert shown(page) == []
        assert faults == []


def test_follows_the_end_unless_the_reader_scrolled_up(chat: Page, host: ScriptedHost) -> None:
    """New text is scrolled into sight; a reader who went up to read is left there."""
    asked = ask(chat, host, "Hi")
    asked.start()
    asked.text("line\n" * 60 + "end of part one")
    expect(newest(chat)).to_contain_text("part one")
    at_end = "() => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 2"
    chat.wait_for_function(at_end)
    chat.hover("#scroller")
    chat.mouse.wheel(0, -400)
    chat.wait_for_function(
        "() => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight > 300"
    )
    place = chat.evaluate("scroller.scrollTop")
    asked.text("line\n" * 60 + "end of part two")
    expect(newest(chat)).to_contain_text("part two")
    chat.evaluate("new Promise(requestAnimationFrame)")
    assert chat.evaluate("scroller.scrollTop") == place


def test_page_is_usable_without_sight(chat: Page) -> None:
    """The field and the buttons have names, and the conversation is read out as it grows."""
    expect(chat.get_by_role("textbox", name="Message")).to_be_focused()
    expect(chat.get_by_role("button", name="Send")).to_be_visible()
    expect(chat.get_by_role("log")).to_have_attribute("aria-live", "polite")
    chat.evaluate("document.getElementById('stop').hidden = false")
    expect(chat.get_by_role("button", name="Stop")).to_be_visible()


def test_page_fits_a_phone(chat: Page, host: ScriptedHost) -> None:
    """Nothing is wider than a small phone, whatever a model writes, and the field stays in sight."""
    chat.set_viewport_size({"width": 320, "height": 568})
    answer(chat, host, "w" * 200, "W" * 500 + "\n" * 50)
    assert chat.evaluate("document.documentElement.scrollWidth") <= 320
    assert chat.evaluate("scroller.scrollWidth <= scroller.clientWidth")
    expect(chat.locator("#prompt")).to_be_in_viewport()
    expect(chat.locator("#send")).to_be_in_viewport(ratio=1)


def test_page_loads_nothing_from_elsewhere(page: Page, host: ScriptedHost) -> None:
    """All that the page loads comes from the app, and inline scripts and styles are forbidden."""
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    opened = page.goto("/llm/")
    answer(page, host, "Hi", "Hello")
    assert {url.removeprefix(host.url) for url in loaded if not url.startswith("data:")} == {
        "/llm/",
        "/llm/chat.css",
        "/llm/chat.js",
        "/llm/inline.js",
        "/llm/llmkit.js",
        "/llm/markdown.js",
        "/llm/nodes.js",
        "/llm/stream",
    }
    assert opened is not None
    assert "unsafe-inline" not in opened.headers["content-security-policy"]
