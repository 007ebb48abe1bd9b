"""The settings: what is accepted, and what is said of what is not."""

from __future__ import annotations

import ast
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmkit import Config, ConfigError, Kit
from llmkit.config import LedgerConfig
from llmkit.ledger.writer import LedgerWriter
from support.memory_store import MemoryStore

README = Path(__file__).parents[2] / "README.md"


def test_defaults_are_those_of_the_readme() -> None:
    """Settings that say nothing give the documented values."""
    config = Config.of({})
    assert config.retry.attempts == 4
    assert config.timeouts.model_dump() == {
        "connect": 5,
        "first_content": 120,
        "idle": 60,
        "total": 600,
    }
    assert config.defaults.max_tokens == 4096
    assert config.relay.heartbeat == 15
    assert config.relay.max_body == 1_000_000


def test_the_readmes_defaults_can_be_pasted() -> None:
    """What the README prints as the default of each setting is taken, and changes nothing."""
    block = README.read_text().partition("these are the defaults:")[2].split("```")[1]
    settings = ast.literal_eval(block.removeprefix("python\n"))
    config = Config.of(settings)
    own = {"providers": settings["providers"], "models": settings["models"]}
    assert config == Config.of(own)
    assert set(settings) == set(Config.model_fields)
    assert set(settings["ledger"]) == set(LedgerConfig.model_fields)


def test_one_model_stands_for_a_list() -> None:
    """An alias may name one model without a list."""
    assert Config.of({"models": {"fast": "openai:gpt-5-mini"}}).models["fast"] == (
        "openai:gpt-5-mini",
    )


def test_price_zero_is_free() -> None:
    """A price of 0 is a price."""
    config = Config.of({"providers": {"local": {"wire": "openai", "price": 0}}})
    price = config.providers["local"].price
    assert price is not None
    assert price.input == Decimal(0)


