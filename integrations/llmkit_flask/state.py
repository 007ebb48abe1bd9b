"""What a Flask app has one of: its settings and its kit."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app

from llmkit import ledger
from llmkit.budget.bell import Bell
from llmkit.budget.budgets import correct_after_sweeps
from llmkit.commands.books import Books
from llmkit.commands.clicked import is_terminal
from llmkit.concurrency import sigterm
from llmkit.config import Config, Place
from llmkit.config.tools import refuse_async
from llmkit.errors import ConfigError
from llmkit.kit import Kit
from llmkit.ledger.base import Ledger
from llmkit.ledger.budgets import TableBudgets
from llmkit.ledger.host import HostLedger
from llmkit.ledger.own import check_own
from llmkit.ledger.worker import WorkerName
from llmkit.policy.pricing import Prices
from llmkit.policy.readiness import log_missing
from llmkit.policy.routes import Routes
from llmkit.tracebacks import place_of
from llmkit.zones import zone_of
from llmkit_flask.caching import host_cache
from llmkit_flask.cli import llmkit_commands
from llmkit_flask.signals import budget_warning

if TYPE_CHECKING:
    from llmkit.budget.warnings import BudgetWarning
    from llmkit.ledger.outbox.ledger import OutboxLedger

KEY = "llmkit"
log = logging.getLogger("llmkit.budget")


class State:
    """The app's llmkit. The kit is made by the first call, when the host's own database can be asked where it is.

    Attributes:
        config: the settings.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._kit: Kit | None = None
        self._lock = threading.Lock()

    @property
    def kit(self) -> Kit:
        """The app's kit. Needs an app context.

        Raises:
            ConfigError: the settings cannot be used.
        """
        with self._lock:
            if self._kit is None:
                config = self._settings()
                app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # documented
                self._kit = Kit(
                    config,
                    ledger=_host_ledger(config),
                    on_budget_warning=partial(_tell_receivers, app),
                    within=app.app_context,
                    host_cache=host_cache(app, config.namespace),
                )
            return self._kit

    def books(self) -> Books:
        """Return the ledger, for its commands. Needs an app context.

        Raises:
            ConfigError: the app does not record its calls.
        """
        return Books(
            store=ledger.open_store(self.database),
            budgets=TableBudgets(ledger.open_store(self.database)),
            config=self.config,
            sweep=self._sweep,
            prices=Prices(Routes(self.config).prices()),
            zone=zone_of(self.config.time_zone),
            is_terminal=is_terminal(),
        )

    def _sweep(self, silent: float) -> int:
        ledger = self.own_ledger()
        correct_after_sweeps(self.config, ledger)
        return ledger.sweep(silent)

    @property
    def database(self) -> str:
        """The URL of the ledger's database. Needs an app context.

        Raises:
            ConfigError: the app does not record its calls.
        """
        ledger = self._settings().ledger
        if ledger is False or ledger.database is None:
            raise ConfigError(
                "this app does not record its calls", hint='LLMKIT["ledger"] is False.'
            )
        return ledger.database

    def own_ledger(self) -> OutboxLedger:
        """Make the ledger over a connection of its own. Needs an app context.

        Raises:
            ConfigError: the app does not record its calls, or its database is in this process alone.
        """
        url = self.database
        settings = self._settings().ledger
        assert settings is not False  # noqa: S101  # there is a database
        ledger.check(url)
        settings = settings.model_copy(update={"database": url, "connection": "own"})
        return ledger.open_with_outbox(settings, worker=WorkerName())

    def _settings(self) -> Config:
        return self.config.for_host(_database(current_app))


def _host_ledger(config: Config) -> Ledger | None:
    """Make the ledger on the app's own connections, where that is asked for or nothing else reaches the database."""
    host: Any = current_app.extensions.get("sqlalchemy")
    settings = config.ledger
    if host is None or settings is False or settings.database != _database(current_app):
        return None
    from llmkit.ledger.database import is_in_memory  # noqa: PLC0415  # SQLAlchemy, which is there
    from llmkit.ledger.sql import EngineStore  # noqa: PLC0415

    if settings.connection == "own" and not is_in_memory(host.engine.url):
        return None
    bell = Bell()
    store = EngineStore(host.engine, worker=WorkerName(), bell=bell)
    return HostLedger(store, from_async=_in_thread, budgets=TableBudgets(store, bell=bell))


def _tell_receivers(app: Flask, warning: BudgetWarning) -> None:
    for receiver in budget_warning.receivers_for(app):
        try:
            receiver(app, warning=warning)
        except Exception as error:  # noqa: BLE001  # the app's own: the others are told all the same
            log.error("a receiver of budget_warning failed: %s", place_of(error, receiver))  # noqa: TRY400


async def _in_thread(work: Callable[[], None]) -> None:
    import asyncio  # noqa: PLC0415  # for those who use the async client

    await asyncio.to_thread(work)


def install(app: Flask) -> State:
    """Give the app its state and its commands, once.

    Raises:
        ConfigError: the settings are wrong, or do not say where the calls are recorded.
    """
    if KEY in app.extensions:
        state: State = app.extensions[KEY]
        return state
    place = Place('app.config["LLMKIT"]', before="LLMKit(app)")
    config = Config.of(app.config.get("LLMKIT"), place=place)
    _check_books(config, app)
    refuse_async(config.relay.tools, "relay.tools")
    log_missing(config, Routes(config))
    state = app.extensions[KEY] = State(config)
    sigterm.install()  # while this is the main thread: the kit may be made in another
    app.cli.add_command(llmkit_commands)
    return state


def _check_books(config: Config, app: Flask) -> None:
    """See that the calls can be recorded, as far as that is known before anything connects."""
    uri, settings = _uri(app), config.ledger
    if settings is False:
        return
    if settings.database is None:
        if (
            uri is not None
        ):  # Flask-SQLAlchemy, which may come later, knows in which folder a file is
            from llmkit.ledger import check_kind  # noqa: PLC0415  # needs SQLAlchemy

            check_kind(uri, own=settings.connection == "own")
        elif "sqlalchemy" not in app.extensions:
            config.for_host(None)
    elif settings.connection == "own" and settings.database != uri:
        for _ in check_own(config):  # what it finds is logged when the ledger is made
            pass


def current_state() -> State:
    """Return the state of the current app.

    Raises:
        ConfigError: llmkit is not installed in it.
    """
    try:
        state: State = current_app.extensions[KEY]
    except KeyError:
        raise ConfigError(
            "llmkit is not installed in this app",
            hint="Add it: LLMKit(app), or app.register_blueprint(llmkit_blueprint()).",
        ) from None
    return state


def _database(app: Flask) -> str | None:
    """Say where the host keeps its own data. Flask-SQLAlchemy knows: a relative SQLite path is in the instance folder."""
    host: Any = app.extensions.get("sqlalchemy")
    if host is not None:
        url: str = host.engine.url.render_as_string(hide_password=False)
        return url
    return _uri(app)


def _uri(app: Flask) -> str | None:
    uri = app.config.get("SQLALCHEMY_DATABASE_URI")
    if uri is None or isinstance(uri, str):
        return uri
    whole: str = uri.render_as_string(hide_password=False)  # a URL object of SQLAlchemy's
    return whole
