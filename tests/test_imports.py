"""What `import llmkit` costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

SLOW = (
    "aiohappyeyeballs",
    "aiohttp",
    "anthropic",
    "click",
    "django",
    "fastapi",
    "flask",
    "genai_prices",
    "h11",
    "httptools",
    "httpx",
    "httpx2",
    "msgspec",
    "openai",
    "psycopg",
    "pydantic",
    "redis",
    "sqlalchemy",
    "starlette",
)


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after the statement."""
    script = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_import_llmkit_loads_no_library() -> None:
    """Web frameworks, HTTP, Redis, SQL, pydantic and price data wait until they are used."""
    assert modules_after("import llmkit") & set(SLOW) == set()


def test_import_llmkit_loads_no_event_loop() -> None:
    """Even the standard library's heavy parts wait."""
    assert modules_after("import llmkit") & {"asyncio", "ssl", "sqlite3", "http"} == set()


@pytest.mark.parametrize("statement", ["llmkit.Client", "llmkit.AsyncClient", "llmkit.Kit"])
def test_a_client_loads_no_framework(statement: str) -> None:
    """The core knows no web framework, and loads no database before a ledger is opened."""
    loaded = modules_after(f"import llmkit\n{statement}")
    assert loaded & {"click", "django", "fastapi", "flask", "sqlalchemy", "starlette"} == set()


WITHOUT_SQL = """
import sys
sys.modules["sqlalchemy"] = None
LLMKIT = {"models": {"default": "ollama:m"}, "ledger": {"database": "sqlite:///x.db"}}
"""
FLASK = """
from flask import Flask
from llmkit import ConfigError
from llmkit_flask import LLMKit

app = Flask("app")
app.config["LLMKIT"] = {"ledger": False}
LLMKit(app)
app = Flask("app")
app.config["LLMKIT"] = LLMKIT
try:
    LLMKit(app)
except ConfigError as error:
    print(error)
"""
DJANGO = """
import django
from django.conf import settings
from django.core.checks import run_checks

apps = ["django.contrib.auth", "django.contrib.contenttypes", "llmkit_django"]
databases = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "x.db"}}
settings.configure(INSTALLED_APPS=apps, DATABASES=databases, LLMKIT=LLMKIT)
django.setup()
print(*[f"{error.msg}. {error.hint}" for error in run_checks() if error.id == "llmkit.E003"])
"""


@pytest.mark.parametrize("app", [FLASK, DJANGO], ids=["flask", "django"])
def test_a_database_without_sqlalchemy(app: str) -> None:
    """An app that names one is told at its start what to install; a Flask app that records nothing needs none."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SQL + app], capture_output=True, text=True, check=True
    )
    assert done.stdout == "SQLAlchemy is not installed. Run: pip install 'llmkit[sql]'\n"
