"""The concurrency limit: who runs, who waits, who is turned away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.concurrency.abort import AbortSignal
from llmkit.concurrency.limit import ConcurrencyLimit
from llmkit.concurrency.tasks import async_enter
from llmkit.concurrency.threads import enter
from llmkit.errors import QueueFull, StreamClosed
from support.waits import wait_for


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


STEPS_OF_OTHERS: dict[str, Callable[[ConcurrencyLimit], object]] = {
    "asks": lambda limit: limit.try_enter("b"),
    "enters": lambda limit: limit.enter("b", never),
    "gives up": lambda limit: limit.withdraw("b", never),
    "leaves": lambda limit: limit.leave("a"),
}


@pytest.mark.parametrize("step", STEPS_OF_OTHERS)
def test_a_place_that_was_left_in_the_midst_of_anothers_step(step: str) -> None:
    """A destructor that leaves may not wait for the lock: whoever comes next wakes who has the place now."""
    limit = ConcurrencyLimit(per_process=2)
    woken: list[str] = []
    assert limit.enter("a", never)
    assert limit.enter("a", never)
    assert not limit.enter("a", lambda: woken.append("first"))
    with limit._lock:  # as another thread holds it in the midst of a step
        limit.leave("a")
    assert woken == []
    STEPS_OF_OTHERS[step](limit)
    assert woken == ["first"]


class Model:
    """The limit as one would write it down: every place taken anew after every step."""

    def __init__(self, per_process: int | None, per_provider: int | None, queue: int) -> None:
        self.per_process, self.per_provider, self.queue = per_process, per_provider, queue
        self.running: list[str] = []
        self.waiting: list[tuple[int, str]] = []
        self.given: list[int] = []

    def has_room(self, provider: str) -> bool:
        """Whether this one could run now."""
        if self.per_process is not None and len(self.running) >= self.per_process:
            return False
        return self.per_provider is None or self.running.count(provider) < self.per_provider

    def leave(self, provider: str) -> None:
        """Give a place back, and places to whoever may run, in order of arrival."""
        self.running.remove(provider)
        for number, wanted in list(self.waiting):
            if self.has_room(wanted):
                self.waiting.remove((number, wanted))
                self.running.append(wanted)
                self.given.append(number)


PLACES = st.none() | st.integers(1, 4)
STEP = st.sampled_from(["enter", "enter", "enter", "try", "leave", "leave", "give up"])
# Long enough that most of them fill the queue with calls to several providers.
STEPS = st.lists(st.tuples(STEP, st.integers(0, 11)), min_size=40, max_size=80)


@given(per_process=PLACES, per_provider=PLACES, queue=st.integers(0, 6), steps=STEPS)
def test_no_place_is_lost_and_none_given_twice(
    per_process: int | None, per_provider: int | None, queue: int, steps: list[tuple[str, int]]
) -> None:
    """Whoever comes, leaves or gives up, in whatever order: the counts hold, and nobody waits while there is room for him."""
    limit = ConcurrencyLimit(per_process=per_process, per_provider=per_provider, queue=queue)
    model = Model(per_process, per_provider, queue)
    woken: list[int] = []
    wakes: dict[int, Callable[[], None]] = {}
    for number, (step, chance) in enumerate(steps):
        provider = "abc"[chance % 3]
        if step == "try":
            assert limit.try_enter(provider) == model.has_room(provider)
            model.running += [provider] * model.has_room(provider)
        elif step == "enter" and model.has_room(provider):
            assert limit.enter(provider, never)
            model.running.append(provider)
        elif step == "enter" and len(model.waiting) >= queue:
            with pytest.raises(QueueFull):
                limit.enter(provider, never)
        elif step == "enter":
            wakes[number] = partial(woken.append, number)
            assert not limit.enter(provider, wakes[number])
            model.waiting.append((number, provider))
        elif step == "leave" and model.running:
            provider = model.running[chance % len(model.running)]
            limit.leave(provider)
            model.leave(provider)
        elif step == "give up" and model.waiting:
            waiter, provider = model.waiting.pop(chance % len(model.waiting))
            assert limit.withdraw(provider, wakes[waiter])
            assert not limit.withdraw(provider, wakes[waiter])
        assert woken == model.given
        assert (limit.running, limit.waiting) == (len(model.running), len(model.waiting))
        assert not any(model.has_room(provider) for _, provider in model.waiting)
    while model.running:
        provider = model.running[0]
        limit.leave(provider)
        model.leave(provider)
    assert woken == model.given
    assert (limit.running, limit.waiting) == (0, 0)
    whole = per_process if per_provider is None else min(per_provider, per_process or per_provider)
    for _ in range(whole or 0):
        assert limit.try_enter("a")
    assert limit.try_enter("a") == (whole is None)


def test_a_thread_that_is_stopped_as_its_place_comes() -> None:
    """It gives the place back, which nobody would leave otherwise."""
    limit = ConcurrencyLimit(per_process=1)
    signal = AbortSignal()
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            enter(limit, "a", 30, signal)
        except StreamClosed as error:
            ended.append(error)

    assert limit.try_enter("a")
    signal.add(
        lambda: limit.leave("a")
    )  # the place comes after the stop, and before the thread hears of it
    thread = threading.Thread(target=wait)
    thread.start()
    wait_for(lambda: limit.waiting, 1)
    signal.abort()
    thread.join(30)
    assert len(ended) == 1
    assert (limit.running, limit.waiting) == (0, 0)


def test_a_thread_that_waited_too_long() -> None:
    """It is turned away, and waits no more."""
    limit = ConcurrencyLimit(per_provider=1)
    assert limit.try_enter("a")
    with pytest.raises(QueueFull):
        enter(limit, "a", 0.01, AbortSignal())
    assert (limit.running, limit.waiting) == (1, 0)
    limit.leave("a")
    enter(limit, "a", 0.01, AbortSignal())
    assert (limit.running, limit.waiting) == (1, 0)


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["cancelled", "stopped"])
async def test_a_task_that_is_stopped_as_its_place_comes(how: str) -> None:
    """It gives the place back, to whoever waits behind it."""
    limit = ConcurrencyLimit(per_process=1)
    signal = AbortSignal()
    assert limit.try_enter("a")
    task = asyncio.create_task(async_enter(limit, "a", 30, signal))
    behind = asyncio.create_task(async_enter(limit, "b", 30, AbortSignal()))
    while limit.waiting < 2:
        await asyncio.sleep(0)
    limit.leave("a")
    assert limit.waiting == 1  # the place is the task's, which does not know it yet
    if how == "cancelled":
        task.cancel()
    else:
        signal.abort()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(result, asyncio.CancelledError | StreamClosed)
    await behind
    assert (limit.running, limit.waiting) == (1, 0)


@pytest.mark.anyio
async def test_a_task_that_waited_too_long() -> None:
    """It is turned away, and waits no more."""
    limit = ConcurrencyLimit(per_provider=1)
    assert limit.try_enter("a")
    with pytest.raises(QueueFull):
        await async_enter(limit, "a", 0.01, AbortSignal())
    assert (limit.running, limit.waiting) == (1, 0)
