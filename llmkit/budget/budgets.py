"""The budgets of a process: what its calls ask of them, and where they are kept."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from llmkit.budget.allowance import Allowance
from llmkit.budget.bell import Bell
from llmkit.budget.bounds import OfRequest
from llmkit.budget.rules import Rules
from llmkit.budget.warnings import Warner
from llmkit.errors import BudgetUnavailable, ConfigError

if TYPE_CHECKING:
    from llmkit.budget.base import Books, BudgetStore, KeptBudgets
    from llmkit.budget.redis import RedisBudgets
    from llmkit.budget.settler import Settler
    from llmkit.call import Call
    from llmkit.concurrency.host_threads import Host
    from llmkit.config import Config
    from llmkit.policy.budgets.decide import Claim
    from llmkit.policy.plan import Route
    from llmkit.policy.pricing import Prices
    from llmkit.providers.base import HTTPRequest
    from llmkit.redis.room import RedisRoom

log = logging.getLogger("llmkit.budget")

# How long is waited at the end for what is still to be charged in Redis, and for hooks, in seconds.
_SETTLED_WITHIN = 5.0


class Budgets:
    """Asks budgets for calls, and holds what decides them.

    Args:
        config: the settings.
        ledger: the ledger, which may keep them.
        prices: by which calls are billed.
        now: the date, with a time zone.
        clock: gives the time in seconds.
        host: how functions of the app's are run: those that say a limit, and the hooks.
        hooks: are called with a `BudgetWarning` when a limit comes near.

    Attributes:
        store: where they are decided.
        redis: the same, if that is not in the ledger's database; None if it is.
        settler: charges in Redis what was used.
        warner: calls the hooks; None if nobody wants to be told.
        allowance: what calls may use while their store does not answer; None if they are refused.

    Raises:
        ConfigError: nothing keeps them, or a setting cannot be used.
    """

    def __init__(
        self,
        config: Config,
        *,
        ledger: Books | None,
        prices: Prices,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        host: Host,
        hooks: Sequence[Callable[[Any], object]] = (),
        room: RedisRoom | None = None,
    ) -> None:
        self._rules = Rules(
            config.budgets, time_zone=config.time_zone, by_tenant=config.partition == "tenant"
        )
        self._prices = prices
        self._now = now
        self._host = host
        kept = self._kept = None if ledger is None else ledger.budgets
        self.redis = _in_redis(config, kept, room)
        self.settler: Settler | None = None
        store: BudgetStore | None = kept
        if self.redis is not None:
            from llmkit.budget.settler import Settler  # noqa: PLC0415

            self.settler = Settler(self.redis, on_back=self._correct)
            store = self.redis
            _correct_after_sweeps(self.redis, ledger)
            if ledger is not None:
                ledger.on_unwritten(_Unwritten(self.redis))
        if store is None:
            raise ConfigError(
                "budgets are kept in the ledger's database, and there is none that keeps them",
                hint='Set ledger.database, e.g. {"ledger": {"database": "sqlite:///llm.db"}}, or redis.',
            )
        self.store = store
        self.warner: Warner | None = None
        if self._rules.warn and hooks:
            self.warner = Warner(self._rules.warning, hooks, host=host)
            bell = kept.bell if kept is not None else self.redis.bell if self.redis else Bell()
            self.warner.listen_to(bell)
        self.allowance = Allowance.of(config, clock=clock)
        if self.allowance is not None and ledger is not None:
            ledger.allow(self.allowance)

    def claims(self, call: Call, route: Route, request: HTTPRequest) -> tuple[Claim, ...]:
        """Say what an attempt asks of budgets.

        Raises:
            ConfigError: a limit cannot be asked, or the model has no price.
            InvalidRequest: nothing limits the answer.
        """
        return self._rules.claims(
            call.caller,
            OfRequest(call, route, request, prices=self._prices, at=self._now()),
            alias=call.model,
            provider=route.provider.name,
            model=route.model,
            counted=call.trace.counted,
        )

    async def aclaims(self, call: Call, route: Route, request: HTTPRequest) -> tuple[Claim, ...]:
        """Do what `claims` does; functions of the app's run in a thread of theirs."""
        ask = partial(self.claims, call, route, request)
        if not self._rules.asks_the_app:
            return ask()
        claims: tuple[Claim, ...] = await self._host.from_async(ask)
        return claims

    def _correct(self) -> None:
        if self.redis is not None and self._kept is not None:
            _reconcile(self.redis, self._kept, time.sleep)

    def flush(self, seconds: float) -> None:
        """Wait until what was used is charged, and whoever wants to know it is told, for so long at most each."""
        if self.settler is not None:
            self.settler.flush(seconds)
        if self.warner is not None:
            self.warner.flush(seconds)

    def close(self) -> None:
        """Charge what was used, and close the connections of threads."""
        if self.settler is not None:
            self.settler.close(_SETTLED_WITHIN)
        if self.warner is not None:
            self.warner.close(_SETTLED_WITHIN)
        if self.redis is not None:
            self.redis.close()
        if self._kept is not None:
            self._kept.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        if self.redis is not None:
            await self.redis.aclose()


def _in_redis(
    config: Config, kept: KeptBudgets | None, room: RedisRoom | None = None
) -> RedisBudgets | None:
    """Make the budgets in Redis; None if the settings name none. A room that is given is closed by whoever has made it, too.

    Raises:
        ConfigError: its URL cannot be used.
    """
    if config.redis is None:
        return None
    from llmkit.budget.redis import RedisBudgets  # noqa: PLC0415  # optional
    from llmkit.redis.room import RedisRoom  # noqa: PLC0415

    lapse = config.concurrency.queue_timeout + config.timeouts.total + 60
    return RedisBudgets(
        RedisRoom(config.redis) if room is None else room,
        source=kept,
        namespace=config.namespace,
        lapse=lapse,
        is_parted=config.partition is not None,
    )


def correct_after_sweeps(config: Config, ledger: Books) -> None:
    """Have Redis corrected to the ledger each time this has looked for rows of processes that have died.

    Raises:
        ConfigError: the URL of Redis cannot be used.
    """
    redis = _in_redis(config, ledger.budgets) if config.budgets else None
    if redis is not None:
        _correct_after_sweeps(redis, ledger)


def _correct_after_sweeps(redis: RedisBudgets, ledger: Books | None) -> None:
    if ledger is not None and ledger.budgets is not None:
        ledger.after_sweep(partial(_reconcile, redis, ledger.budgets))


class _Unwritten:
    """Notes in Redis whether rows of this process wait outside of the database."""

    def __init__(self, redis: RedisBudgets) -> None:
        self._redis = redis
        self._name = os.urandom(8).hex()

    def __call__(self, waits: bool) -> bool:  # noqa: FBT001
        """Note it; say whether that was possible."""
        return _note_unwritten(self._redis, f"{self._name}-{os.getpid()}", waits=waits)


def _note_unwritten(redis: RedisBudgets, name: str, *, waits: bool) -> bool:
    """Note in Redis whether rows of this process wait outside of the database: what they charge is not to be taken back meanwhile."""
    try:
        redis.ask(redis.words.unwritten(name, waits=waits))
    except BudgetUnavailable:
        return False
    return True


def _reconcile(redis: RedisBudgets, kept: KeptBudgets, pause: Callable[[float], object]) -> None:
    from llmkit.budget.reconcile import reconcile  # noqa: PLC0415  # with Redis alone

    try:
        reconcile(redis, kept, pause)
    except BudgetUnavailable as error:
        log.warning("the budgets in Redis could not be compared with the ledger: %s", error)
