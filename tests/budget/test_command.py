"""`llmkit budgets`, `flask llmkit budgets` and `manage.py llmkit_budgets`: what budgets have left."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from django.core.management import CommandError, call_command
from django.test import Client
from flask import Flask

from llmkit import Caller
from llmkit.cli import main
from llmkit.testing import Behaviour, Emulator
from llmkit_flask import LLMKit
from support.browser import SAY_HI
from support.kits import make_kit, settings
from support.rows import database

HELLO = Behaviour(tokens=3, delay=0)
SMALL = {"defaults": {"max_tokens": 50}}


def limit_of(caller: Caller) -> int:
    """Return a limit that only a function knows."""
    return 1000 if caller.user == "7" else 10


BUDGETS: list[dict[str, Any]] = [
    {"scope": "user", "per": "ever", "requests": 5, "tokens": limit_of},
    {"scope": "all", "per": "ever", "usd": 20, "models": ["default"]},
    {"scope": "tag:feature", "per": "ever", "requests": 9},
]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Start a provider."""
    with Emulator(behaviour=HELLO) as emulator:
        yield emulator


@pytest.fixture
def used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a database with some calls, of an app whose settings a command can find."""
    with Emulator(behaviour=HELLO) as emulator:
        ledger = {"database": database(tmp_path)}
        config = settings(emulator, **SMALL, budgets=BUDGETS, ledger=ledger)
        monkeypatch.setitem(sys.modules, "budgeted_app", SimpleNamespace(LLMKIT=config))
        with closing(make_kit(emulator, **SMALL, budgets=BUDGETS, ledger=ledger)) as kit:
            kit.client.complete("Say hi", user=7)
            kit.client.complete("Say hi", user=Caller(user=7, tenant="a/b"))
            kit.client.complete("Say hi", user=7, tags={"feature": "chat=x"})
    return database(tmp_path)


def shown(url: str, *more: str) -> str:
    """Run the command."""
    done = CliRunner().invoke(main, ["budgets", "--database", url, *more])
    assert done.exit_code == 0, done.output
    return done.output


def found(url: str, *more: str) -> list[dict[str, Any]]:
    """Run it, and read what it prints for programs."""
    lines: list[dict[str, Any]] = json.loads(shown(url, *more, "--json"))
    return lines


def test_all_that_is_used(used: str) -> None:
    """Limits are shown as far as they are numbers; what is not limited is not of interest."""
    lines = found(used, "--settings", "budgeted_app.LLMKIT")
    said = {
        (line["scope"], line["tenant"], line["name"], line["unit"]): (
            line["used"],
            line["limit"],
            line["left"],
        )
        for line in lines
    }
    assert said.pop(("user", None, "7", "requests")) == (2, 5, 3)
    assert said.pop(("user", "a/b", "7", "requests")) == (1, 5, 4)
    assert said.pop(("tag:feature", None, "chat=x", "requests")) == (1, 9, 8)
    tokens = said.pop(("user", None, "7", "tokens"))
    assert tokens[0] > 0
    assert tokens[1:] == (None, None)
    said.pop(("user", "a/b", "7", "tokens"))
    (whole,) = (line for line in lines if line["scope"] == "all")
    assert (whole["limit"], whole["models"], whole["resets"]) == (
        "20.000000000",
        ["default"],
        None,
    )
    table = shown(used, "--settings", "budgeted_app.LLMKIT")
    assert "user per ever" in table
    assert "a/b/7" in table
    assert "all per ever (default)" in table
    assert "$20.000000" in table
    assert "by a function" in table
    assert "not in the settings" not in table


def test_without_the_settings(used: str) -> None:
    """The names of the accounts say whose they are, but not how much there is."""
    lines = found(used)
    assert {(line["scope"], line["per"], line["name"]) for line in lines} >= {
        ("user", "ever", "7"),
        ("all", "ever", ""),
        ("tag:feature", "ever", "chat=x"),
    }
    assert {line["limit"] for line in lines} == {None}
    assert {line["limit_is"] for line in lines} == {"unknown"}
    done = CliRunner().invoke(main, ["budgets", "--database", used, "--user", "7"])
    assert done.exit_code == 2
    assert "name them with --settings" in done.output


def test_what_one_user_has_left(used: str) -> None:
    """All budgets that count their calls, whose functions are asked; also where nothing is used yet."""
    more = ("--settings", "budgeted_app.LLMKIT", "--user", "7")
    lines = {(line["scope"], line["unit"]): line for line in found(used, *more)}
    assert lines["user", "requests"]["left"] == 3
    assert lines["user", "tokens"]["limit"] == 1000
    assert lines["all", "usd"]["name"] is None
    nobody = {
        (line["scope"], line["unit"]): line for line in found(used, *more[:2], "--user", "nobody")
    }
    assert nobody["user", "tokens"]["left"] == 10
    of_tenant = {
        (line["scope"], line["unit"]): line for line in found(used, *more, "--tenant", "a/b")
    }
    assert of_tenant["user", "requests"]["used"] == 1


def test_where_nothing_is_used(tmp_path: Path) -> None:
    """It is said, and no database is made."""
    url = database(tmp_path)
    assert f"There is no database {tmp_path}" in shown(url)
    assert list(tmp_path.iterdir()) == []


def test_in_flask(emulator: Emulator, tmp_path: Path) -> None:
    """With the app's own settings."""
    app = Flask(__name__)
    ledger = {"database": database(tmp_path)}
    app.config["LLMKIT"] = settings(emulator, **SMALL, ledger=ledger, budgets=BUDGETS)
    LLMKit(app, get_user=lambda request: "7")
    assert app.test_client().post("/llm/complete", json=SAY_HI).status_code == 200
    runner = app.test_cli_runner()
    lines = json.loads(runner.invoke(args=["llmkit", "budgets", "--user", "7", "--json"]).output)
    assert {line["unit"]: line["used"] for line in lines if line["scope"] == "user"}[
        "requests"
    ] == 1
    assert "user per ever" in runner.invoke(args=["llmkit", "budgets"]).output


