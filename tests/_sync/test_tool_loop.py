# Generated from tests/_async/test_tool_loop.py. Do not edit.
"""The loop of tools: what is run, what the model reads of it, and what is on the books."""

from __future__ import annotations

import math
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmkit import (
    AnswerCut,
    AnswerRefused,
    ToolLoop,
    BudgetExceeded,
    Caller,
    InvalidRequest,
    Message,
    OutOfSteps,
    Response,
    ServerFailed,
    Tool,
    ToolCall,
    ToolContext,
    ToolError,
    ToolResult,
    Usage,
)
from llmkit.concurrency.jobs import Unfit
from llmkit.testing import Behaviour, Emulator
from llmkit.tools.calls import MAX_CALLS
from support.kits import WIRES, make_kit
from support.rows import database, rows


def weather(city: str) -> dict[str, object]:
    """Say how the weather is."""
    return {"city": city, "sky": "grey"}


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


ANSWER = Behaviour(text="It is grey, and 3.", delay=0)


def asks(*calls: tuple[str, Any], **more: Any) -> Behaviour:
    """Ask for these tools."""
    named = tuple({"name": name, "arguments": arguments} for name, arguments in calls)
    return Behaviour(**{"text": "Let me see.", "calls": named, "delay": 0} | more)


BOTH = asks(("weather", {"city": "Köln"}), ("add", {"a": 1, "b": 2}))


@pytest.mark.parametrize("wire", WIRES)
def test_a_loop_runs_tools_until_the_model_answers(tmp_path: Path, wire: str) -> None:
    """Results go back in the order of the calls; each attempt has its row, all with one run_id; tokens and cost are added up."""
    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(BOTH)
        kit = make_kit(emulator, wire=wire, ledger={"database": database(tmp_path)})
        run = kit.client.run("How is it?", tools=[weather, add], user="u1")
        kit.close()
        first, second = (request.body for request in emulator.requests)
    assert run.text == "It is grey, and 3."
    assert [result.content for result in run.steps[0].results] == [
        '{"city":"Köln","sky":"grey"}',
        "3",
    ]
    assert [message.role for message in run.messages] == ["user", "assistant", "user", "assistant"]
    assert run.messages[2].tool_results == run.steps[0].results
    assert len(first["tools"]) == len(second["tools"]) == 2
    assert len(second["messages"]) == (3 if wire == "anthropic" else 4)
    booked = rows(tmp_path)
    assert [row["run_id"] for row in booked] == [run.run_id] * 2
    assert {row["user_key"] for row in booked} == {"u1"}
    assert len({row["call_id"] for row in booked}) == 2
    assert run.cost == sum(Decimal(row["cost_usd"]) for row in booked) > 0
    assert run.usage.input_tokens == sum(row["input_tokens"] for row in booked)
    assert run.usage.output_tokens == sum(row["output_tokens"] for row in booked)
    assert run.usage.input_source == "reported"


def test_a_loop_without_a_call_is_a_call() -> None:
    """And its conversation goes on."""
    with Emulator(behaviour=ANSWER) as emulator:
        kit = make_kit(emulator)
        run = kit.client.run("Hi", tools=[add], run_id="mine")
        again = [*run.messages, Message.user("And now?")]
        assert (kit.client.run(again, tools=[add])).text == "It is grey, and 3."
        kit.close()
    assert (run.run_id, len(run.steps), run.steps[0].results) == ("mine", 1, ())
    assert run.reply is run.steps[0].reply


def fails() -> None:
    raise ValueError("the secret of the database")


def explains() -> None:
    raise ToolError("there is no such order")


def endless() -> str:
    return "x" * 2_000_000


TOO_LONG = "The result has more than 100,000 characters, which is too long. Ask for less."


def many() -> list[int]:
    return list(range(200_000))


def strange() -> object:
    return object()


