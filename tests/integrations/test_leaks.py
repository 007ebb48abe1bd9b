"""What is left when a call ends in an unusual way: no socket, no thread, no task, no open row."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from llmkit import Kit, Outcome, StreamClosed
from llmkit.testing import Behaviour, Emulator
from llmkit_asgi import LLMKitMiddleware, get_client, stream_response
from support.forks import needs_fork
from support.hosts import asgi_host
from support.kits import make_kit, settings
from support.left_over import no_more_sockets, sockets, threads
from support.rows import database, rows


async def poem(request: Request) -> Response:
    return stream_response(request, get_client(request).stream("A poem"))


def test_head_opens_nothing(tmp_path: Path) -> None:
    """HEAD on a view that streams answers with headers alone and makes no call."""
    with Emulator(behaviour=Behaviour(hold_at=1)) as emulator:
        config = settings(emulator, ledger={"database": database(tmp_path)})
        app = LLMKitMiddleware(Starlette(routes=[Route("/poem", poem)]), config)
        with asgi_host(app) as url:
            answer = httpx.head(f"{url}/poem")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert emulator.requests == []


@pytest.mark.anyio
async def test_a_response_that_is_never_sent_opens_nothing() -> None:
    """A view may make a response and drop it."""
    with Emulator() as emulator:
        kit = make_kit(emulator)
        request = Request({"type": "http", "headers": [], "llmkit": kit})
        response = stream_response(request, kit.async_client.stream("A poem"))
        del response
        await kit.aclose()
        assert emulator.requests == []


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ["httpx", "aiohttp", "native"])
async def test_a_second_cancel_does_not_reach_the_finalisers(
    tmp_path: Path, transport: str
) -> None:
    """Finalisers run to their end in tasks of the kit, however often the caller is cancelled."""
    before = sockets()
    running = asyncio.Event()
    go_on = asyncio.Event()
    ended: list[str] = []

    async def slow(outcome: Outcome) -> None:
        running.set()
        await go_on.wait()
        ended.append(outcome.status)

    with Emulator(behaviour=Behaviour(hold_at=2)) as emulator:
        kit = make_kit(emulator, transport=transport, ledger={"database": database(tmp_path)})

        async def caller() -> None:
            async with kit.async_client.stream("Say hi") as stream:
                stream.finalise(slow)
                async for _ in stream:
                    pass

        task = asyncio.create_task(caller())
        await asyncio.to_thread(emulator.wait_for_requests, 1)
        while not emulator.requests[0].tokens_sent:
            await asyncio.sleep(0)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        if running.is_set():
            assert ended == []
        go_on.set()
        await asyncio.to_thread(emulator.wait_until_gone, 0)
        await kit.aclose()
        assert not kit.runtime.tasks
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]
    assert ended in ([], ["cancelled"])  # [] when the cancel came before the stream was open
    await asyncio.to_thread(no_more_sockets, before)


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ["httpx", "aiohttp", "native"])
async def test_a_cancel_while_opening_leaves_nothing(tmp_path: Path, transport: str) -> None:
    """A task that is cancelled before the first byte closes its connection, its place and its row."""
    before = sockets()
    with Emulator(behaviour=Behaviour(head_delay=60)) as emulator:
        kit = make_kit(emulator, transport=transport, ledger={"database": database(tmp_path)})
        task = asyncio.create_task(kit.async_client.complete("Say hi"))
        await asyncio.to_thread(emulator.wait_for_requests, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(emulator.wait_until_gone, 0)
        await kit.aclose()
    assert kit.limit.running == 0
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]
    await asyncio.to_thread(no_more_sockets, before)


def test_a_sync_stream_aborted_from_another_thread_leaves_nothing(tmp_path: Path) -> None:
    """Aborting while the call still opens wakes the opener, cuts the connection and closes the row."""
    before = sockets()
    caught: list[BaseException] = []
    with Emulator(behaviour=Behaviour(head_delay=60)) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        manager = kit.client.stream("Say hi")

        def call() -> None:
            try:
                manager.open()
            except Exception as error:  # looked at below
                caught.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        emulator.wait_for_requests(1)
        manager.abort()
        thread.join()
        emulator.wait_until_gone(0)
        kit.close()
    assert [type(error).__name__ for error in caught] == ["StreamClosed"]
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]
    assert threads() == []
    no_more_sockets(before)


@pytest.mark.parametrize("transport", ["httpx", "aiohttp", "native"])
def test_a_kit_outlives_its_loops(tmp_path: Path, transport: str) -> None:
    """`asyncio.run` once for every call: each loop has its own connections, and they end with it."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        before = sockets()
        kit = make_kit(emulator, transport=transport, ledger={"database": database(tmp_path)})
        for _ in range(2):
            reply = asyncio.run(kit.async_client.complete("Say hi"))
            assert reply.stop_reason == "end"
            emulator.wait_for_connections(0)
            no_more_sockets(before)
            assert not kit.runtime.tasks
        kit.close()
    assert threads() == []
    assert [row["status"] for row in rows(tmp_path)] == ["finished", "finished"]


