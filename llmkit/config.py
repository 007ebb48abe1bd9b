"""The one settings shape, the same for every framework."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from llmkit.errors import ConfigError

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _http_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("a base URL starts with http:// or https://")
    return value


def _model_id(value: str) -> str:
    provider, colon, model = value.partition(":")
    if not (provider and colon and model):
        raise ValueError(f"{value!r} is not of the form provider:model")
    return value


BaseURL = Annotated[str, AfterValidator(_http_url)]
ModelId = Annotated[str, AfterValidator(_model_id)]


class Section(BaseModel):
    """A part of the settings: closed, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Price(Section):
    """US dollars per million tokens."""

    input_mtok: Annotated[Decimal, Field(ge=0)]
    output_mtok: Annotated[Decimal, Field(ge=0)]
    cache_read_mtok: Annotated[Decimal, Field(ge=0)] | None = None
    cache_write_mtok: Annotated[Decimal, Field(ge=0)] | None = None


def _price(value: object) -> object:
    if isinstance(value, int | str) and not isinstance(value, bool) and str(value) == "0":
        return Price(input_mtok=Decimal(0), output_mtok=Decimal(0))
    return value


AnyPrice = Annotated[Price, BeforeValidator(_price)]


class ProviderConfig(Section):
    """Where a provider is and how it is spoken to."""

    wire: Literal["anthropic", "openai"] | None = None
    base_url: BaseURL | None = None
    api_key: SecretStr | None = None
    price: AnyPrice | None = None
    headers: dict[str, str] = {}


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
    """Where the rows go."""

    database: str | None = None
    connection: Literal["own"] = "own"
    on_store_error: Literal["refuse"] = "refuse"
    outbox: None = None
    store_content: Literal[False] = False


class RelayConfig(Section):
    """What a browser may ask, and how it is answered. `heartbeat` is in seconds, `max_body` in bytes."""

    model: str = "default"
    models: tuple[str, ...] = ()
    system: str | None = None
    max_tokens: Count | None = None
    max_body: Count = 1_000_000
    on_disconnect: Literal["cancel"] = "cancel"
    heartbeat: Seconds = 15


class Config(Section):
    """The settings of one app. `Config.of(...)` reads a mapping and says what is wrong in it.

    Keys that a later version fills (`redis`, `cache`, `budgets`) are known, and refused when they are set, so that no limit is
    believed to hold that does not.
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
    namespace: Annotated[str, Field(min_length=1)] = "llmkit"
    relay: RelayConfig = RelayConfig()

    @classmethod
    def of(cls, settings: Mapping[str, Any] | Config) -> Self:
        """Read settings.

        Raises:
            ConfigError: names every wrong key and what it should be.
        """
        if isinstance(settings, cls):
            return settings
        if not isinstance(settings, Mapping):
            raise ConfigError(
                f"the settings are a {type(settings).__name__}",
                hint="They are a dict: see the README.",
            )
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            raise ConfigError(_explain(error), hint="Mend the settings of llmkit.") from None


_LATER = {"redis", "cache", "budgets", "time_zone", "outbox"}


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        names = [str(part) for part in problem["loc"]]
        if names[:1] == ["ledger"]:  # pydantic names the arm of the union too
            if "literal[False]" in names:
                continue
            names = [name for name in names if name != "LedgerConfig"]
        key = ".".join(names)
        if problem["type"] == "extra_forbidden":
            lines.append(f"{key} is not a setting{_nearest(names)}")
        elif names[-1] in _LATER:
            lines.append(f"{key} is not supported by this version; leave it out")
        else:
            lines.append(f"{key}: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(lines)


def _nearest(names: list[str]) -> str:
    sections: dict[str, type[Section]] = {
        "providers": ProviderConfig,
        "defaults": Defaults,
        "retry": RetryConfig,
        "timeouts": TimeoutConfig,
        "concurrency": ConcurrencyConfig,
        "ledger": LedgerConfig,
        "relay": RelayConfig,
    }
    section = Config if len(names) == 1 else sections.get(names[0], Price)
    return f" (known: {', '.join(sorted(section.model_fields))})"