DAILY = {"scope": "user", "per": "day", "usd": 3}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"modles": {}}, "modles is not a setting; did you mean models?"),
        ({"relay": {"hearbeat": 3}}, "did you mean relay.heartbeat?"),
        ({"timeouts": {"idle": 0}}, "timeouts.idle"),
        ({"timeouts": {"idle": "soon"}}, "timeouts.idle"),
        ({"models": {"default": []}}, "models.default"),
        ({"models": {"default": ["gpt-5"]}}, "provider:model"),
        ({"providers": {"x": {"wire": "soap"}}}, "providers.x.wire"),
        ({"providers": {"x": {"base_url": "localhost"}}}, "http://"),
        (
            {"providers": {"x": {"headers": {"x-a": "é"}}}},
            "providers.x.headers.x-a: a header value has to be",
        ),
        ({"providers": {"x": {"headers": {"x-a": "a\r\nb: c"}}}}, "providers.x.headers.x-a"),
        ({"providers": {"x": {"headers": {"x-a": "a\0"}}}}, "printable ASCII"),
        ({"providers": {"x": {"headers": {"x-a": 7}}}}, "providers.x.headers.x-a"),
        ({"providers": {"x": {"headers": {"a b": "c"}}}}, "providers.x.headers.a b"),
        (
            {"providers": {"x": {"headers": {"": "c"}}}},
            "a header name has only ASCII letters, digits and !#$%&'*+-.^_`|~",
        ),
        ({"providers": {"x": {"headers": {"Content-Length": "3"}}}}, "set by the HTTP library"),
        ({"relay": {"allowed_origins": ["https://x.example/"]}}, "relay.allowed_origins"),
        ({"relay": {"allowed_origins": "*"}}, "an origin has to be a scheme and a host"),
        ({"relay": {"tools": "look"}}, "relay.tools: it has to be a function, an llmkit.Tool"),
        ({"relay": {"tools": [3]}}, "relay.tools.0: it has to be a function, an llmkit.Tool"),
        ({"relay": {"max_steps": 0}}, "relay.max_steps"),
        ({"relay": {"tool_timeout": 0}}, "relay.tool_timeout"),
        ({"relay": {"allowed_origins": "http://["}}, "an origin has to be a scheme and a host"),
        (
            {"ledger": {"connection": "hots"}},
            "ledger.connection: it has to be 'own' or 'host'; did you mean 'host'?",
        ),
        ({"transport": "AIOHTTP"}, "did you mean 'aiohttp'?"),
        (
            {"transport": "carrier pigeon"},
            "transport: it has to be 'auto', 'native', 'aiohttp' or 'httpx'",
        ),
        (
            {"budgets": [{"usd": 3}]},
            "budgets.0: scope: it is missing; it has to be one of user, tenant",
        ),
        (
            {"budgets": [{"usd": 3}]},
            "per: it is missing; it has to be 'minute', 'hour', 'day', 'month' or 'ever'",
        ),
        (
            {"budgets": {"scope": "user"}},
            'budgets: it has to be a list of dicts, such as [{"scope": "user", "per": "month", "usd": 20}], not a dict',
        ),
        (
            {"budgets": [{**DAILY, "models": "default"}]},
            'models: it has to be a list such as ["smart"], not a str',
        ),
        ({"budgets": [{**DAILY, "scope": ["user"]}]}, "budgets.0: scope: it has to be one of user"),
        ({"models": {"default": 5}}, "models.default: it has to be a model, such as"),
        ({"models": {5: "a:b"}}, "models.5: a name has to be a str, not an int"),
        ({"redis": {"url": "redis://x"}}, 'redis: it has to be a URL such as "redis://localhost'),
        ({"time_zone": 5}, "time_zone: a time zone has to be a text such as"),
        (
            {"on_store_error": "open"},
            "on_store_error: it has to be 'closed', or a dict such as {\"requests\": 50}",
        ),
        (
            {"on_store_error": {"request": 5}},
            "on_store_error.request is not a setting; did you mean on_store_error.requests? Correct",
        ),
        ({"on_store_error": "outbox"}, "did you mean ledger.on_store_error?"),
        (
            {"ledger": {"on_store_error": "closed"}},
            "'outbox' or 'refuse'; did you mean on_store_error, beside ledger and not in it?",
        ),
        ({"ledger": {"on_store_error": {"usd": 1}}}, "did you mean on_store_error, beside ledger"),
        ({"budgets": [DAILY], "ledger": False}, 'but ledger is False: remove "ledger": False'),
        ({"retry": {"attempts": 0}}, "retry.attempts: it has to be 1 or more"),
        ({"retry": {"attempts": "x"}}, "retry.attempts: it has to be a whole number, not a str"),
        ({"retry": {"wait_jitter": 2}}, "retry.wait_jitter: it has to be 1 or less"),
        ({"timeouts": {"idle": "soon"}}, "timeouts.idle: it has to be a number, not a str"),
        ({"ledger": {"outbox": ""}}, "ledger.outbox: it is empty"),
        ({"prices": {"a:b": {"input": 1}}}, "prices.a:b.output: it is missing"),
        (
            {"providers": {"x": {"price": {"input": 1}}}},
            "providers.x.price.output: it is missing",
        ),
        (
            {"providers": {"x": {"headers": 5}}},
            'providers.x.headers has to be a dict, such as {"x-team": "search"}',
        ),
        ({"providers": {"x": {"provider": 5}}}, "has to be a provider, such as a llmkit.Function"),
        (
            {"providers": {"x": {"provider": "shop.llm.x", "wire": "openai", "api_key": "k"}}},
            "it is a provider of your own: leave out api_key, wire",
        ),
        ({"budgets": [3]}, "budgets.0 has to be a dict with some of the keys hold, models, per"),
        ({"budgets": [{**DAILY, "scope": "usr"}]}, "or tag:NAME; did you mean 'user'?"),
        ({"budgets": [{**DAILY, "scope": "tag:"}]}, "budgets.0: scope: it has to be one of user"),
        ({"budgets": [{**DAILY, "per": "dya"}]}, "did you mean 'day'?"),
        ({"budgets": [{**DAILY, "usd": None}]}, "it has no limit: set one of usd, tokens"),
        ({"budgets": [{**DAILY, "usd": -1}]}, "usd: it has to be an amount in US dollars"),
        ({"budgets": [{**DAILY, "usd": True}]}, "usd: it has to be an amount in US dollars"),
        ({"budgets": [{**DAILY, "usd": "much"}]}, "usd: it has to be an amount in US dollars"),
        ({"budgets": [{**DAILY, "usd": "nan"}]}, "usd: it has to be an amount in US dollars"),
        (
            {"budgets": [{**DAILY, "tokens": 1.5}]},
            "tokens: it has to be a whole number, 0 or more, or a func",
        ),
        ({"budgets": [{**DAILY, "limit": 3}]}, "limit is not a setting (known settings: hold"),
        ({"budgets": [{**DAILY, "models": ["x"]}]}, "models has 'x', which is neither one of"),
        ({"budgets": [DAILY], "ledger": False}, "budgets are kept in the ledger's database, but"),
        ({"budgets": [DAILY], "ledger": {"connection": "host"}}, "but ledger.connection is"),
        ({"redis": "localhost:6379"}, 'redis: it has to be a URL such as "redis://localhost'),
        ({"ledger": {"databse": "x"}}, "did you mean ledger.database?"),
        ({"relay": {"on_disconnect": "finish"}}, "relay.on_disconnect is not supported"),
        (
            {"ledger": {"store_content": "yes"}},
            "ledger.store_content: it has to be True or False, not a str",
        ),
        ({"cache": {"ttl": 0}}, "cache.ttl"),
        ({"cache": {"scope": "group"}}, "cache.scope: it has to be 'user', 'tenant' or 'all'"),
        ({"cache": {"store": "redis"}}, 'cache.store is "redis", but redis is not set'),
        ({"namespace": "a shop"}, "namespace: it may only have letters, digits and the char"),
        ({"prices": {"a:b": {"input": 1, "output": 1, "cache_raed": 1}}}, "prices.a:b.cache_read?"),
        ({"providers": {"x": {"price": 3}}}, "providers.x.price: a price has to be 0, or"),
        ({"models": {"cache": "gpt-4o"}}, "models.cache: 'gpt-4o' is not of the form"),
        ({"models": {"budgets": []}}, "models.budgets"),
        ({"models": {"Config": "x"}}, "models.Config: 'x' is not of the form"),
        ({"providers": {"ledger": {"outbox": "x"}}}, "providers.ledger.outbox is not a setting"),
        ({"Config": 1}, "Config is not a setting"),
        ({"ledger": {"LedgerConfig": 1}}, "ledger.LedgerConfig is not a setting"),
        (
            {"models": {"default": "openai/"}},
            "'openai/' is not of the form provider:model, such as",
        ),
        ({"zzz": 1}, "known settings: budgets, cache, concurrency, defaults"),
        ({"ledger": True}, "ledger"),
        (
            {"ledger": "sqlite:///llm.db"},
            "ledger has to be a dict with some of the keys connection, database, on_store_error, outbox, redact, store_content, or False",
        ),
        ({"ledger": None}, "or False to record nothing"),
        ({"retry": 3}, "retry has to be a dict with some of the keys attempts, wait_initial"),
        (
            {"models": "anthropic:x"},
            'did you mean {"models": {"default": "anthropic:claude-sonnet-4-5"}}?',
        ),
        ({"models": ["anthropic:x"]}, "models has to be a dict of aliases"),
        (
            {"providers": "anthropic"},
            'providers has to be a dict, such as {"anthropic": {"api_key"',
        ),
        ({"prices": 3}, "prices has to be a dict, such as"),
        (
            {"providers": {"anthropic": "sk-1"}},
            "providers.anthropic has to be a dict with some of the keys api_key",
        ),
        (
            {"models": {"default": "claude-sonnet-4-5"}},
            "did you mean 'anthropic:claude-sonnet-4-5'?",
        ),
        ({"models": {"default": ["GPT-5-mini"]}}, "did you mean 'openai:GPT-5-mini'?"),
        ({"models": {"default": "o4-mini"}}, "did you mean 'openai:o4-mini'?"),
        ({"models": {"default": "mistral-large"}}, "did you mean 'mistral:mistral-large'?"),
        ({"models": {"default": "openai/gpt-5"}}, "did you mean 'openai:gpt-5'?"),
        ({"models": {"default": "smollm2"}}, "not of the form provider:model, such as"),
        (
            {"models": {"default": "openai:"}},
            "'openai:' is not of the form provider:model, such as",
        ),
        ({"model": "anthropic:x"}, "did you mean models or relay.model?"),
        ({"MODELS": {}}, "did you mean models?"),
        ({"models": {"default": "smollm2"}}, "models.default: 'smollm2' is"),
        ({"models": {"default": ["a:b", "smollm2"]}}, "models.default.1: 'smollm2' is"),
        ({"relay": {"allowed_origins": "*"}}, "relay.allowed_origins: an origin"),
        ({"cach": {}}, "cach is not a setting; did you mean cache?"),
        ({"models": {"default": "gpt-5"}}, "did you mean 'openai:gpt-5'? Correct the settings"),
        (
            {"ledger": {"on_store_error": "x"}},
            "ledger.on_store_error: it has to be 'outbox' or 'refuse'",
        ),
        ({"api_key": "sk-1"}, "api_key is not a setting; did you mean providers.<name>.api_key?"),
        ({"base_url": "http://x"}, "did you mean providers.<name>.base_url?"),
        ({"max_tokens": 3}, "did you mean defaults.max_tokens or relay.max_tokens?"),
        ({"heartbeat": 3}, "did you mean relay.heartbeat?"),
        ({"database": "x"}, "did you mean ledger.database?"),
        ({"relay": {"database": "x"}}, "did you mean ledger.database?"),
        ({"get_user": print}, "pass it to the adapter, as in LLMKit(app, get_user=...)"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], said: str) -> None:
    """Each wrong key is named with what it should be."""
    with pytest.raises(ConfigError) as caught:
        Config.of(settings)
    assert said in str(caught.value)
    assert "Input" not in str(caught.value)