@pytest.mark.parametrize("transport", ["httpx", "aiohttp", "native"])
def test_a_stream_ends_with_its_loop(tmp_path: Path, transport: str) -> None:
    """One that was left open is cut and its row closed, also while somebody still holds it."""
    with Emulator(behaviour=Behaviour(hold_at=2)) as emulator:
        before = sockets()
        kit = make_kit(emulator, transport=transport, ledger={"database": database(tmp_path)})
        left = asyncio.run(kit.async_client.stream("Say hi").open())
        emulator.wait_until_gone(0)
        emulator.wait_for_connections(0)
        no_more_sockets(before)
        assert not kit.runtime.open_attempts
        assert not kit.runtime.tasks
        assert asyncio.run(left.aclose()) is None  # too late to matter, and no error
        kit.close()
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]


@pytest.mark.parametrize("transport", ["httpx", "aiohttp", "native"])
def test_a_stream_ends_with_its_kit(tmp_path: Path, transport: str) -> None:
    """Whoever reads it when the kit is closed is told that it was stopped, and nobody blames the provider."""

    async def main(kit: Kit) -> None:
        async with kit.async_client.stream("Say hi") as stream:
            await stream.read()
            await kit.aclose()
            with pytest.raises(StreamClosed):
                await stream.read()

    with Emulator(behaviour=Behaviour(hold_at=2)) as emulator:
        asyncio.run(
            main(make_kit(emulator, transport=transport, ledger={"database": database(tmp_path)}))
        )
        emulator.wait_for_connections(0)
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]


FORK = """
    import json, os, sys, threading
    from llmkit import Kit
    kit = Kit(json.loads(sys.argv[1]))
    if sys.argv[2] == "used":
        kit.client.complete("Say hi", user="parent")
    pid = os.fork()
    if pid == 0:
        kit.client.complete("Say hi", user="child")
        with kit.client.stream("Say hi", user="child") as stream:
            list(stream)
        kit.close()
        here = (threading.main_thread().name, "llmkit-timers")  # one timer thread a process stays
        left = [t.name for t in threading.enumerate() if t.name not in here]
        os._exit(1 if left else 0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    kit.client.complete("Say hi", user="parent")
    kit.close()
    sys.exit(status)
"""


@needs_fork
@pytest.mark.parametrize("when", ["imported", "used"])
def test_a_fork_gets_connections_and_books_of_its_own(tmp_path: Path, when: str) -> None:
    """A worker forked after import, or after first use, calls, writes its rows and ends clean."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        config: dict[str, Any] = settings(emulator, ledger={"database": database(tmp_path)})
        result = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(FORK), json.dumps(config), when],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert result.returncode == 0, result.stderr
    found = rows(tmp_path)
    assert {row["status"] for row in found} == {"finished"}
    users = sorted(row["user_key"] for row in found)
    assert users == ["child", "child", "parent"] + (["parent"] if when == "used" else [])


OPEN_FORK = """
    import gc, json, os, sys
    from llmkit import Kit
    kit = Kit(json.loads(sys.argv[1]))
    manager = kit.client.stream("Say hi")
    stream = manager.open()
    stream.read()
    pid = os.fork()
    if pid == 0:
        if sys.argv[2] == "closes it":
            stream.close()
        elif sys.argv[2] == "stops it":
            manager.abort()
        else:
            del stream, manager
            gc.collect()
        os._exit(0)
    os.waitpid(pid, 0)
    while stream.read() is not None:
        pass
    print(len(stream.response.text.split()))
    kit.close()
