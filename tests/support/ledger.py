"""Rows to write, and what a test reads back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from llmkit.ledger.database import database_url, new_engine
from llmkit.ledger.row import Closing, Opening
from llmkit.ledger.schema import usage as table
from llmkit.usage import Usage

START = datetime(2026, 5, 17, 12, 30, 0, 123456, tzinfo=UTC)

_OPENING = Opening(
    call_id="call-1",
    attempt=1,
    run_id=None,
    user_key="42",
    tenant=None,
    conversation=None,
    tags={},
    alias="default",
    provider="anthropic",
    model="claude-sonnet-4-5",
    streamed=True,
    started_at=START,
)
_CLOSING = Closing(
    call_id="call-1",
    attempt=1,
    status="finished",
    usage=Usage(
        input_tokens=100, output_tokens=20, input_source="reported", output_source="reported"
    ),
    cost=Decimal("0.000600000"),
    price_version="genai-prices 0.2.3",
    stop_reason="end",
    raw_stop_reason="end_turn",
    error_type=None,
    error_code=None,
    http_status=200,
    request_id="req_1",
    model_reported="claude-sonnet-4-5-20250929",
    first_content_at=START + timedelta(seconds=0.5),
    finished_at=START + timedelta(seconds=2),
)


def opening(call_id: str = "call-1", **fields: Any) -> Opening:
    """Return an opening; fields not given are of an ordinary stream."""
    return replace(_OPENING, call_id=call_id, **fields)


def closing(call_id: str = "call-1", **fields: Any) -> Closing:
    """Return a closing; fields not given are of a stream that finished."""
    return replace(_CLOSING, call_id=call_id, **fields)


@contextmanager
def connected(database: str) -> Iterator[sa.Connection]:
    """Connect to a database as llmkit does."""
    engine = new_engine(database_url(database))
    with engine.connect() as connection:
        yield connection


def read(database: str) -> list[dict[str, Any]]:
    """Return all rows in the order they were begun, through the table's own types."""
    with connected(database) as connection:
        rows = connection.execute(sa.select(table).order_by(table.c.id))
        return [dict(row) for row in rows.mappings()]


def statuses(database: str) -> dict[str, str]:
    """Return the status of each call."""
    return {row["call_id"]: row["status"] for row in read(database)}


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold a SQLite file's write lock."""
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()
