"""System checks for the project's settings, each with an id, a reason and a hint."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import django
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004  # Django's names
from django.db import connections, router
from django.urls import get_script_prefix, resolve, reverse
from django.utils.module_loading import import_string

from llmkit.budget.rules import Rules
from llmkit.config import Config
from llmkit.config.functions import REDACT, WARNING, function_at
from llmkit.config.tools import tools_at
from llmkit.errors import ConfigError
from llmkit.ledger.outbox.open import doubts, outbox_folder
from llmkit.ledger.own import check_own
from llmkit.policy.readiness import missing
from llmkit.policy.routes import Routes
from llmkit.relay.rules import PATHS, route_name
from llmkit.transport.connections import maker_of
from llmkit_django.conf import Conf
from llmkit_django.models import UsageRecord
from llmkit_django.store import database_file
from llmkit_django.transactions import is_testing

_AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
_GZIP = "django.middleware.gzip.GZipMiddleware"
# From this version on Django's GZipMiddleware flushes each part of a stream.
_FLUSHES = (6, 1, 3)


@register("llmkit")
def check_settings(**_: Any) -> list[CheckMessage]:
    """Check `settings.LLMKIT` for everything that can be known to be wrong before the first call."""
    try:
        conf = Conf(getattr(settings, "LLMKIT", None))
    except ConfigError as error:
        return [Error(error.message, hint=error.hint, id="llmkit.E001")]
    return [
        *_models(conf.config),
        *_functions(conf.config),
        *_needs(conf.config),
        *_books(conf.config),
        *_login(conf),
        *_gzip(),
        *_worker(conf.config),
    ]


@register("llmkit", Tags.database)
def check_database(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """Check that the table exists. Runs only with database checks, because it queries a database."""
    alias = router.db_for_write(UsageRecord)
    if databases is None or alias not in databases:
        return []
    if UsageRecord._meta.db_table in connections[alias].introspection.table_names():  # noqa: SLF001  # documented
        return []
    return [
        Warning(
            f"the database {alias!r} has no table {UsageRecord._meta.db_table}: no call can be made",  # noqa: SLF001
            hint="Run manage.py migrate.",
            id="llmkit.W006",
        )
    ]


@register("llmkit", Tags.urls)
def check_urls(**_: Any) -> list[CheckMessage]:
    """Check that no view above llmkit's line answers its URLs. What else is wrong with the URLs is for Django to say."""
    return list(_taken())


def _taken() -> Iterator[CheckMessage]:
    """Find the first of llmkit's URLs that another view answers; a project may do with its URLs whatever it likes."""
    for path in PATHS:
        try:
            url = reverse(f"llmkit:{route_name(path)}")
            match = resolve("/" + url.removeprefix(get_script_prefix()).lstrip("/"))
            is_ours, view = "llmkit" in match.app_names, match._func_path  # noqa: SLF001  # as Django's debug page names it
        except Exception:  # noqa: BLE001, S112  # it is not included, or its prefix has parameters, or anything
            continue
        if not is_ours:
            yield Warning(
                f"{url} is answered by {view}",
                hint="Move llmkit's line above it in the URLconf: the first line that matches answers.",
                id="llmkit.W008",
            )
            return


def _models(config: Config) -> Iterator[CheckMessage]:
    try:
        routes = Routes(config, ())
    except ConfigError as error:
        yield Error(error.message, hint=error.hint, id="llmkit.E002")
        return
    for lack in missing(config, routes):
        yield Warning(lack.message, hint=lack.hint, id="llmkit.W001")


def _functions(config: Config) -> Iterator[CheckMessage]:
    """Find functions and tools that are not there: the first call would be refused for them."""
    try:
        Rules(config.budgets, time_zone=config.time_zone)
        function_at(config.on_budget_warning, "on_budget_warning", WARNING)
        tools_at(config.relay.tools, "relay.tools")
        if config.ledger is not False:
            function_at(config.ledger.redact, "ledger.redact", REDACT)
    except ConfigError as error:
        yield Error(error.message, hint=error.hint, id="llmkit.E004")
    if config.on_budget_warning is not None and all(
        budget.warn_at is None for budget in config.budgets
    ):
        yield Warning(
            "on_budget_warning is set, but no budget has warn_at: it is never called",
            hint='Add "warn_at": 0.8 to a budget, to be told when so much of it is used.',
            id="llmkit.W010",
        )


