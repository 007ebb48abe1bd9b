"""The one settings shape, the same for every framework."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from llmkit.config_errors import explain, without_provider
from llmkit.errors import ConfigError
from llmkit.fields import field_name, field_value
from llmkit.tracebacks import forgetful

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Dollars = Annotated[Decimal, Field(ge=0)]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _http_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("a base URL has to start with http:// or https://")
    return value


def _model_id(value: str) -> str:
    provider, colon, model = value.partition(":")
    if not (provider and colon and model):
        raise ValueError(without_provider(value))
    return value


def _origin(value: str) -> str:
    value = value.strip().lower()
    try:
        parts = urlsplit(value)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or value != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
        raise ValueError('an origin has to be a scheme and a host, such as "https://app.example"')
    return value


BaseURL = Annotated[str, AfterValidator(_http_url)]
ModelId = Annotated[str, AfterValidator(_model_id)]
Origin = Annotated[str, AfterValidator(_origin)]
FieldName = Annotated[str, AfterValidator(field_name)]
FieldValue = Annotated[str, AfterValidator(field_value)]


class Section(BaseModel):
    """A part of the settings: closed, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Price(Section):
    """US dollars per million tokens, and per thousand web searches. Cached tokens cost as other input unless priced themselves."""

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
    """Where a provider is and how it is spoken to."""

    wire: Literal["anthropic", "openai"] | None = None
    base_url: BaseURL | None = None
    api_key: SecretStr | None = None
    price: AnyPrice | None = None
    headers: Annotated[dict[FieldName, FieldValue], Field(repr=False)] = {}


class Defaults(Section):
    """What a call says when it does not say it itself."""

    max_tokens: Count = 4096


class RetryConfig(Section):
    """How often and after what wait an attempt is made again. `attempts` counts over all routes of one call."""

    attempts: Count = 4
    wait_initial: Seconds = 1
    wait_max: Seconds = 60
    wait_jitter: Annotated[float, Field(ge=0, le=1)] = 0.2


class TimeoutConfig(Section):
    """The clocks, in seconds. `complete()` knows connect and total only."""

    connect: Seconds = 5
    first_content: Seconds = 120
    idle: Seconds = 60
    total: Seconds = 600


class ConcurrencyConfig(Section):
    """How many calls may run at once; None is no limit. `queue_timeout` is in seconds."""

    per_process: Count | None = None
    per_provider: Count | None = None
    queue: Annotated[int, Field(ge=0)] = 1000
    queue_timeout: Annotated[float, Field(ge=0)] = 5


class LedgerConfig(Section):
    """Where the rows go. A call whose row cannot be written is not made.

    `database` None is the host's own database; with no host to ask, no books are kept. `connection` says whose connection
    writes them: one of our own, so that the host's rollback takes no row along, or the host's, in the host's transaction.
    """

    database: Annotated[str | None, Field(repr=False)] = None
    connection: Literal["own", "host"] = "own"
    on_store_error: Literal["outbox", "refuse"] = "outbox"
    outbox: None = None
    store_content: Literal[False] = False


class RelayConfig(Section):
    """What a browser may ask, and how it is answered.

    `heartbeat` is in seconds, `max_body` in bytes. `anonymous` lets those call, too, who are not logged in. `allowed_origins` are
    other sites whose pages may call with cookies; in Django its own CSRF_TRUSTED_ORIGINS decide.
    """

    model: str = "default"
    models: tuple[str, ...] = ()
    system: Annotated[str | None, Field(repr=False)] = None
    max_tokens: Count | None = None
    max_body: Count = 1_000_000
    on_disconnect: Literal["cancel"] = "cancel"
    heartbeat: Seconds = 15
    anonymous: bool = False
    allowed_origins: Annotated[tuple[Origin, ...], BeforeValidator(_listed)] = ()


class Config(Section):
    """The settings of one app. `Config.of(...)` reads a mapping and says what is wrong in it.

    The whole shape is known from the first version on. A part that is not built yet is refused at any value but its default,
    so that no limit is believed to hold that does not.
    """

    providers: dict[str, ProviderConfig] = {}
    models: dict[
        str, Annotated[tuple[ModelId, ...], BeforeValidator(_listed), Field(min_length=1)]
    ] = {}
    defaults: Defaults = Defaults()
    retry: RetryConfig = RetryConfig()
    timeouts: TimeoutConfig = TimeoutConfig()
    concurrency: ConcurrencyConfig = ConcurrencyConfig()
    transport: Literal["auto", "httpx", "aiohttp"] = "auto"
    redis: None = None
    ledger: LedgerConfig | Literal[False] = LedgerConfig()
    cache: None = None
    budgets: tuple[()] = ()
    on_store_error: Literal["closed"] = "closed"
    prices: dict[ModelId, AnyPrice] = {}
    time_zone: None = None
    namespace: Literal["llmkit"] = "llmkit"
    relay: RelayConfig = RelayConfig()

    @property
    def has_books(self) -> bool:
        """Whether it is said where the rows go, or that there are none."""
        return self.ledger is False or self.ledger.database is not None

    def for_host(self, database: str | None = None) -> Self:
        """Return the settings of a host: where they do not say where the rows go, these go into the host's own database.

        Raises:
            ConfigError: the host has none.
        """
        if self.ledger is False or self.ledger.database is not None:
            return self
        if database is None:
            raise ConfigError(
                "ledger.database is not set",
                hint='Set where the calls are recorded, e.g. {"ledger": {"database": "sqlite:///llm.db"}}, '
                'or record nothing with {"ledger": False}.',
            )
        ledger = self.ledger.model_copy(update={"database": database})
        return self.model_copy(update={"ledger": ledger})

    @classmethod
    @forgetful
    def of(cls, settings: Mapping[str, Any] | Config) -> Self:
        """Read settings.

        Raises:
            ConfigError: names every wrong key and what it should be.
        """
        if isinstance(settings, cls):
            return settings
        if not isinstance(settings, Mapping):
            raise ConfigError(
                f"the settings are a {type(settings).__name__}, not a dict",
                hint="The README shows all settings.",
            )
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            raise ConfigError(
                explain(error, cls),
                hint="Correct the settings of llmkit; the README shows all of them.",
            ) from None
