"""`python -m support.django_books`: calls made in every state that a Django project's connection can be in, outside of any test.

It prints, for each, the statuses of its rows as another connection sees them in the end, and what llmkit warned of meanwhile.
"""

# ruff: noqa: E402  # Django is set up before its models are imported
from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "support.django_project.settings")

import django
import pytest

django.setup()

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, connections, router, transaction
from django.test import Client, RequestFactory

from llmkit import Amount, BudgetUnavailable, Caller
from llmkit.testing import Behaviour, Emulator
from llmkit_django import aget_client, get_client, stream_response
from llmkit_django.conf import current
from llmkit_django.models import UsageRecord
from llmkit_django.signals import budget_warning
from support.browser import SAY_HI
from support.kits import settings as llmkit_settings
from support.waits import wait_for
from support.warned import Warnings

User = get_user_model()
ALIAS = os.environ.get("LLMKIT_TEST_ALIAS", "default")


class Router:
    """Sends llmkit's table to another database."""

    def db_for_write(self, model: Any, **_: Any) -> str | None:
        """Choose for our model alone."""
        return ALIAS if model is UsageRecord else None

    db_for_read = db_for_write

    def allow_migrate(self, db: str, app_label: str, **_: Any) -> bool | None:
        """Make our table there alone."""
        return db == ALIAS if app_label == "llmkit" else None


class RolledBack(Exception):
    """Ends a transaction without a commit."""


def call(user: Any = "7") -> None:
    """Make one call."""
    assert get_client().complete("Say hi", user=str(user)).text


def stream() -> None:
    """Relay one answer as a view does."""
    request = RequestFactory().post("/")
    response = stream_response(request, get_client().stream("Say hi", user="7"))
    body = b"".join(response)  # type: ignore[arg-type]
    response.close()
    assert b"[DONE]" in body


def plain() -> None:
    """Call outside of any transaction."""
    call()
    stream()


def in_a_transaction() -> None:
    """Call inside one that commits."""
    with transaction.atomic():
        call()
        stream()


def rolled_back() -> None:
    """Call inside one that the project rolls back: the books keep the row."""
    try:
        with transaction.atomic():
            User.objects.create(username="gone")
            call()
            stream()
            raise RolledBack
    except RolledBack:
        pass
    assert not User.objects.filter(username="gone").exists()


def after_a_read() -> None:
    """Call inside one that has read a row, and no more."""
    with transaction.atomic():
        User.objects.count()
        call()
        stream()


def with_the_users_row_locked() -> None:
    """Call for a user whose row the project holds for update."""
    user = User.objects.create(username="locked")
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        call(user.pk)


def for_a_user_who_is_not_there_yet() -> None:
    """Call for a user who was made in the open transaction."""
    with transaction.atomic():
        call(User.objects.create(username="new").pk)


async def _acall() -> None:
    reply = await aget_client().complete("Say hi", user="7")
    assert reply.text


def from_async_code() -> None:
    """Call from async code, and from async code inside a transaction of its thread."""
    asyncio.run(_acall())
    with transaction.atomic():
        User.objects.count()
        async_to_sync(_acall)()


def from_a_thread_of_async_code() -> None:
    """Call from sync code that async code runs in a thread."""

    async def main() -> None:
        await sync_to_async(in_a_transaction)()

    asyncio.run(main())


def ask_our_own_routes() -> None:
    """Post as a browser does, a plain answer and a stream."""
    browser = Client(headers={"x-user": "7"})
    for path in ("/llm/complete", "/llm/stream"):
        answer = browser.post(path, SAY_HI, content_type="application/json")
        assert answer.status_code == 200
        assert b"".join(answer)


def our_routes_in_a_transaction_of_a_middleware() -> None:
    """Ask them inside one, which is still the project's to commit: its connection is not given back."""
    with transaction.atomic():
        User.objects.create(username="kept")
        ask_our_own_routes()
        assert User.objects.filter(username="kept").exists()
    assert User.objects.filter(username="kept").exists()


