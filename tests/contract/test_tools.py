"""Tools on every host: the loop runs on the server, the browser sees names, and leaves nothing behind when it goes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contract.hosts import HEARTBEAT, HOSTS, Host, running
from contract.tab import Tab
from llmkit.sse import SSEDecoder
from llmkit.testing import Behaviour
from support.browser import SAY_HI
from support.canary import leaks
from support.waits import wait_for

ANSWER = Behaviour(text="It is a noun.", delay=0)


@pytest.fixture(scope="module", params=HOSTS)
def running_host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    """Start each host with tools; those that wait in an event loop are for hosts that have one."""
    tools = ["contract.tools.look", "contract.tools.wait"]
    if request.param.endswith("uvicorn"):
        tools.append("contract.tools.await_")
    relay = {"heartbeat": HEARTBEAT, "tools": tools, "max_steps": 3}
    with running(request.param, tmp_path_factory.mktemp(request.param), relay=relay) as host:
        yield host


@pytest.fixture
def host(running_host: Host) -> Host:
    """Begin a test."""
    running_host.reset()
    running_host.emulator.behaviour = ANSWER
    return running_host


def asks(name: str, **arguments: Any) -> Behaviour:
    """Ask for a tool."""
    calls = ({"name": name, "arguments": arguments},)
    return Behaviour(text="Let me see.", calls=calls, delay=0)


def post(host: Host, path: str) -> httpx.Response:
    """Ask as user 7."""
    answer = httpx.post(host.url + path, json=SAY_HI, headers=host.user, timeout=30)
    assert leaks(answer.text, dict(answer.headers)) == []
    return answer


def test_a_stream_that_uses_a_tool(host: Host) -> None:
    """The browser sees that it is called and that it is done; what it is called with and what it returns is the model's alone."""
    host.emulator.script(asks("look", word="canary-of-an-argument"))
    answer = post(host, "/llm/stream")
    events = SSEDecoder().feed(answer.content)
    assert [(event.event, event.data) for event in events if event.event != "message"] == [
        ("tool", '{"id":1,"name":"look","state":"called"}'),
        ("tool", '{"id":1,"name":"look","state":"done"}'),
    ]
    texts = [json.loads(event.data)["text"] for event in events[:-1] if event.event == "message"]
    assert "".join(texts) == "Let me see.\n\nIt is a noun."
    assert events[-1].data == "[DONE]"
    assert "canary" not in answer.text
    first, second = host.wait_for_rows("finished", "finished")
    assert first["run_id"] == second["run_id"] is not None
    assert (first["user_key"], second["user_key"], second["streamed"]) == ("7", "7", 1)
    result = json.loads(host.emulator.requests[1].body["messages"][-1]["content"][0]["content"])
    assert result == {"word": "canary-of-an-argument", "secret": "canary-of-a-result", "user": "7"}


def test_a_whole_answer_that_uses_a_tool(host: Host) -> None:
    """One JSON object, with the tokens and the cost of all steps."""
    host.emulator.script(asks("look", word="canary"))
    body = post(host, "/llm/complete").json()
    assert (body["text"], body["stop_reason"]) == ("Let me see.\n\nIt is a noun.", "end")
    booked = host.wait_for_rows("finished", "finished")
    assert {row["streamed"] for row in booked} == {0}
    assert body["usage"]["output_tokens"] == sum(row["output_tokens"] for row in booked)
    assert "canary" not in json.dumps(body)


def test_a_model_that_never_ends(host: Host) -> None:
    """An error that says no more than a browser may know."""
    host.emulator.behaviour = asks("look", word="x")
    events = SSEDecoder().feed(post(host, "/llm/stream").content)
    assert events[-1].event == "error"
    assert json.loads(events[-1].data)["error"]["type"] == "out_of_steps"
    host.wait_for_rows("finished", "finished", "finished")
    answer = post(host, "/llm/complete")
    assert (answer.status_code, answer.json()["error"]["type"]) == (502, "out_of_steps")


def wait_until(what: Callable[[], bool]) -> None:
    """Wait until it is so."""
    wait_for(what, wanted=True)


def wait_for_file(path: Path) -> None:
    """Wait for a trace."""
    wait_until(path.exists)


def threads(host: Host) -> int:
    """Count the threads of the host's process."""
    return len(os.listdir(f"/proc/{host.process.pid}/task"))


@pytest.mark.parametrize("reset", [False, True])
def test_the_browser_leaves_while_a_tool_runs(host: Host, tmp_path: Path, *, reset: bool) -> None:
    """No row stays open, the model is not asked again, and neither a task nor a thread is left."""
    for tool in ("wait", "await_") if host.is_asgi else ("wait",):
        folder = tmp_path / tool
        folder.mkdir()
        host.reset()
        host.emulator.behaviour = ANSWER
        leave_while_it_runs(host, folder, tool, reset=reset)


def leave_while_it_runs(host: Host, tmp_path: Path, tool: str, *, reset: bool) -> None:
    """Leave while this tool runs, and see what is left."""
    host.emulator.script(asks("look", word="x"))  # what is begun once is begun
    post(host, "/llm/stream")
    before = threads(host)
    host.emulator.script(asks(tool, folder=str(tmp_path)))
    tab = Tab(host)
    tab.read_until(b'"state":"called"')
    wait_for_file(tmp_path / "began")
    tab.close(reset=reset)
    if tool == "wait":
        wait_for_file(tmp_path / "stopped")
        # Its thread is the only one that goes on, to its own end.
        wait_until(lambda: threads(host) <= before + 1)
        (tmp_path / "go").touch()
    wait_for_file(tmp_path / "ended")
    wait_until(lambda: threads(host) <= before)
    assert [row["status"] for row in host.rows()] == ["finished"] * 3
    assert len(host.emulator.requests) == 3
    post(host, "/llm/complete")
    assert [row["status"] for row in host.rows()] == ["finished"] * 4