"""
OPEN_LOOP_FORK = """
    import asyncio, gc, json, os, sys
    from llmkit import Kit
    kit = Kit(json.loads(sys.argv[1]))

    async def parent():
        manager = kit.async_client.stream("Say hi")
        stream = await manager.open()
        await stream.read()
        pid = os.fork()
        if pid == 0:
            if sys.argv[2] == "closes it":
                await stream.aclose()
            elif sys.argv[2] == "stops it":
                manager.abort()
            else:
                del stream, manager
                gc.collect()
            os._exit(0)
        os.waitpid(pid, 0)
        while await stream.read() is not None:
            pass
        print(len(stream.response.text.split()))
        await kit.aclose()

    asyncio.run(parent())
"""


@needs_fork
@pytest.mark.parametrize("child", ["closes it", "stops it", "drops it"])
@pytest.mark.parametrize("transport", ["sync", "httpx", "aiohttp", "native"])
def test_a_fork_leaves_the_parents_stream_alone(tmp_path: Path, transport: str, child: str) -> None:
    """Whatever a child does with its copy of an open stream: the parent reads the whole answer, and its row says so."""
    script = OPEN_FORK if transport == "sync" else OPEN_LOOP_FORK
    with Emulator(behaviour=Behaviour(tokens=5, delay=0.05)) as emulator:
        config = settings(
            emulator,
            transport="auto" if transport == "sync" else transport,
            ledger={"database": database(tmp_path)},
        )
        command = [sys.executable, "-c", textwrap.dedent(script), json.dumps(config), child]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout == "5\n", result.stderr
    (row,) = rows(tmp_path)
    assert (row["status"], row["output_source"]) == ("finished", "reported")


LOOP_FORK = """
    import asyncio, json, os, sys
    from llmkit import Kit
    kit = Kit(json.loads(sys.argv[1]))

    async def call(user):
        async with kit.async_client.stream("Say hi", user=user) as stream:
            async for _ in stream:
                pass

    async def parent():
        await call("parent")  # its connection is kept
        pid = os.fork()
        if pid == 0:
            asyncio.run(call("child"))
            kit.close()
            os._exit(0)
        ended = await asyncio.to_thread(os.waitpid, pid, 0)
        status = os.waitstatus_to_exitcode(ended[1])
        await call("parent")
        await kit.aclose()
        return status

    sys.exit(asyncio.run(parent()))
"""


@needs_fork
@pytest.mark.parametrize("transport", ["httpx", "aiohttp", "native"])
def test_a_fork_leaves_the_parents_loop_alone(tmp_path: Path, transport: str) -> None:
    """A child calls from a loop of its own; the parent's connection still serves, by the same selector."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        config = settings(emulator, transport=transport, ledger={"database": database(tmp_path)})
        result = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(LOOP_FORK), json.dumps(config)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert "nclosed" not in result.stderr
        assert len(emulator.requests) == 3
    assert [row["user_key"] for row in rows(tmp_path)] == ["parent", "child", "parent"]
    assert {row["status"] for row in rows(tmp_path)} == {"finished"}


EXIT = """
    import asyncio, json, os, sys, threading
    from llmkit import Kit
    kit = Kit(json.loads(sys.argv[1]))

    def in_a_thread():
        with kit.client.stream("Say hi", user="thread") as stream:
            for event in stream:
                begun.set()

    async def in_a_loop():
        global left
        left = await kit.async_client.stream("Say hi", user="loop").open()

    begun = threading.Event()
    threading.Thread(target=in_a_thread, daemon=True).start()
    begun.wait()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(in_a_loop())
    if os.fork() == 0:
        sys.exit(0)  # a child that never called anything leaves its parent's streams alone
    os.wait()
    print(len(kit.runtime.open_attempts))
"""


@needs_fork
def test_a_process_that_ends_closes_its_rows(tmp_path: Path) -> None:
    """Streams that are still open when the interpreter ends are cut, and their rows say so."""
    with Emulator(behaviour=Behaviour(tokens=9, delay=0, hold_at=3)) as emulator:
        config: dict[str, Any] = settings(emulator, ledger={"database": database(tmp_path)})
        result = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(EXIT), json.dumps(config)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        emulator.wait_until_gone(0)
        emulator.wait_until_gone(1)
    assert result.stdout == "2\n", result.stderr
    found = rows(tmp_path)
    assert {row["user_key"] for row in found} == {"thread", "loop"}
    assert [row["status"] for row in found] == ["cancelled", "cancelled"]
    assert [row["output_source"] for row in found] == ["estimated", "estimated"]
