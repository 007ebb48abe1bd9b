"""The Kit: the one thing of llmkit that an app holds, with its clients."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, Unpack

from llmkit.config import Config
from llmkit.errors import ConfigError
from llmkit.runtime import Runtime, RuntimeOptions
from llmkit.tracebacks import forgetful

if TYPE_CHECKING:
    from llmkit._async.client import AsyncClient
    from llmkit._sync.client import Client
    from llmkit.budget.base import BudgetStore
    from llmkit.budget.manager import BudgetManager
    from llmkit.cache.response_cache import ResponseCache
    from llmkit.commands.models import Catalogue
    from llmkit.concurrency.limit import ConcurrencyLimit
    from llmkit.ledger.base import Ledger
    from llmkit.ledger.sums import Sum
    from llmkit.ledger.tracker import CostTracker


class Kit:
    """Holds what an app needs only once: settings, connections and the ledger. `client` and `async_client` share them.

    Connections are opened on first use, and again after a fork. Each event loop has its own; all threads share theirs.

    Args:
        config: the settings, as a mapping or a `Config`.
        providers: providers of your own, beside those of the settings.
        middleware: called around every call; the first one is the outermost.
        ledger: a ledger to use instead of the one in the settings. The kit closes it.
        http_client, async_http_client: httpx or httpx2 clients to use. You close them yourself. Their cookies are not sent.
        from_async: runs a function of the app's, such as the limit of a budget, for async code; by default in any thread.
        on_budget_warning: called with a `BudgetWarning` when a budget with `warn_at` is nearly used, in a thread of llmkit's; beside the
            setting of this name.
        within: makes what such functions, and tools, run within in a thread of llmkit's, such as the app's context.
        at_once: says whether they are called in the thread that does the call, as in a test whose data no other thread sees.
        host_cache: the cache of the app's framework, for `"cache": {"store": "host"}`; see `llmkit.cache.host`.
        clock, now, chance, new_id: where time, the date, random numbers and ids come from. Replace them in tests.

    Raises:
        ConfigError: the settings are wrong.
    """

    @forgetful
    def __init__(
        self, config: Mapping[str, Any] | Config, **options: Unpack[RuntimeOptions]
    ) -> None:
        for name in options.keys() - RuntimeOptions.__annotations__.keys():
            raise TypeError(f"Kit() got an unexpected keyword argument {name!r}")
        self.runtime = Runtime(config, **options)

    @classmethod
    @forgetful
    def for_model(
        cls,
        model: str | None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        **options: Unpack[RuntimeOptions],
    ) -> Self:
        """Make a kit for one model, without a ledger.

        Raises:
            ConfigError: no model is given, or its provider is unknown or has no key.
        """
        kit = cls(Config.for_model(model, api_key=api_key, base_url=base_url), **options)
        kit.runtime.routes.of("default")
        return kit

    @property
    def config(self) -> Config:
        """The settings."""
        return self.runtime.config

    @property
    def ledger(self) -> Ledger | None:
        """Where the calls are recorded."""
        return self.runtime.ledger

    @property
    def limit(self) -> ConcurrencyLimit:
        """The places of this process; a fork has its own."""
        return self.runtime.limit

    @cached_property
    def client(self) -> Client:
        """The client for sync code."""
        from llmkit._sync.client import Client  # noqa: PLC0415  # the sync half, for those who use it

        return Client(kit=self)

    @cached_property
    def async_client(self) -> AsyncClient:
        """The client for async code."""
        from llmkit._async.client import AsyncClient  # noqa: PLC0415  # the async half

        return AsyncClient(kit=self)

    @cached_property
    def cost_tracker(self) -> CostTracker:
        """What the calls of this kit's ledger cost.

        Raises:
            ConfigError: no calls are recorded.
        """
        from llmkit.ledger.tracker import CostTracker  # noqa: PLC0415  # for those who ask

        if self.ledger is None:
            raise ConfigError(
                "the calls are not recorded, so nobody knows what they cost",
                hint='Set where they are recorded, e.g. {"ledger": {"database": "sqlite:///llm.db"}}.',
            )
        return CostTracker(
            self.ledger,
            prices=self.runtime.prices,
            time_zone=self.config.time_zone,
            now=self.runtime.now,
            new_id=self.runtime.new_id,
        )

    @cached_property
    def budgets(self) -> BudgetManager:
        """The budgets of the settings: what they have left, and what is held and settled in code.

        Raises:
            ConfigError: there is no database that keeps them.
        """
        from llmkit.budget.manager import BudgetManager  # noqa: PLC0415  # for those who ask

        store: BudgetStore | None = None if self.ledger is None else self.ledger.budgets
        if self.runtime.budgets is not None:
            store = self.runtime.budgets.store
        if store is None:
            raise ConfigError(
                "budgets are kept in the ledger's database, and there is none",
                hint='Set it, e.g. {"ledger": {"database": "sqlite:///llm.db"}}.',
            )
        return BudgetManager(
            self.config.budgets,
            store=store,
            time_zone=self.config.time_zone,
            by_tenant=self.config.partition == "tenant",
            now=self.runtime.now,
            new_id=self.runtime.new_id,
            from_async=self.runtime.host.from_async,
        )

    @cached_property
    def cache(self) -> ResponseCache:
        """The cache of the settings: `clear` lets go of what is kept, and an app may keep answers of its own in it.

        Raises:
            ConfigError: there is none.
        """
        from llmkit.cache.response_cache import ResponseCache  # noqa: PLC0415  # for those who ask

        answers, config = self.runtime.cache, self.config.cache
        if answers is None or config is None:
            raise ConfigError("there is no cache", hint='Add "cache": {} to the settings.')
        return ResponseCache(answers.store, ttl=config.ttl, scope=config.scope)

    @property
    def catalogue(self) -> Catalogue:
        """What the providers of the settings offer."""
        from llmkit._sync.listing import listed  # noqa: PLC0415  # for those who ask
        from llmkit.commands.models import Catalogue  # noqa: PLC0415

        runtime = self.runtime
        return Catalogue(
            names=runtime.routes.names(),
            listed=lambda name: listed(runtime, runtime.routes.provider(name)),
            named=runtime.routes.models_of,
            prices=runtime.prices,
        )

    @property
    def totals(self) -> Sum:
        """What all calls together come to, from the ledger.

        Raises:
            ConfigError: no calls are recorded.
            LedgerUnavailable: the ledger cannot be read.
        """
        return self.cost_tracker.totals

    def warm(self) -> None:
        """Load what the first call in the running event loop would otherwise wait for. No connection is opened."""
        self.async_client  # noqa: B018
        self.runtime.connections.async_transport()

    def close(self) -> None:
        """Write all waiting rows, then close the ledger and the connections of sync code."""
        self.runtime.close()

    async def aclose(self) -> None:
        """Stop the streams of this event loop that are still open, close its connections, then do what `close` does."""
        await self.runtime.aclose()
