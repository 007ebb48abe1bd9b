"""The ledger across processes: forks, kills, and what is not installed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from support.forks import needs_fork
from support.ledger import read, statuses

ROOT = Path(__file__).parents[2]

_HEAD = """
import os, signal, sys
sys.path[:0] = [{root!r}, {tests!r}]
from llmkit.ledger import open_ledger
from support.forks import needs_fork
from support.ledger import closing, opening
writer = open_ledger(sys.argv[1], worker=lambda: f"pid-{{os.getpid()}}")
"""


def run(script: str, *args: str) -> subprocess.CompletedProcess[str]:
    head = _HEAD.format(root=str(ROOT), tests=str(ROOT / "tests"))
    return subprocess.run(  # our own script
        [sys.executable, "-W", "error", "-c", head + script, *args],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@needs_fork
def test_a_fork_gets_a_writer_of_its_own(database: str) -> None:
    """A child made after first use writes by its own thread and connection; the parent goes on.

    That the parent does not close its writer does not keep it from ending.
    """
    done = run(
        """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forks with threads
writer.begin(opening("parent-1"))
if not (pid := os.fork()):
    writer.record(opening("child"), closing("child"))
    writer.close()
    sys.exit(0)  # in full, with the garbage collector
assert os.waitpid(pid, 0)[1] == 0
writer.finish(closing("parent-1"))
writer.record(opening("parent-2"), closing("parent-2"))
print(os.getpid(), pid)
""",
        database,
    )
    assert done.stderr == ""
    parent, child = done.stdout.split()
    assert [(row["call_id"], row["status"], row["worker"]) for row in read(database)] == [
        ("parent-1", "finished", f"pid-{parent}"),
        ("child", "finished", f"pid-{child}"),
        ("parent-2", "finished", f"pid-{parent}"),
    ]


def test_a_killed_worker_loses_no_row(sqlite: str) -> None:
    """Rows that begin returned for are there after kill -9, started; finished ones are finished."""
    done = run(
        """
writer.record(opening("done"), closing("done"))
writer.begin(opening("open"))
os.kill(os.getpid(), signal.SIGKILL)
""",
        sqlite,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert statuses(sqlite) == {"done": "finished", "open": "started"}


def python(script: str) -> str:
    done = subprocess.run(  # our own script
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{script}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout.strip()


def test_rows_and_writer_load_no_sql() -> None:
    """Whoever only imports the writer pays for no SQLAlchemy, price data or asyncio."""
    assert (
        python("""
import llmkit.ledger, llmkit.ledger.row, llmkit.ledger.writer, llmkit.policy.pricing
print(sorted({"sqlalchemy", "genai_prices", "asyncio", "pydantic"} & set(sys.modules)))
""")
        == "[]"
    )


def test_a_missing_sqlalchemy_names_the_extra() -> None:
    """Without SQLAlchemy the error says what to install."""
    assert (
        python("""
sys.modules["sqlalchemy"] = None
import llmkit.ledger
try:
    llmkit.ledger.open_ledger
except llmkit.errors.MissingExtra as error:
    print(error)
""")
        == "SQLAlchemy is not installed. Run: pip install 'llmkit[sql]'"
    )


def test_a_missing_driver_names_the_extra() -> None:
    """Without psycopg a PostgreSQL URL says what to install."""
    assert (
        python("""
sys.modules["psycopg"] = None
import llmkit.ledger
try:
    llmkit.ledger.open_ledger("postgresql://u:p@h/d", worker="w")
except llmkit.errors.MissingExtra as error:
    print(error)
""")
        == "psycopg is not installed. Run: pip install 'llmkit[sql]'"
    )