def _needs(config: Config) -> Iterator[CheckMessage]:
    """Find what is not installed, and a Redis that cannot be reached by its URL. Nothing connects."""
    try:
        if config.redis is not None:
            from llmkit.redis.room import RedisRoom  # noqa: PLC0415  # optional

            RedisRoom(config.redis)
        if config.transport != "auto":
            maker_of(config.transport)
    except ConfigError as error:
        yield Error(error.message, hint=error.hint, id="llmkit.E005")


def _books(config: Config) -> Iterator[CheckMessage]:
    if config.ledger is False:
        yield Warning(
            "calls are not recorded, so nobody will know what they cost",
            hint='Leave LLMKIT["ledger"] out to record them in the project\'s database.',
            id="llmkit.W002",
        )
        return
    if config.ledger.database is not None:
        try:
            found = list(check_own(config))
        except ConfigError as error:
            yield Error(error.message, hint=error.hint, id="llmkit.E003")
            return
        yield from _outbox(found)
        return
    connection = connections[router.db_for_write(UsageRecord)]
    if (
        connection.vendor == "sqlite"
        and connection.is_in_memory_db()
        and not is_testing()  # a test's database
    ):
        yield Warning(
            "the ledger is in an in-memory database: each worker has its own, and it is lost when the worker ends",
            hint="Use a database file or a database server for the app llmkit.",
            id="llmkit.W003",
        )
        return
    if config.ledger.connection == "own":
        file = database_file(connection)
        yield from _outbox(doubts(outbox_folder(config.ledger, file), file))


def _outbox(found: Iterable[ConfigError]) -> Iterator[CheckMessage]:
    for doubt in found:
        yield Warning(doubt.message, hint=doubt.hint, id="llmkit.W009")


def _login(conf: Conf) -> Iterator[CheckMessage]:
    if conf.get_user is None and not conf.config.relay.anonymous and not _has(_AUTHENTICATION):
        yield Warning(
            "AuthenticationMiddleware is missing: every call from a browser will get a 401",
            hint='Add it to MIDDLEWARE, or set LLMKIT["get_user"] to say who calls.',
            id="llmkit.W004",
        )


def _gzip() -> Iterator[CheckMessage]:
    if _has(_GZIP) and django.VERSION < _FLUSHES:
        yield Warning(
            "in this version of Django, GZipMiddleware holds back your own streaming responses",
            hint="llmkit's own responses are not affected. For others, set the header "
            "Content-Encoding: identity, or silence this check.",
            id="llmkit.W005",
        )


def _worker(config: Config) -> Iterator[CheckMessage]:
    """Look at how gunicorn is told to run, where the environment says it."""
    words = shlex.split(os.environ.get("GUNICORN_CMD_ARGS", "").replace("=", " "))
    options = dict(pairwise(words))
    kind = options.get("--worker-class") or options.get("-k") or "sync"
    threads = options.get("--threads", "1")
    given = options.get("--timeout") or options.get("-t") or "30"
    timeout = float(given) if given.isdigit() else 0
    if words and kind == "sync" and threads == "1" and 0 < timeout < config.timeouts.total:
        yield Warning(
            f"gunicorn's sync worker answers one stream at a time, and is killed when one takes longer than {timeout:g} s",
            hint="Use --worker-class gthread --threads 16, gevent, or an ASGI server.",
            id="llmkit.W007",
        )


def _has(path: str) -> bool:
    wanted = import_string(path)
    for name in settings.MIDDLEWARE:
        middleware = import_string(name)
        if isinstance(middleware, type) and issubclass(middleware, wanted):
            return True
    return False