def our_routes_without_autocommit() -> None:
    """Do the same where the project begins and commits by hand."""
    if connection.vendor != "postgresql":  # where our row would wait for its end
        ask_our_own_routes()
        return
    transaction.set_autocommit(False)
    User.objects.create(username="by hand")
    ask_our_own_routes()
    transaction.commit()
    transaction.set_autocommit(True)
    assert User.objects.filter(username="by hand").exists()


def budgets_by_hand_in_a_transaction() -> None:
    """Hold and settle inside one that is rolled back: it is charged, and other calls do not wait. SQLite, which is locked, is not asked."""
    budgets, caller = current().kit.budgets, Caller(user="7", tags={"feature": "by hand"})
    other = threading.Thread(target=lambda: get_client().complete("Say hi", user=caller))
    is_locked = connections[ALIAS].vendor == "sqlite" and ALIAS == "default"
    try:
        with transaction.atomic():
            User.objects.create(username="gone again")
            if is_locked:
                with pytest.raises(BudgetUnavailable, match="inside a transaction"):
                    budgets.hold(caller, Amount())
                with pytest.raises(BudgetUnavailable, match="inside a transaction"):
                    async_to_sync(budgets.ahold)(caller, Amount())
            else:
                budgets.settle(budgets.hold(caller, Amount()), Amount())
                other.start()
                other.join()
            raise RolledBack
    except RolledBack:
        pass
    if is_locked:
        budgets.settle(async_to_sync(budgets.ahold)(caller, Amount()), Amount())
        other.start()
        other.join()
    current().kit.runtime.flush(60)
    (left,) = budgets.left(caller)
    assert left.used == left.limit == 2


def a_receiver_that_asks_the_database() -> None:
    """Tell somebody of a budget, in a thread that no request ends in: the connection that this opens is closed."""
    used: list[Any] = []

    def receiver(**_: Any) -> None:
        User.objects.count()
        used.append(connections[User.objects.db])

    budget_warning.connect(receiver)
    get_client().complete("Say hi", user="7", tags={"feature": "search"})
    current().kit.runtime.flush(60)
    budget_warning.disconnect(receiver)
    (asked,) = used
    assert asked is not connections[User.objects.db]
    wait_for(lambda: asked.connection is None, wanted=True)


CASES: dict[Callable[[], None], int] = {
    plain: 2,
    in_a_transaction: 2,
    rolled_back: 2,
    after_a_read: 2,
    with_the_users_row_locked: 1,
    for_a_user_who_is_not_there_yet: 1,
    from_async_code: 2,
    from_a_thread_of_async_code: 2,
    our_routes_in_a_transaction_of_a_middleware: 2,
    our_routes_without_autocommit: 2,
    a_receiver_that_asks_the_database: 1,
    budgets_by_hand_in_a_transaction: 1,
}


def statuses(since: int, wanted: int) -> list[str]:
    """Return the statuses of the rows, once so many are final or a minute has gone."""
    until = time.monotonic() + 60
    while True:
        rows = list(UsageRecord.objects.filter(pk__gt=since).order_by("pk"))
        found = [row.status for row in rows]
        if (len(found) == wanted and "started" not in found) or time.monotonic() > until:
            return found
        time.sleep(
            0.02
        )  # the writer is another thread, and wakes nobody for a row that nobody waits for


def main() -> None:
    """Make the tables, run the cases, print what came of them."""
    for alias in settings.DATABASES:
        call_command("migrate", verbosity=0, database=alias)
    outcome = {}
    warnings = Warnings()
    logging.getLogger("llmkit").addHandler(warnings)
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        budget = {"scope": "tag:feature", "per": "ever", "requests": 2, "warn_at": 0.5}
        settings.LLMKIT = {**llmkit_settings(emulator), "ledger": {}, "budgets": [budget]}
        for case, wanted in CASES.items():
            last = UsageRecord.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
            warnings.said.clear()
            case()
            found = statuses(last, wanted)
            outcome[case.__name__] = [found, list(warnings.said)]
        current().close()
    assert router.db_for_write(UsageRecord) == ALIAS
    connections.close_all()
    for used in connections.all():
        if getattr(used, "pool", None):
            used.close_pool()
    json.dump(outcome, sys.stdout)


if __name__ == "__main__":
    main()
