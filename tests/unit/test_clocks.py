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


def test_before_content_the_next_look_is_in_time_for_the_idle_clock() -> None:
    """Content that comes right after a look starts a clock that may be shorter than what is left of the first one."""
    clocks = make()
    assert clocks.next_look(1000.0) == 1010.0
    assert clocks.next_look(1005.0) == 1015.0
    assert clocks.next_look(1015.0) == 1020.0
    shorter = Clocks(TIMEOUTS, now=1000.0, deadline=1004.0)
    assert shorter.next_look(1000.0) == 1004.0


def test_after_content_the_next_look_is_when_a_clock_runs_out() -> None:
    """Content moves that further, so that one look an idle time is enough."""
    clocks = make()
    clocks.content(1003.0)
    assert clocks.next_look(1004.0) == 1013.0
    clocks.content(1009.0)
    assert clocks.next_look(1013.0) == 1019.0


def test_without_an_idle_clock_the_next_look_is_at_the_deadline() -> None:
    """Then content starts no shorter clock."""
    clocks = Clocks(Timeouts(first_content=20, idle=None), now=1000.0, deadline=1100.0)
    assert clocks.next_look(1001.0) == 1020.0
    clocks.content(1002.0)
    assert clocks.next_look(1003.0) == 1100.0


def test_an_end_that_was_said_is_waited_for_a_second() -> None:
    """It is the idle clock that ends it then, also before any content."""
    clocks = make()
    clocks.stopping(1002.0)
    assert clocks.deadline == 1003.0
    assert clocks.ran_out(1002.9) is None
    assert clocks.ran_out(1003.0) == "idle"


def test_an_answer_that_goes_on_after_all() -> None:
    """The idle clock runs as before."""
    clocks = make()
    clocks.content(1001.0)
    clocks.stopping(1002.0)
    clocks.stopping(1002.5, stops=False)
    assert clocks.deadline == 1012.5


def test_an_end_is_waited_for_no_longer_than_the_idle_clock() -> None:
    """Where that is shorter than a second; where there is none it is a second."""
    for idle, limit in ((0.25, 0.25), (None, 1.0), (60, 1.0)):
        clocks = Clocks(Timeouts(idle=idle), now=1000.0, deadline=1100.0)
        clocks.content(1001.0)
        clocks.stopping(1002.0)
        assert clocks.deadline == 1002.0 + limit


def test_connecting_waits_for_the_next_clock_at_most() -> None:
    """For the connect clock, or for what is left of another one; never for no time, which would be for ever."""
    assert make().connect_limit(1000.0) == 5
    assert make().connect_limit(1017.0) == 3.0
    assert 0 < make().connect_limit(1020.0) <= 0.01
    assert 0 < make().connect_limit(1021.0) <= 0.01


def test_a_clock_that_does_not_run_is_named_with_the_total() -> None:
    """Its length is asked for where the end of an answer without one is waited for in vain."""
    assert Clocks(Timeouts(idle=None, total=100), now=0.0, deadline=100.0).seconds("idle") == 100
