"""`python -m support.django_testcases`: test cases of a Django project whose tests run on a real database, by Django's own runner.

It ends with 0 if they pass.
"""

# ruff: noqa: E402  # Django is set up before its models are imported
from __future__ import annotations

import gc
import os
import sys
import threading
import unittest
import warnings
from typing import ClassVar

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "support.django_project.settings")

import django

django.setup()

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase
from django.test.runner import DiscoverRunner

from llmkit import Amount, BudgetExceeded, BudgetUnavailable, Caller, Tool
from llmkit.relay.pull import PullRelay
from llmkit.testing import Behaviour, Emulator
from llmkit_django import aget_client, get_client, get_kit
from llmkit_django.conf import current
from llmkit_django.models import BudgetAccount, BudgetHold, UsageRecord
from support.kits import settings as llmkit_settings


def plan(_: Caller) -> int:
    """Say how many calls a day there are, after a look into the project's own tables."""
    assert not get_user_model().objects.exists()
    return 2


CONNECTIONS: list[tuple[int, object]] = []
USES = Behaviour(calls=({"name": "users"},), delay=0)


def users() -> int:
    """Count the project's users."""
    found: int = get_user_model().objects.count()
    CONNECTIONS.append((threading.get_ident(), connection.connection))
    return found


async def ausers() -> int:
    """Do the same."""
    found: int = await get_user_model().objects.acount()
    return found


def is_there(*_: object) -> bool:
    """Approve of it if there is somebody."""
    there: bool = get_user_model().objects.exists()
    return there


def counted() -> list[str]:
    """Return what the tools have given, as the model has read it."""
    given = []
    for request in EMULATOR.requests:
        content = request.body["messages"][-1]["content"]
        given += [part["content"] for part in content if isinstance(part, dict)]
    return given


def _open_elsewhere() -> list[object]:
    """Return the connections that a tool has opened in a thread of llmkit's and left open."""
    opened = [one for thread, one in CONNECTIONS if thread != threading.main_thread().ident]
    left = []
    for one in opened:
        try:
            one.cursor()  # type: ignore[attr-defined]
            left.append(one)
        except Exception as error:
            assert "closed" in str(error) or "thread" in str(error), error
    return left


