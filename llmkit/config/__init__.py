"""The settings, the same for every framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    model_validator,
)

from llmkit.config.budgets import AllowanceConfig, Budget
from llmkit.config.cache import CacheConfig as CacheConfig
from llmkit.config.errors import NOT_BUILT, explain
from llmkit.config.functions import TOKEN, WARNING, function, own_provider
from llmkit.config.ledger import LedgerConfig as LedgerConfig
from llmkit.config.sections import Section
from llmkit.config.tools import tool, usable
from llmkit.config.values import (
    BaseURL,
    Count,
    Dollars,
    FieldName,
    FieldValue,
    ModelId,
    Origin,
    RedisURL,
    Seconds,
    TimeZone,
    as_list,
)
from llmkit.errors import ConfigError
from llmkit.kinds import kind_of
from llmkit.providers.vendors import WireName
from llmkit.tracebacks import forgetful

EXAMPLE = '{"models": {"default": "anthropic:claude-sonnet-4-5"}}'


@dataclass(frozen=True, slots=True)
class Place:
    """Where an app has its settings, so that an error can name it.

    `before` is what reads them, where it matters that they are set before that.
    """

    name: str
    before: str | None = None

    def set_to(self, value: str) -> str:
        """Write the line that sets them."""
        line = f"{self.name.removeprefix('settings.')} = {value}"
        return line if self.before is None else f"{line}, before {self.before}"


class Price(Section):
    """US dollars per million tokens, and per thousand web searches. Cached tokens cost the same as other input unless they have their own price."""

    input: Dollars
    output: Dollars
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None
    web_search: Dollars | None = None


def _price(value: object) -> object:
    if isinstance(value, int | str) and not isinstance(value, bool):
        if str(value) == "0":
            return Price(input=Decimal(0), output=Decimal(0))
        raise ValueError(
            'a price has to be 0, or {"input": "3", "output": "15"} in US dollars per million tokens'
        )
    return value


AnyPrice = Annotated[Price, BeforeValidator(_price)]


class ProviderConfig(Section):
    """A provider's address, API key, wire format and price.

    `api_version` is Azure's. `token` is a function without arguments, or its dotted path, that returns a token in place of a key, as Vertex AI and
    Microsoft Entra ID have them: it is called for each request, in a thread, so let it remember its token. `embed_at_once` is how many texts are embedded
    in one request. `provider` is a provider of the app's own, or its dotted path: it needs none of the others but a price.
    """

    provider: Annotated[Any, AfterValidator(own_provider)] = None
    wire: WireName | None = None
    base_url: BaseURL | None = None
    api_key: SecretStr | None = None
    api_version: Annotated[str, Field(pattern=r"^[\w.-]{1,40}$")] | None = None
    token: Annotated[Any, AfterValidator(partial(function, shape=TOKEN))] = None
    embed_at_once: Count | None = None
    price: AnyPrice | None = None
    headers: Annotated[dict[FieldName, FieldValue], Field(repr=False)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_one_of_both(self) -> Self:
        if self.api_key is not None and self.token is not None:
            raise ValueError("it has an api_key and a token: leave one of them out")
        others = sorted(self.model_fields_set - {"provider", "price"})
        if self.provider is not None and others:
            raise ValueError(f"it is a provider of your own: leave out {', '.join(others)}")
        return self


class Defaults(Section):
    """Values that are used when a call does not set them."""

    max_tokens: Count = 4096


class RetryConfig(Section):
    """How many attempts are made, and how long to wait between them, in seconds. `attempts` is the total for one call, over all models of its alias."""

    attempts: Count = 4
    wait_initial: Seconds = 1
    wait_max: Seconds = 60
    wait_jitter: Annotated[float, Field(ge=0, le=1)] = 0.2


class TimeoutConfig(Section):
    """The timeouts, in seconds. `complete()` uses only `connect` and `total`."""

    connect: Seconds = 5
    first_content: Seconds = 120
    idle: Seconds = 60
    total: Seconds = 600


class ConcurrencyConfig(Section):
    """How many calls may run at the same time (None: no limit), and how many may wait in the queue. `queue_timeout` is in seconds."""

    per_process: Count | None = None
    per_provider: Count | None = None
    queue: Annotated[int, Field(ge=0)] = 1000
    queue_timeout: Annotated[float, Field(ge=0)] = 5


class RelayConfig(Section):
    """What browsers may ask for, and how they are answered.

    `model` is the browser's default model, `models` are others that it may choose. `heartbeat` is in seconds, `max_body` in bytes.
    `anonymous` lets users call who are not logged in. `allowed_origins` are other origins whose pages may call with cookies; Django
    refuses it, and uses its own CSRF_TRUSTED_ORIGINS instead. `tools` are functions of the app's, or their dotted paths, that the model may
    call for a browser, in `max_steps` answers at most, each for `tool_timeout` seconds. The browser is told of their names; with
    `tool_details` also of arguments and results.
    """

    model: str = "default"
    models: tuple[str, ...] = ()
    system: Annotated[str | None, Field(repr=False)] = None
    max_tokens: Count | None = None
    max_body: Count = 1_000_000
    on_disconnect: Annotated[Literal["cancel"], NOT_BUILT] = "cancel"
    heartbeat: Seconds = 15
    anonymous: bool = False
    allowed_origins: Annotated[tuple[Origin, ...], BeforeValidator(as_list)] = ()
    tools: Annotated[
        tuple[Annotated[Any, AfterValidator(tool)], ...],
        BeforeValidator(as_list),
        AfterValidator(usable),
    ] = ()
    max_steps: Count = 10
    tool_timeout: Seconds = 30
    tool_details: bool = False


class Config(Section):
    """The settings of one app. `Config.of(...)` reads a mapping and reports everything that is wrong in it.

    A setting for a feature that does not exist yet is refused unless it has its default value, so that nobody relies on a limit
    that is not enforced.
    """

    providers: dict[str, ProviderConfig] = Field(default_factory=dict)
    models: dict[
        str, Annotated[tuple[ModelId, ...], BeforeValidator(as_list), Field(min_length=1)]
    ] = Field(default_factory=dict)
    defaults: Defaults = Defaults()
    retry: RetryConfig = RetryConfig()
    timeouts: TimeoutConfig = TimeoutConfig()
    concurrency: ConcurrencyConfig = ConcurrencyConfig()
    transport: Literal["auto", "native", "aiohttp", "httpx"] = "auto"
    redis: Annotated[RedisURL | None, Field(repr=False)] = None
    ledger: LedgerConfig | Literal[False] = LedgerConfig()
    cache: CacheConfig | None = None
    budgets: tuple[Budget, ...] = ()
    on_budget_warning: Annotated[Any, AfterValidator(partial(function, shape=WARNING))] = None
    on_store_error: AllowanceConfig | Literal["closed"] = "closed"
    prices: dict[ModelId, AnyPrice] = Field(default_factory=dict)
    time_zone: TimeZone | None = None
    partition: Literal["tenant"] | None = None
    namespace: Annotated[str, Field(pattern=r"^[\w.:-]+$", max_length=64)] = "llmkit"
    relay: RelayConfig = RelayConfig()
    _place: Place | None = PrivateAttr(None)
    _is_set: bool = PrivateAttr(default=True)

    @model_validator(mode="after")
    def _budgets_have_a_place(self) -> Self:
        if not self.budgets or self.redis is not None:
            return self
        if self.ledger is False:
            raise ValueError(
                'budgets are kept in the ledger\'s database, but ledger is False: remove "ledger": False'
                " (without Django or Flask-SQLAlchemy, set ledger.database), or set redis, or remove budgets"
            )
        if self.ledger.connection == "host":
            raise ValueError(
                'budgets have to be written apart from the app\'s transactions, but ledger.connection is "host": leave it at "own", or set redis'
            )
        return self

    @model_validator(mode="after")
    def _keeps_answers_where_it_can(self) -> Self:
        if self.cache is not None and self.cache.store == "redis" and self.redis is None:
            raise ValueError('cache.store is "redis", but redis is not set')
        return self

    @model_validator(mode="after")
    def _is_parted_by_what_has_parts(self) -> Self:
        if self.partition is None:
            return self
        if self.redis is None:
            raise ValueError("partition spreads budgets over a Redis Cluster, but redis is not set")
        for budget in self.budgets:
            if budget.scope not in ("user", "tenant"):
                raise ValueError(
                    f'partition is "tenant", but a budget has the scope {budget.scope!r}, which tenants share:'
                    " remove partition, or that budget"
                )
        return self

    @model_validator(mode="after")
    def _allows_what_budgets_count(self) -> Self:
        if self.on_store_error != "closed":
            for unit in self.on_store_error.most:
                if all(getattr(budget, unit) is None for budget in self.budgets):
                    raise ValueError(
                        f"on_store_error limits {unit}, which none of your budgets counts: it would limit nothing"
                    )
        return self

    @model_validator(mode="after")
    def _budgets_count_models_there_are(self) -> Self:
        for budget in self.budgets:
            for name in budget.models:
                if name not in self.models and ":" not in name:
                    raise ValueError(
                        f"budgets: models has {name!r}, which is neither one of your models nor of the form provider:model"
                    )
        return self

    @property
    def place(self) -> Place | None:
        """Where these settings are; None if nobody has said it."""
        return self._place

    @property
    def unset(self) -> ConfigError | None:
        """The error to raise if something is missing because the app has no settings at all; None if it has some."""
        if self._is_set or self._place is None:
            return None
        return ConfigError(
            f"{self._place.name} is not set", hint=f"Name a model: {self._place.set_to(EXAMPLE)}."
        )

    @property
    def has_books(self) -> bool:
        """Whether the settings say where the calls are recorded, or that they are not."""
        return self.ledger is False or self.ledger.database is not None

    def for_host(self, database: str | None = None) -> Self:
        """Return the settings for an app: calls are recorded in the app's own database unless the settings name another.

        Raises:
            ConfigError: neither the settings nor the app name a database.
        """
        if self.ledger is False or self.ledger.database is not None:
            return self
        if database is None:
            raise self.unset or ConfigError(
                "ledger.database is not set",
                hint='Set where the calls are recorded, e.g. {"ledger": {"database": "sqlite:///llm.db"}}, '
                'or record nothing with {"ledger": False}.',
            )
        ledger = self.ledger.model_copy(update={"database": database})
        return self.model_copy(update={"ledger": ledger})

    @classmethod
    def for_model(cls, model: str | None, *, api_key: str | None, base_url: str | None) -> Self:
        """Return the settings for one model, as "default", without a ledger.

        Raises:
            ConfigError: no model is given.
        """
        if model is None:
            raise ConfigError(
                "no model is given", hint='Pass one, such as "anthropic:claude-sonnet-4-5".'
            )
        given = {"api_key": api_key, "base_url": base_url}
        provider = {key: value for key, value in given.items() if value is not None}
        return cls.of(
            {
                "providers": {model.partition(":")[0]: provider} if provider else {},
                "models": {"default": model},
                "ledger": False,
            }
        )

    @classmethod
    @forgetful
    def of(cls, settings: Mapping[str, Any] | Config | None, *, place: Place | None = None) -> Self:
        """Read settings; None means that there are none.

        Raises:
            ConfigError: something is wrong; the message names each wrong key and how to correct it.
        """
        if isinstance(settings, cls):
            return settings
        given = {} if settings is None and place is not None else settings
        if not isinstance(given, Mapping):
            name = "the settings are" if place is None else f"{place.name} is"
            raise ConfigError(
                f"{name} {kind_of(given)}, not a dict",
                hint="The README shows all settings.",
            )
        try:
            config = cls.model_validate(dict(given))
        except ValidationError as error:
            name = "the settings of llmkit" if place is None else place.name
            raise ConfigError(
                explain(error, cls, given), hint=f"Correct {name}; the README shows all settings."
            ) from None
        config._place, config._is_set = place, settings is not None  # noqa: SLF001  # our own
        return config