def test_keys_are_never_shown() -> None:
    """Neither an error nor the representation of the settings shows an API key."""
    with pytest.raises(ConfigError) as caught:
        Config.of({"providers": {"anthropic": {"api_key": ["sk-secret"]}, "openai": "sk-secret"}})
    assert "sk-secret" not in str(caught.value)
    config = Config.of({"providers": {"anthropic": {"api_key": "sk-secret"}}})
    assert "sk-secret" not in repr(config)


def test_settings_are_a_mapping() -> None:
    """Something else than a mapping is refused with its type."""
    with pytest.raises(ConfigError, match="list"):
        Config.of([])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ledger": False, "models": {"default": "nobody:x"}}, "unknown provider 'nobody'"),
    ],
)
def test_kit_refuses_at_construction(settings: dict[str, Any], said: str) -> None:
    """What can be known to be wrong is refused before the first call."""
    with pytest.raises(ConfigError) as caught:
        Kit(settings)
    assert said in str(caught.value)
    assert caught.value.hint


def test_without_a_host_no_database_means_no_books() -> None:
    """A script that does not say where the rows go has none."""
    assert Kit({}).ledger is None


def test_a_headers_name_may_have_all_that_the_message_says() -> None:
    """The signs are those of RFC 9110."""
    name = "x-!#$%&'*+-.^_`|~1"
    provider = Config.of({"providers": {"x": {"headers": {name: "b"}}}}).providers["x"]
    assert provider.headers == {name: "b"}


def test_headers_are_trimmed() -> None:
    """White space at the ends, as a file or a shell leaves it, is no part of a header."""
    provider = Config.of({"providers": {"x": {"headers": {" X-A ": " b\n"}}}}).providers["x"]
    assert provider.headers == {"x-a": "b"}


def test_budgets_need_a_database_that_keeps_them() -> None:
    """Where nothing is recorded, or by a ledger that keeps none, a limit would not be enforced: it is refused at the start."""
    settings = {"models": {"default": "openai:gpt-5-mini"}, "budgets": [DAILY]}
    with pytest.raises(ConfigError, match="there is none that keeps them. Set ledger.database"):
        Kit(settings)
    with pytest.raises(ConfigError, match="there is none that keeps them. Set ledger.database"):
        Kit(settings, ledger=LedgerWriter(MemoryStore()))