def half() -> str:
    return "half \ud83d"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("nothing", {}), "There is no tool nothing. There are: "),
        (("add", {"a": 1}), "The arguments are wrong, and nothing was run.\nb: "),
        (("add", {"a": 1, "b": "x", "c": 1}), "The arguments are wrong, and nothing was run.\nb: "),
        (("fails", {}), "The tool failed."),
        (("explains", {}), "there is no such order"),
        (("endless", {}), TOO_LONG),
        (("many", {}), TOO_LONG),
        (("strange", {}), "The tool failed."),
        (("half", {}), "half ?"),
    ],
)
@pytest.mark.parametrize("wire", WIRES)
def test_what_goes_wrong_is_for_the_model_to_read(
    wire: str, call: tuple[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The other call is run all the same, the loop goes on, and no text of an error leaves the app."""
    tools = [add, fails, explains, endless, many, strange, half]
    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(asks(call, ("add", {"a": 1, "b": 2})))
        kit = make_kit(emulator, wire=wire)
        run = kit.client.run("Hi", tools=tools)
        kit.close()
    first, second = run.steps[0].results
    assert first.content.startswith(said)
    assert first.is_error is (call[0] != "half")
    assert (second.content, second.is_error, run.text) == ("3", False, "It is grey, and 3.")
    assert "secret" not in caplog.text
    if call[0] == "fails":
        assert "the tool fails failed: ValueError, " in caplog.text
    if call[0] == "strange":
        assert "the tool strange failed: it returned an object, which is no JSON" in caplog.text
    # What the app wants to know of it is with the step.
    errors = [(id_, type(error)) for id_, error in run.steps[0].errors.items()]
    kinds = {"fails": ValueError, "strange": Unfit}
    assert errors == ([(first.call_id, kinds[call[0]])] if call[0] in kinds else [])


def test_a_tool_that_hangs_is_left() -> None:
    """Its own time, or that of the loop; the other one has run meanwhile. It can see that nobody waits any more."""
    seen, now = threading.Semaphore(0), threading.Event()

    def hangs(context: ToolContext) -> None:
        while not context.stopped:
            now.wait(0.001)
        seen.release()

    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(
            asks(("hangs", {}), ("slowly", {}), ("add", {"a": 1, "b": 2})),
        )
        kit = make_kit(emulator)
        slowly = Tool(hangs, name="slowly", timeout=0.02)
        run = kit.client.run("Hi", tools=[hangs, slowly, add], tool_timeout=0.04)
        kit.close()
    assert seen.acquire(timeout=30)
    assert seen.acquire(timeout=30)
    assert [result.content for result in run.steps[0].results] == [
        "The tool did not answer within 0.04 seconds.",
        "The tool did not answer within 0.02 seconds.",
        "3",
    ]


@pytest.mark.parametrize("limit", [1, 3])
def test_so_many_tools_run_at_a_time(limit: int) -> None:
    """As many as may, side by side, and no more."""
    running, most = [0], [0]
    lock, together = threading.Lock(), threading.Barrier(limit)

    def work(at: int) -> int:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait(30)
        with lock:
            running[0] -= 1
        return at

    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(asks(*(("work", {"at": at}) for at in range(6))))
        kit = make_kit(emulator)
        run = kit.client.run("Hi", tools=[work], max_parallel=limit)
        kit.close()
    assert [result.content for result in run.steps[0].results] == list("012345")
    assert most == [limit]


def test_a_model_that_goes_astray() -> None:
    """Of one answer so many calls are run; it is told of the others."""
    ran: list[int] = []

    def go(at: int) -> None:
        ran.append(at)

    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(asks(*(("go", {"at": at}) for at in range(MAX_CALLS + 5))))
        kit = make_kit(emulator)
        run = kit.client.run("Hi", tools=[go])
        kit.close()
    assert sorted(ran) == list(range(MAX_CALLS))
    results = run.steps[0].results
    assert [result.is_error for result in results] == [False] * MAX_CALLS + [True] * 5
    assert results[-1].content == "Too many calls at once: the first 100 are run."


def test_a_tool_knows_who_calls_and_the_model_cannot_say_it() -> None:
    """The caller is the app's; an argument of that name is refused."""
    seen: list[ToolContext] = []

    def mine(what: str, context: ToolContext) -> str:
        seen.append(context)
        return what

    caller = Caller(user=7, tenant="t", groups=("staff",))
    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(
            asks(("mine", {"what": "a"}), ("mine", {"what": "b", "context": {"user": 8}}))
        )
        kit = make_kit(emulator)
        run = kit.client.run(
            "Hi", tools=[mine], user=caller, tags={"a": "b"}, conversation="c1"
        )
        kit.close()
    (context,) = seen
    assert (context.caller.user, context.caller.tenant, context.caller.groups) == (
        "7",
        "t",
        ("staff",),
    )
    assert (context.caller.tags, context.run_id, context.conversation) == (
        {"a": "b"},
        run.run_id,
        "c1",
    )
    assert context.call.arguments == {"what": "a"}
    assert run.steps[0].results[1].is_error


def approve(call: ToolCall, context: ToolContext) -> Any:
    """Decide by what the call says."""
    assert context.call == call
    said = call.arguments["a"]
    if said == 6:
        raise ValueError("a secret")
    changed = ToolCall(id="x", name=call.name, arguments={"a": 40, "b": 2})
    wrong = ToolCall(id="x", name=call.name, arguments={"a": "much"})
    return {1: True, 2: False, 3: "Not today.", 4: changed, 5: None, 7: wrong}[said]


def test_the_app_allows_denies_or_changes_a_call(caplog: pytest.LogCaptureFixture) -> None:
    """Everything but a clear yes is a no."""
    ran: list[int] = []

    def add(a: int, b: int) -> int:
        ran.append(a)
        return a + b

    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(
            asks(*(("add", {"a": at, "b": 1}) for at in range(1, 8)), ("add", {"a": "no number"}))
        )
        kit = make_kit(emulator)
        run = kit.client.run("Hi", tools=[add], approve=approve)
        kit.close()
    results = run.steps[0].results
    assert [result.content.partition("\n")[0] for result in results] == [
        "2",
        "This call was not approved.",
        "Not today.",
        "42",
        "This call was not approved.",
        "This call was not approved.",
        "The arguments are wrong, and nothing was run.",
        "The arguments are wrong, and nothing was run.",
    ]
    assert [result.is_error for result in results] == [at not in (0, 3) for at in range(8)]
    assert [result.call_id for result in results] == [
        call.id for call in run.steps[0].reply.tool_calls
    ]
    assert sorted(ran) == [1, 40]
    assert "secret" not in caplog.text
    assert "approve failed for a call of add: ValueError" in caplog.text
    assert [type(error) for error in run.steps[0].errors.values()] == [ValueError]
    assert (
        "approve has to return True, False, a reason or a changed ToolCall, not None" in caplog.text
    )


def test_a_choice_is_for_the_first_step() -> None:
    """Or the model would have to call for ever; that it may call nothing stays so."""
    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(BOTH)
        kit = make_kit(emulator)
        kit.client.run("Hi", tools=[weather, add], tool_choice="required")
        emulator.script(BOTH)
        kit.client.run("Hi", tools=[weather, add], tool_choice="none")
        kit.close()
        choices = [request.body.get("tool_choice") for request in emulator.requests]
    assert choices == [{"type": "any"}, None, {"type": "none"}, {"type": "none"}]


@pytest.mark.parametrize("max_steps", [1, 3])
def test_a_loop_ends(max_steps: int) -> None:
    """The last answer's tools are not run, for nobody would read what they give."""
    ran = []

    def go() -> None:
        ran.append(1)

    with Emulator(behaviour=asks(("go", {}))) as emulator:
        kit = make_kit(emulator)
        with pytest.raises(
            OutOfSteps, match=f"still asks for tools after {max_steps} step"
        ) as raised:
            kit.client.run("Hi", tools=[go], max_steps=max_steps)
        kit.close()
    run = raised.value.run
    assert len(run.steps) == max_steps
    assert len(ran) == max_steps - 1
    assert [len(step.results) for step in run.steps] == [1] * (max_steps - 1) + [0]
    assert len(run.messages) == 2 * max_steps - 1  # whole steps: it can be sent again
    assert run.cost is not None


@pytest.mark.parametrize(
    ("reason", "error"),
    [("max_tokens", AnswerCut), ("refusal", AnswerRefused), ("content_filter", AnswerRefused)],
)
def test_calls_of_an_answer_that_is_not_whole_are_not_run(
    reason: str, error: type[AnswerCut | AnswerRefused]
) -> None:
    """Even if each is whole by itself: the model was not done."""
    ran = []

    def go() -> None:
        ran.append(1)

    with Emulator(behaviour=asks(("go", {}), stop_reason=reason)) as emulator:
        kit = make_kit(emulator, wire="openai")
        with pytest.raises(error) as raised:
            kit.client.run("Hi", tools=[go])
        kit.close()
    assert raised.value.response.text == "Let me see."
    assert (len(raised.value.run.steps), ran) == (1, [])


def test_a_failure_in_the_midst_says_what_was_done() -> None:
    """The tool is not run a second time by whoever goes on."""
    with Emulator(behaviour=Behaviour(status=500)) as emulator:
        emulator.script(BOTH)
        kit = make_kit(emulator, retry={"attempts": 1})
        with pytest.raises(ServerFailed) as raised:
            kit.client.run("Hi", tools=[weather, add])
        run = raised.value.run
        emulator.behaviour = ANSWER
        assert (kit.client.run(run.messages, tools=[weather, add])).text
        kit.close()
    assert [result.content for result in run.steps[0].results][1] == "3"


def test_a_budget_ends_a_loop(tmp_path: Path) -> None:
    """Each step is held and charged by itself."""
    budget = {"scope": "user", "per": "day", "requests": 2}
    with Emulator(behaviour=asks(("add", {"a": 1, "b": 2}))) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)}, budgets=[budget])
        with pytest.raises(BudgetExceeded) as raised:
            kit.client.run("Hi", tools=[add], user="u1")
        kit.close()
    assert len(raised.value.run.steps) == 2
    booked = rows(tmp_path)
    assert [row["status"] for row in booked] == ["finished", "finished", "refused"]
    assert {row["run_id"] for row in booked} == {raised.value.run.run_id}


