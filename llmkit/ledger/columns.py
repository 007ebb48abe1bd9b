"""The columns of the ledger's table as plain data: one list for SQLAlchemy and for Django."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "id", "string", "text", "integer", "bigint", "boolean", "decimal", "datetime", "json"
]

TABLE = "llmkit_usage"
UNIQUE = ("call_id", "attempt")
INDEXES = (("started_at",), ("user_key", "started_at"), ("status", "worker"))
DECIMAL_DIGITS, DECIMAL_PLACES = 18, 9
UNITS = 10**DECIMAL_PLACES
"""How many units of a cost's last place make a dollar."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `size` is the limit of a string, in characters; `key` is whether it is the primary key."""

    name: str
    kind: Kind
    size: int | None = None
    null: bool = True
    key: bool = False


COLUMNS = (
    Column("id", "id", null=False, key=True),
    Column("call_id", "string", 64, null=False),
    Column("attempt", "integer", null=False),
    Column("run_id", "string", 64),
    Column("status", "string", 16, null=False),
    Column("provider", "string", 64),
    Column("model", "string", 255),
    Column("model_reported", "string", 255),
    Column("alias", "string", 255, null=False),
    Column("streamed", "boolean", null=False),
    Column("user_key", "string", 255),
    Column("tenant", "string", 255),
    Column("conversation", "string", 255),
    Column("tags", "json", null=False),
    Column("prompt_name", "string", 255),
    Column("prompt_version", "string", 64),
    Column("started_at", "datetime", null=False),
    Column("first_content_at", "datetime"),
    Column("finished_at", "datetime"),
    Column("input_tokens", "integer"),
    Column("output_tokens", "integer"),
    Column("cache_read_tokens", "integer"),
    Column("cache_write_tokens", "integer"),
    Column("cache_write_5m_tokens", "integer"),
    Column("cache_write_1h_tokens", "integer"),
    Column("reasoning_tokens", "integer"),
    Column("input_source", "string", 16, null=False),
    Column("output_source", "string", 16, null=False),
    Column("cost_usd", "decimal"),
    Column("price_version", "string", 64),
    Column("saved_usd", "decimal"),
    Column("stop_reason", "string", 32),
    Column("raw_stop_reason", "string", 64),
    Column("error_type", "string", 64),
    Column("error_code", "string", 64),
    Column("http_status", "integer"),
    Column("request_id", "string", 255),
    Column("worker", "string", 64, null=False),
    Column("content", "json"),
    Column("billing", "json"),
)

WORKER_TABLE = "llmkit_worker"
# A process with open rows, and when it was last seen to live; one more row is the lease of who sweeps.
WORKER_COLUMNS = (
    Column("name", "string", 64, null=False, key=True),
    Column("seen_at", "datetime", null=False),
    Column("holder", "string", 64),
)
# How the worker's name begins of a row over a host's connection: nobody says there that they live.
HOSTS = "host:"
# After how many seconds such a row is taken for lost.
HOSTS_LIVE = 24 * 3600.0
# The row that is no worker: who swept last, and when.
SWEEPER = "sweeper"
# How long a worker without open rows is remembered, in seconds.
REMEMBERED = 24 * 3600.0
# What is this many seconds in the future was written before the clock was set back, and counts as never.
CLOCK_ERROR = 60.0

BUDGET_TABLE = "llmkit_budget"
# What is used and held in each window of each account of a budget. Dollars are billionths; times are whole seconds since 1970. The
# counters of a minute that slides are one text.
BUDGET_COLUMNS = (
    Column("key", "string", 255, null=False, key=True),
    Column("account", "string", 255, null=False),
    Column("starts", "bigint", null=False),
    Column("ends", "bigint"),
    Column("used_usd", "bigint", null=False),
    Column("used_tokens", "bigint", null=False),
    Column("used_requests", "bigint", null=False),
    Column("held_usd", "bigint", null=False),
    Column("held_tokens", "bigint", null=False),
    Column("held_requests", "bigint", null=False),
    Column("seconds", "text"),
    Column("warned", "bigint"),
)
HOLD_TABLE = "llmkit_hold"
# What is held in which accounts, for which row of the ledger. A hold that is settled goes, unless its row may still be corrected: then
# it says what was charged.
HOLD_COLUMNS = (
    Column("id", "string", 128, null=False, key=True),
    Column("call_id", "string", 64),
    Column("attempt", "integer"),
    Column("entries", "text", null=False),
    Column("used", "text"),
    Column("held_at", "bigint", null=False),
    Column("lapses_at", "bigint"),
)

SIZES = {column.name: column.size for column in COLUMNS if column.size is not None}