class Calls(unittest.TestCase):
    """What both kinds of test case do."""

    emulator: ClassVar[Emulator]

    def setUp(self) -> None:
        """Point the project at the emulator, and see that no other test left a row."""
        config = llmkit_settings(EMULATOR)
        del config["ledger"]
        config["models"]["twice"] = config["models"]["default"]
        config["budgets"] = [
            {"scope": "user", "per": "ever", "requests": plan, "models": ["twice"]}
        ]
        # Which no test asks, for it rolls nothing back.
        config["redis"], config["partition"] = "redis://nowhere.invalid", "tenant"
        self.enterContext(self.settings(LLMKIT=config))  # type: ignore[attr-defined]
        EMULATOR.reset()
        CONNECTIONS.clear()
        assert UsageRecord.objects.count() == 0
        assert BudgetAccount.objects.count() == BudgetHold.objects.count() == 0

    def statuses(self) -> list[str]:
        """Return those of all rows."""
        current().kit.ledger.flush(30)  # type: ignore[union-attr]
        return list(UsageRecord.objects.order_by("id").values_list("status", flat=True))

    def test_a_call(self) -> None:
        """Its row is there at once."""
        get_client().complete("Say hi")
        assert self.statuses() == ["finished"]

    async def test_a_call_of_async_code(self) -> None:
        """The same in the event loop."""
        await aget_client().complete("Say hi")
        assert await sync_to_async(self.statuses)() == ["finished"]

    def test_a_budget(self) -> None:
        """It is what the test has used, and nothing more."""
        for _ in range(2):
            get_client().complete("Say hi", user=7, model="twice")
        with pytest.raises(BudgetExceeded):
            get_client().complete("Say hi", user=7, model="twice")
        assert self.statuses() == ["finished", "finished", "refused"]
        (left,) = get_kit().budgets.left(7)
        assert (left.used, left.held, left.left) == (2, 0, 0)

    async def test_a_budget_of_async_code(self) -> None:
        """The same in the event loop."""
        budgets = get_kit().budgets
        hold = await budgets.ahold(7, Amount(), alias="twice")
        await aget_client().complete("Say hi", user=7, model="twice")
        with pytest.raises(BudgetExceeded):
            await aget_client().complete("Say hi", user=7, model="twice")
        await budgets.arelease(hold)
        (left,) = await budgets.aleft(7)
        assert (left.used, left.held) == (1, 0)
        assert await sync_to_async(self.statuses)() == ["finished", "refused"]

    def test_a_tool(self) -> None:
        """It sees the project's tables as the test has them, however it is called, and leaves no connection open."""
        get_user_model().objects.create(username="somebody")
        for name in ("run", "stream", "relay"):
            EMULATOR.script(USES)
            if name == "run":
                get_client().run("Say hi", tools=[users], approve=is_there)
            else:
                manager = get_client().run_stream("Say hi", tools=[users], approve=is_there)
                if name == "stream":
                    with manager as stream:
                        list(stream)
                else:
                    said = b"".join(PullRelay(manager, heartbeat=60).open())
                    assert b"[DONE]" in said
        assert counted() == ["1"] * 3
        assert self.statuses() == ["finished"] * 6
        assert _open_elsewhere() == []

    async def test_a_tool_of_async_code(self) -> None:
        """The same in the event loop, for tools of both kinds."""
        await get_user_model().objects.acreate(username="somebody")
        for tool in (users, ausers):
            EMULATOR.script(USES)
            await aget_client().run("Say hi", tools=[Tool(tool, name="users")], approve=is_there)
        assert counted() == ["1"] * 2
        assert await sync_to_async(self.statuses)() == ["finished"] * 4
        assert _open_elsewhere() == []

    def test_inside_a_transaction_of_the_tests(self) -> None:
        """Whatever the code under test begins."""
        with transaction.atomic():
            get_client().complete("Say hi")
        assert self.statuses() == ["finished"]

    def test_a_stream_that_is_dropped(self) -> None:
        """Its row is closed with the next one that is written."""
        EMULATOR.script(Behaviour(tokens=9, delay=0, hold_at=2))
        stream = get_client().stream("Say hi").open()
        stream.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del stream
            gc.collect()
        get_client().complete("Say hi")
        assert self.statuses() == ["cancelled", "finished"]


class RolledBack(Calls, TestCase):
    """In a transaction that Django rolls back."""

    def test_a_budget_inside_a_transaction(self) -> None:
        """All is in the test's transaction anyway."""
        with transaction.atomic():
            get_client().complete("Say hi", model="twice")
        assert self.statuses() == ["finished"]


class Flushed(Calls, TransactionTestCase):
    """Without one: the tables are emptied afterwards."""

    def test_a_budget_inside_a_transaction(self) -> None:
        """On SQLite nobody can write but who is in it, so that the call is refused, with what to do; a server serves both."""
        if connection.vendor == "sqlite":
            with (
                transaction.atomic(),
                pytest.raises(BudgetUnavailable, match=r"Make it outside of atomic\(\)"),
            ):
                get_client().complete("Say hi", model="twice")
            assert self.statuses() == ["refused"]
        else:
            with transaction.atomic():
                get_client().complete("Say hi", model="twice")
            assert self.statuses() == ["finished"]
        assert BudgetHold.objects.count() == 0


if __name__ == "__main__":
    with Emulator(behaviour=Behaviour(tokens=2, delay=0)) as EMULATOR:
        loader = unittest.defaultTestLoader
        runner = DiscoverRunner(verbosity=1, interactive=False)
        runner.setup_test_environment()
        databases = runner.setup_databases()
        suite = unittest.TestSuite(
            loader.loadTestsFromTestCase(case) for case in (RolledBack, Flushed)
        )
        result = unittest.TextTestRunner(verbosity=2).run(suite)
        runner.teardown_databases(databases)
        runner.teardown_test_environment()
    sys.exit(0 if result.wasSuccessful() and result.testsRun == 18 else 1)
