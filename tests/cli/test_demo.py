"""`llmkit demo` and `llmkit usage` as they are typed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from llmkit.cli.demo import ANSWER
from llmkit.testing import Behaviour, Emulator
from support.browser import open_page

LLMKIT = (sys.executable, "-u", "-m", "llmkit.cli")


def environment(**more: str) -> dict[str, str]:
    """Return this environment without the keys that it may hold."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    return {**kept, **more}


def llmkit(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*LLMKIT, *arguments],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextlib.contextmanager
def demo(*arguments: str, folder: Path, **variables: str) -> Iterator[str]:
    """Run the demo until the block ends; yield its address."""
    command = [*LLMKIT, "demo", "--no-browser", "--port", "0", *arguments]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        try:
            assert first.startswith("Chat"), process.communicate(timeout=10)
            yield first.split()[1].removesuffix("/llm/")
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
        assert "Traceback" not in errors


def test_without_a_key_the_emulator_answers(tmp_path: Path) -> None:
    """A question gets a whole text, once, and `llmkit usage` shows its row with tokens and cost."""
    with demo(folder=tmp_path) as url:
        assert "<title>" in httpx.get(f"{url}/llm/").text
        with open_page(f"{url}/llm/stream") as page:
            page.read_all()
        assert page.done
        assert page.text == ANSWER
        assert "finished" in httpx.get(url).text
    (row,) = json.loads(llmkit("usage", "--json", folder=tmp_path).stdout)
    assert (row["status"], row["user_key"], row["provider"]) == ("finished", "demo", "anthropic")
    assert row["stop_reason"] == "end"
    assert row["input_tokens"] > 0
    assert row["output_tokens"] == len(ANSWER.split())
    assert float(row["cost_usd"]) > 0
    shown = llmkit("usage", folder=tmp_path).stdout
    assert "finished" in shown
    assert "1 call, $" in shown


def test_it_answers_to_its_own_name_alone(tmp_path: Path) -> None:
    """A page that points its own name at this address neither spends the key nor reads the books."""
    with demo(folder=tmp_path) as url:
        for path in ("/", "/llm/", "/llm/llmkit.js"):
            for host, status in (("evil.example:8000", 421), ("", 421), ("localhost:8000", 200)):
                assert httpx.get(url + path, headers={"host": host}).status_code == status
        body = {"messages": [{"role": "user", "content": "Say hi"}]}
        headers = {"host": "evil.example", "origin": "http://evil.example"}
        assert httpx.post(f"{url}/llm/complete", json=body, headers=headers).status_code == 421
    assert "there is no database" in llmkit("usage", folder=tmp_path).stderr


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
def test_a_named_model_is_called(wire: str, tmp_path: Path) -> None:
    """`--model`, `--base-url` and `--api-key-env` say what is called, where, and with which key."""
    with Emulator(behaviour=Behaviour(tokens=5, delay=0)) as emulator:
        base_url = emulator.base_url if wire == "anthropic" else emulator.openai_base_url
        named = ("--model", f"{wire}:some-model", "--base-url", base_url)
        with (
            demo(*named, "--api-key-env", "MY_KEY", folder=tmp_path, MY_KEY="test-key") as url,
            open_page(f"{url}/llm/stream") as page,
        ):
            page.read_all()
        (request,) = emulator.requests
    assert page.done
    assert request.body is not None
    assert request.body["model"] == "some-model"
    (row,) = json.loads(llmkit("usage", "--json", folder=tmp_path).stdout)
    assert (row["status"], row["model"]) == ("finished", "some-model")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "antropic:x"), "anthropic"),
        (("--model", "anthropic:x"), "ANTHROPIC_API_KEY"),
        (("--base-url", "http://127.0.0.1:9"), "--base-url needs --model"),
        (("--api-key-env", "NO_SUCH", "--model", "openai:x"), "NO_SUCH, which is not set"),
        (("--port", "70000"), "70000 is not a port"),
        (("--database", "mysql://localhost/x"), "mysql"),
        (("--database", "sqlite:////no/such/folder/x.db"), "/no/such/folder"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    """A wrong option is one clear sentence with the remedy, and no traceback."""
    done = llmkit("demo", "--no-browser", "--port", "0", *arguments, folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_in_use(tmp_path: Path) -> None:
    """The message names the port and the next one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = llmkit("demo", "--no-browser", "--port", str(port), folder=tmp_path)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: address already in use" in done.stderr
    assert f"--port {port + 1}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_usage_without_a_database(tmp_path: Path) -> None:
    """Where nothing names one and there has been no demo, it is said how to name it."""
    done = llmkit("usage", folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"there is no database {tmp_path / 'llmkit-demo.db'}" in done.stderr
    assert "--database" in done.stderr
    assert list(tmp_path.iterdir()) == []
