"""The settings of the ledger."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, model_validator

from llmkit.config.functions import REDACT, function
from llmkit.config.sections import Section


class LedgerConfig(Section):
    """Where the calls are recorded. A call whose row cannot be written is not made.

    While the database is away the rows go to the outbox, a file in the folder `outbox` (None: beside a SQLite file, else the system's
    folder for the state of apps), and follow when it is back. With `on_store_error` "refuse" new calls are refused meanwhile.
    If `database` is None, the app's own database is used; without a framework, nothing is recorded. `connection` says which
    connection writes the rows: "own" is a connection of llmkit's, so that the app's rollback does not remove them; "host" is the
    app's connection, in the app's transaction.
    With `store_content` a row keeps the messages and the answer, after `redact`: a function, or its dotted path, that takes them as a
    dict (system, messages, answer) and returns what is kept, or None for nothing.
    """

    database: Annotated[str | None, Field(repr=False)] = None
    connection: Literal["own", "host"] = "own"
    on_store_error: Literal["outbox", "refuse"] = "outbox"
    outbox: Annotated[str, Field(min_length=1)] | None = None
    store_content: StrictBool = False
    redact: Annotated[Any, AfterValidator(partial(function, shape=REDACT))] = None

    @model_validator(mode="after")
    def _redacts_what_is_kept(self) -> Self:
        if self.redact is not None and not self.store_content:
            raise ValueError(
                "redact is set, but nothing is stored: set store_content to True, or remove redact"
            )
        return self
