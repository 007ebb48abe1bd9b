"""The concurrency limit: who runs, who waits, who is turned away."""

from __future__ import annotations

import pytest

from llmkit.errors import QueueFull
from llmkit.limit import ConcurrencyLimit


def never() -> None:
    raise AssertionError("woken too early")


def test_no_limit_lets_everyone_in() -> None:
    """Without limits nobody waits."""
    limit = ConcurrencyLimit()
    assert all(limit.enter("a", never) for _ in range(1000))
    assert limit.running == 1000


def test_places_go_to_who_waited_longest() -> None:
    """A place that comes free is given in order of arrival."""
    limit = ConcurrencyLimit(per_process=1)
    woken: list[str] = []
    assert limit.enter("a", never)
    assert not limit.enter("a", lambda: woken.append("first"))
    assert not limit.enter("a", lambda: woken.append("second"))
    limit.leave("a")
    assert woken == ["first"]
    assert (limit.running, limit.waiting) == (1, 1)


def test_a_full_provider_does_not_hold_up_another() -> None:
    """Whoever waits for one provider is passed by calls to another."""
    limit = ConcurrencyLimit(per_provider=1)
    assert limit.enter("a", never)
    assert not limit.enter("a", never)
    assert limit.enter("b", never)


def test_full_queue_turns_away() -> None:
    """Beyond the queue's length a call is refused at once, with a wait to try again after."""
    limit = ConcurrencyLimit(per_process=1, queue=1)
    limit.enter("a", never)
    limit.enter("a", never)
    with pytest.raises(QueueFull) as caught:
        limit.enter("a", never)
    assert caught.value.retry_after > 0


def test_withdrawing_after_the_place_was_given() -> None:
    """Who gives up waiting learns whether the place was given meanwhile, so that none is lost."""
    limit = ConcurrencyLimit(per_process=1)
    woken: list[int] = []

    def wake() -> None:
        woken.append(1)

    limit.enter("a", never)
    limit.enter("a", wake)
    limit.leave("a")
    assert woken == [1]
    assert limit.withdraw("a", wake) is False
    limit.leave("a")
    assert limit.running == 0
