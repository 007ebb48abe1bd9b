"""The clocks: which one runs out first."""

from __future__ import annotations

from llmkit.policy.clocks import Clocks, Timeouts

TIMEOUTS = Timeouts(connect=5, first_content=20, idle=10, total=100)


def make() -> Clocks:
    return Clocks(TIMEOUTS, now=1000.0, deadline=1100.0)


def test_first_content_runs_until_content_comes() -> None:
    """Before any content the first-content clock is next."""
    clocks = make()
    assert clocks.deadline == 1020.0
    assert clocks.ran_out(1019.9) is None
    assert clocks.ran_out(1020.0) == "first_content"


def test_content_resets_idle() -> None:
    """After content the idle clock runs, and each content starts it anew."""
    clocks = make()
    clocks.content(1005.0)
    assert clocks.deadline == 1015.0
    clocks.content(1012.0)
    assert clocks.ran_out(1021.9) is None
    assert clocks.ran_out(1022.0) == "idle"
    assert clocks.first_content_at == 1005.0


def test_what_is_waited_for_before_it_is_sent() -> None:
    """A place in the queue and the row of the books are waited for, and the provider is not silent meanwhile; the total clock runs."""
    clocks = make()
    clocks.sent(1015.0)
    assert clocks.ran_out(1034.9) is None
    assert clocks.ran_out(1035.0) == "first_content"
    clocks.sent(1095.0)
    assert clocks.ran_out(1100.0) == "total"


def test_total_wins_when_it_is_over() -> None:
    """The total clock is never reset and is named when it has run out."""
    clocks = make()
    clocks.content(1095.0)
    assert clocks.deadline == 1100.0
    assert clocks.ran_out(1100.0) == "total"


def test_whole_answers_know_only_total() -> None:
    """Without first-content and idle clocks only the deadline counts."""
    clocks = Clocks(Timeouts(first_content=None, idle=None, total=100), now=1000.0, deadline=1100.0)
    assert clocks.deadline == 1100.0
    assert clocks.ran_out(1099.0) is None


def test_a_pause_of_the_reader_is_not_silence() -> None:
    """Time in which nobody reads does not count as idle, but gives no more time for the first content."""
    clocks = make()
    clocks.paused(15.0)
    assert clocks.deadline == 1020.0
    clocks.content(1015.0)
    clocks.paused(45.0)
    assert clocks.deadline == 1070.0


def test_seconds_name_the_setting() -> None:
    """The clock's length is known by its name, for the error."""
    clocks = make()
    assert [clocks.seconds(name) for name in ("connect", "first_content", "idle", "total")] == [
        5,
        20,
        10,
        100,
    ]
