"""The facts of one attempt: its dates, by the clock that it is given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from llmkit.events import Finish, TextDelta
from llmkit.ledger.record import AttemptRecord
from llmkit.policy.clocks import Clocks, Timeouts
from llmkit.policy.plan import Route, Try
from llmkit.policy.pricing import Prices
from llmkit.response import Accumulator
from llmkit.usage import Usage
from support.decoding import PROVIDERS, call

START = datetime(2026, 5, 17, 12, 30, tzinfo=UTC)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


def test_dates_are_counted_from_the_beginning() -> None:
    """The date is read once; what follows is as many seconds later as the clock has run, whatever the date is meanwhile."""
    clock, dates = Clock(), [START]
    clocks = Clocks(Timeouts(), now=clock.now, deadline=clock.now + 600)
    record = AttemptRecord(
        call(),
        Try(Route(PROVIDERS["anthropic"], "m"), 1, 0.0),
        clocks=clocks,
        prices=Prices(),
        clock=clock,
        now=dates.pop,
    )
    assert record.opening().started_at == START
    clock.now += 1.5
    clocks.content(clock.now)
    clock.now += 2
    answer = Accumulator()
    finish = Finish("end", "end_turn", Usage(input_tokens=1, output_tokens=2))
    answer.add([TextDelta("Hi"), finish])
    closing = record.closing("finished", None, None, answer)
    assert closing.first_content_at == START + timedelta(seconds=1.5)
    assert closing.finished_at == START + timedelta(seconds=3.5)
    assert record.complete(finish, answer) is finish
