"""The example projects: each starts by its one command, answers, and passes its own tests."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

EXAMPLES = Path(__file__).parents[1] / "example_projects"
TESTS = {
    "django_helpdesk": [sys.executable, "manage.py", "test", "--noinput"],
    "flask_notes": [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", "."],
    "fastapi_shop": [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", "."],
}


def environ(folder: Path) -> dict[str, str]:
    """Make an environment without a key, and with a database of its own."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ("ANTHROPIC_API_KEY", "DJANGO_SETTINGS_MODULE", "PYTHONSAFEPATH")
    }
    database = {
        "DATABASE_URL": f"sqlite:///{folder}/a.db",
        "DATABASE_FILE": f"{folder}/a.db",
    }
    return {**clean, **database}


def free_port() -> int:
    """Find a port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def get(url: str) -> httpx.Response:
    """Get a page, once the server listens."""
    until = time.monotonic() + 60
    while True:
        try:
            return httpx.get(url, follow_redirects=True, timeout=60)
        except httpx.ConnectError:
            assert time.monotonic() < until
            time.sleep(0.05)  # another process, which does not say when it listens


@pytest.mark.parametrize("name", TESTS)
def test_its_own_tests(name: str, tmp_path: Path) -> None:
    """They pass."""
    command = [*TESTS[name], *([] if name.startswith("django") else ["-p", "no:cacheprovider"])]
    done = subprocess.run(
        command,
        cwd=EXAMPLES / name,
        env=environ(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", TESTS)
def test_its_readme(name: str) -> None:
    """It has the one command, and each file that it names as llmkit's is there and says so."""
    readme = (EXAMPLES / name / "README.md").read_text()
    assert f"python example_projects/{name}/run.py" in readme
    files = re.findall(r"`([\w/]+\.(?:py|js|html))`", readme.rpartition("\n\n")[2])
    assert len(files) >= 2
    for file in files:
        assert "added for llmkit" in (EXAMPLES / name / file).read_text().lower()


@pytest.mark.parametrize("name", TESTS)
def test_one_command_runs_it(name: str, tmp_path: Path) -> None:
    """It says where it is, and is there; llmkit's client is served beside its own pages."""
    port = free_port()
    command = [sys.executable, EXAMPLES / name / "run.py", str(port)]
    with subprocess.Popen(
        command, env=environ(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = f"http://127.0.0.1:{port}"
            assert url in process.stdout.readline()
            answer = get(url)
            assert answer.status_code == 200
            assert "<h1>" in answer.text
            script = get(f"{url}/llm/llmkit.js")
            assert script.headers["content-type"].startswith("text/javascript")
        finally:
            process.terminate()
            process.wait(60)
