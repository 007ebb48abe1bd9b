"""The rows of calls that made no attempt: each has one, as attempt 0, which costs nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from llmkit.ledger.record import error_type, opening
from llmkit.ledger.row import Closing, Opening, status_of, unsent
from llmkit.usage import Usage

if TYPE_CHECKING:
    from llmkit.call import Call
    from llmkit.ledger.content import Contents
    from llmkit.response import Accumulator, Status

_NOTHING_USED = Usage(
    input_tokens=0, output_tokens=0, input_source="reported", output_source="reported"
)


def unmade(
    call: Call, error: BaseException, *, at: datetime, contents: Contents | None = None
) -> tuple[Opening, Closing]:
    """Make the row of a call that was refused, or cancelled before an attempt could be made."""
    row = opening(call, attempt=0, provider=None, model=None, at=at)
    status: Status = "cancelled" if status_of(error, complete=False) == "cancelled" else "refused"
    end = unsent(row, status, 0.0, error_type=error_type(error))
    return row, end if contents is None else replace(end, content=contents.of(call))


def given(
    call: Call,
    answer: Accumulator,
    status: Status,
    *,
    provider: str | None,
    model: str | None,
    saved: Decimal | None,
    began: datetime,
    first_content_at: datetime | None,
    ended: datetime,
    error: BaseException | None = None,
    contents: Contents | None = None,
) -> tuple[Opening, Closing]:
    """Make the row of a call that was given an answer for which others have paid; `saved` is what they have, in US dollars, if that is known."""
    row = opening(call, attempt=0, provider=provider, model=model, at=began)
    finish = answer.finish
    end = Closing(
        call_id=call.call_id,
        attempt=0,
        status=status,
        finished_at=ended,
        first_content_at=first_content_at,
        usage=_NOTHING_USED,
        cost=Decimal(0),
        saved=saved,
        stop_reason=finish.stop_reason if finish else None,
        raw_stop_reason=finish.raw_stop_reason if finish else None,
        error_type=error_type(error),
        model_reported=model,
        content=contents.of(call, answer) if contents else None,
    )
    return row, end
