"""`llmkit emulate` as it is typed."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

pytest.importorskip("click")

from click.testing import CliRunner, Result

from llmkit.cli.emulate import emulate

SCRIPT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal; test runners ignore it
from llmkit.cli.emulate import emulate
emulate()
"""


def run(*arguments: str) -> Result:
    """Run the command to its end."""
    return CliRunner().invoke(emulate, arguments)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_it_is_stopped(how: signal.Signals) -> None:
    """It says where it listens, answers, and ends quietly."""
    command = [sys.executable, "-u", "-c", SCRIPT, "--port", "0", "--tokens", "3", "--delay", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        anthropic, openai = process.stdout.readline().split(), process.stdout.readline().split()
        assert anthropic[0] == "Anthropic"
        assert openai == ["OpenAI", f"{anthropic[1]}/v1"]
        with urllib.request.urlopen(f"{openai[1]}/models", timeout=5) as answer:
            assert answer.status == 200
        others = [process.stdout.readline().split() for _ in range(2)]
        assert others == [["Gemini", anthropic[1]], ["Ollama", anthropic[1]]]
        process.stdout.readline()
        assert "Ctrl-C" in process.stdout.readline()
        process.send_signal(how)
        output, errors = process.communicate(timeout=10)
    assert (output, errors, process.returncode) == ("Stopped.\n", "", 0)


def test_port_in_use() -> None:
    """A port in use is one line with the remedy."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--port", str(port))
    assert done.exit_code == 1
    assert done.output == (
        f"Error: cannot listen on 127.0.0.1:{port}: address already in use. "
        f"Choose another port: llmkit emulate --port {port + 1}.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", "99999"), "99999 is not a port"),
        (("--tokens", "-1"), "tokens must be a whole number from 0 up"),
        (("--host", "192.0.2.1"), "cannot listen on 192.0.2.1:8200"),
    ],
)
def test_wrong_options(arguments: tuple[str, ...], words: str) -> None:
    """A wrong option is one line that names it."""
    done = run(*arguments)
    assert done.exit_code == 1
    assert words in done.output
    assert len(done.output.splitlines()) == 1