@pytest.mark.django_db
def test_in_django(settings: Any, emulator: Emulator, client: Client) -> None:
    """With the project's own settings, in its database."""
    from support.kits import settings as llmkit_settings

    config = llmkit_settings(emulator, **SMALL, budgets=BUDGETS)
    del config["ledger"]
    settings.LLMKIT = config
    answer = client.post(
        "/llm/complete", SAY_HI, content_type="application/json", headers={"x-user": "7"}
    )
    assert answer.status_code == 200
    out = io.StringIO()
    call_command("llmkit_budgets", "--user", "7", "--json", stdout=out)
    lines = json.loads(out.getvalue())
    assert {line["unit"]: line["used"] for line in lines if line["scope"] == "user"}[
        "requests"
    ] == 1
    out = io.StringIO()
    call_command("llmkit_budgets", stdout=out)
    assert "user per ever" in out.getvalue()
    settings.LLMKIT = {**config, "budgets": BUDGETS[1:]}
    out = io.StringIO()
    call_command("llmkit_budgets", stdout=out)
    assert "not in the settings" in out.getvalue()
    settings.LLMKIT = {**config, "budgets": []}
    with pytest.raises(CommandError, match="the app has no budgets$"):
        call_command("llmkit_budgets", "--user", "7")


def test_the_database_of_the_settings(
    used: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is where the settings say; another one that is named comes first; with settings that leave it open none is guessed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMKIT_DATABASE", raising=False)

    def budgets(*more: str) -> Any:
        command = ["budgets", "--settings", "budgeted_app.LLMKIT", "--json", *more]
        return CliRunner().invoke(main, command)

    assert len(json.loads(budgets().output)) > 1
    assert json.loads(budgets("--database", f"sqlite:///{tmp_path}/other.db").output) == []
    config = {**sys.modules["budgeted_app"].LLMKIT, "ledger": {}}
    monkeypatch.setitem(sys.modules, "budgeted_app", SimpleNamespace(LLMKIT=config))
    assert "does not say where the ledger's database is" in budgets().output
    monkeypatch.setenv("LLMKIT_DATABASE", used)
    assert len(json.loads(budgets().output)) > 1
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.db"]