def test_a_tool_may_call_the_model_itself(tmp_path: Path) -> None:
    """With one place for calls, too: the loop holds none while its tools run."""
    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(asks(("ask", {"what": "a"}), ("ask", {"what": "b"})))
        kit = make_kit(
            emulator,
            ledger={"database": database(tmp_path)},
            concurrency={"per_process": 1, "per_provider": 1},
        )

        def ask(what: str, context: ToolContext) -> str:
            reply = kit.client.complete(
                what, user=context.caller, run_id=context.run_id
            )
            return reply.text

        run = kit.client.run("Hi", tools=[ask], user="u1")
        kit.close()
    assert [result.content for result in run.steps[0].results] == ["It is grey, and 3."] * 2
    booked = rows(tmp_path)
    assert [row["run_id"] for row in booked] == [run.run_id] * 4
    assert {row["status"] for row in booked} == {"finished"}


class Parrot:
    """Answers by itself: whatever has a `complete` can be asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def complete(self, messages: Any, **options: Any) -> Response:
        self.asked.append((list(messages), options))
        call = ToolCall(id="1", name="add", arguments={"a": 1, "b": 2})
        return Response(
            text="so",
            thinking="",
            stop_reason="end" if len(self.asked) > 1 else "tool_use",
            raw_stop_reason=None,
            usage=Usage(),
            cost=None,
            provider=None,
            model=None,
            request_id=None,
            call_id=str(len(self.asked)),
            parts=() if len(self.asked) > 1 else (call,),
        )


def test_a_loop_asks_whatever_client_it_is_given() -> None:
    """It needs a `complete` and no kit; what nobody knows is None and not 0."""
    parrot = Parrot()
    run = ToolLoop(parrot, [add], max_steps=2).run("Hi", seed=3)
    assert (run.text, run.cost, run.usage, len(run.run_id)) == ("so", None, Usage(), 32)
    (_, first), (messages, second) = parrot.asked
    assert messages[-1] == Message.user(ToolResult(call_id="1", content="3"))
    assert first == second
    assert (first["seed"], first["run_id"], len(first["tools"])) == (3, run.run_id, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "there are no tools to run"),
        ({"tools": [add], "max_steps": 0}, "max_steps is 0"),
        ({"tools": [add], "max_steps": True}, "max_steps is True"),
        ({"tools": [add], "max_parallel": 1.5}, "max_parallel is 1.5"),
        ({"tools": [add], "max_result": "1"}, "max_result is '1'"),
        ({"tools": [add], "tool_timeout": 0}, "tool_timeout is 0"),
        ({"tools": [add], "tool_timeout": math.nan}, "tool_timeout is nan"),
        ({"tools": [add], "approve": True}, "approve is not a function of two"),
        ({"tools": [add], "approve": lambda call: True}, "approve is not a function of two"),
        ({"tools": [add], "seed": "x"}, "seed is not a whole number"),
    ],
)
def test_limits_that_mean_nothing(options: Any, words: str) -> None:
    """Said before anything is sent."""
    with Emulator(behaviour=ANSWER) as emulator:
        kit = make_kit(emulator)
        with pytest.raises(InvalidRequest, match=words):
            kit.client.run("Hi", **options)
        assert emulator.requests == []
        kit.close()


def test_options_that_there_are_not() -> None:
    """The error has the names of all, those of a loop among them; a loop that is made by hand has its tools already."""
    with Emulator(behaviour=ANSWER) as emulator:
        kit = make_kit(emulator)
        for name in ("max_step", "tool"):
            with pytest.raises(TypeError, match=f"'{name}' is not an option of run.*max_steps"):
                kit.client.run("Hi", tools=[add], **{name: 3})
        with pytest.raises(InvalidRequest, match="the loop has its tools already"):
            ToolLoop(kit.client, [add]).run("Hi", tools=[weather])
        with pytest.raises(AttributeError, match="not open.*client.run_stream"):
            kit.client.run_stream("Hi", tools=[add]).text()
        assert emulator.requests == []
        kit.close()
