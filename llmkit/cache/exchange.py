"""The thread that tells other processes of the calls that this one makes, and hears of theirs."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from llmkit.cache import entry
from llmkit.cache.base import CacheUnavailable
from llmkit.cache.told import Failure, Known, error_of, read, written
from llmkit.events import Finish
from llmkit.tracebacks import place_of

if TYPE_CHECKING:
    from llmkit.cache.key import Key
    from llmkit.cache.shared import SharedCalls
    from llmkit.cache.told import Told
    from llmkit.events import Event

log = logging.getLogger("llmkit.cache")

# How often there may be something new, in seconds; and how often it is said that a call is still made.
_EVERY = 0.03
_RENEW = 0.3
_AT_ONCE = 1000
# How many calls a thread looks after: each takes a round trip, and all of them have to be told of within the lease.
_MOST = 50
# How long its end is waited for: as long as Redis may take.
_LAST = 1.0


class Pulse(Protocol):
    """Whether something goes on."""

    def beats(self) -> bool:
        """Say so."""


class Bell(Protocol):
    """Wakes who waits."""

    def ring(self) -> None:
        """Wake them."""


class SharedFlight(Protocol):
    """A flight, as the thread sees it. What it is told here may come from any thread.

    Attributes:
        said: what was said so far.
        is_over: whether nothing comes any more.
    """

    said: list[Event]
    is_over: bool

    @property
    def pulse(self) -> Pulse:
        """Whether the thread, or the event loop, that it is read in goes on."""

    @property
    def bell(self) -> Bell:
        """What rings when there is something new."""

    @property
    def is_followed(self) -> bool:
        """Whether anybody in this process wants it."""

    def hear(self, events: Sequence[Event], known: Known | None = None) -> None:
        """Take in what was said elsewhere, and, when that was all, what is known of it."""

    def reset(self) -> None:
        """Say that what was said so far is to be forgotten, if anything was."""

    def begin_soon(self) -> None:
        """Make a call of this process'."""

    def end(self, error: BaseException | None = None) -> None:
        """Take note that nothing comes any more."""

    def stop(self) -> None:
        """Stop the call, if nobody in this process wants it."""


class Share:
    """The part that a process has in a call of several.

    Args:
        flight: the call, in this process.
        key: what is asked.
        token: of the call.
        leads: whether it is this process that makes it.

    Attributes:
        begins: where in what the flight has said the call begins.
        at: how many of its events the others were told, or were heard.
        is_heard: whether others listen, as far as that is known. As long as nobody does they are told only that the call is still made.
        goes_on: whether it goes on for others, when nobody in this process wants it any more.
        is_lost: whether another process makes it now.
        renewed: when the others were told last that it is still made, by the exchange's clock.
    """

    def __init__(self, flight: SharedFlight, key: Key, token: str, *, leads: bool) -> None:
        self.flight = flight
        self.key = key
        self.token = token
        self.leads = leads
        self.begins = 0
        self.at = 0
        self.is_heard = False
        self.goes_on = False
        self.is_lost = False
        self.renewed = 0.0

    @property
    def untold(self) -> tuple[int, list[Event]]:
        """What the others were not told yet, and the number of its first event."""
        at = self.at
        return at, self.flight.said[self.begins + at :]


class Exchange:
    """Has a thread for the calls that this process shares with others, one for each fifty, as long as there are any.

    Args:
        calls: where they are shared.
        new_id: makes tokens.
        clock: gives the time in seconds.
    """

    def __init__(
        self,
        calls: SharedCalls,
        *,
        new_id: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.calls = calls
        self.new_id = new_id
        self._clock = clock
        self._lanes: dict[int, list[_Lane]] = {}  # a fork has its own

    def add(self, share: Share) -> None:
        """Tell others of a call, or hear of theirs, until it is over."""
        share.renewed = self._clock()
        lanes = self._lanes.setdefault(os.getpid(), [])
        for lane in [*lanes, _Lane()]:
            with lane.changed:
                if len(lane.shares) >= _MOST:
                    continue
                lane.shares.append(share)
                if lane not in lanes:
                    lanes.append(lane)
                if lane.thread is None:
                    thread = threading.Thread(
                        target=self._work, args=(lane,), name="llmkit-flights", daemon=True
                    )
                    try:
                        thread.start()
                    except RuntimeError:  # there are too many; the call is this process' alone
                        lane.shares.remove(share)
                        raise
                    lane.thread = thread
                return

    def close(self) -> None:
        """Wait until the thread has ended, if no call is shared any more: nothing asks Redis then."""
        for lane in list(self._lanes.get(os.getpid(), ())):
            with lane.changed:
                thread = lane.thread
                is_idle = all(share.flight.is_over for share in lane.shares)
            if thread is not None and is_idle:
                thread.join(_LAST)

    def _work(self, lane: _Lane) -> None:
        while True:
            with lane.changed:
                shares = list(lane.shares)
                if not shares:
                    lane.thread = None
                    return
            gone = [share for share in shares if not self._step(share)]
            with lane.changed:
                lane.shares = [share for share in lane.shares if share not in gone]
            del shares, gone
            time.sleep(_EVERY)

    def _step(self, share: Share) -> bool:
        """Do what there is to do for one; False if that was the last."""
        if share.flight.is_over:
            return False
        try:
            return self._tell(share) if share.leads else self._hear(share)
        except Exception as error:  # noqa: BLE001  # whatever Redis has said: nobody is to wait for it
            if not isinstance(error, CacheUnavailable):
                log.error("a call is shared no longer: %s", place_of(error))  # noqa: TRY400  # it may quote the answer
            return self._alone(share)

    def _tell(self, share: Share) -> bool:
        """Tell the others; where Redis does not answer, they are told later. Of a call that does not go on they are not told that it does."""
        flight = share.flight
        if not flight.pulse.beats():
            return True
        at, untold = share.untold
        del untold[_AT_ONCE if share.is_heard else 0 :]
        if untold and type(untold[-1]) is Finish:  # which is said with what is known then
            untold.pop()
        now = self._clock()
        is_left = not flight.is_followed
        if not untold and now - share.renewed < _RENEW and (share.goes_on or not is_left):
            return True
        try:
            is_mine, is_heard = self.calls.tell(share.key, share.token, at, written(untold))
            share.is_heard = share.is_heard or is_heard
        except CacheUnavailable:
            if is_left:  # and who listens elsewhere hears nothing
                flight.stop()
            return True
        if not is_mine:
            return self._alone(share)
        share.at = at + len(untold)
        share.renewed = now
        if is_left and not is_heard:
            flight.stop()
        elif is_left and not share.goes_on:
            share.goes_on = True
            flight.bell.ring()
        return True

    def _hear(self, share: Share) -> bool:
        """Hear what another process says; where none does any more, the call is this one's."""
        flight = share.flight
        if not flight.is_followed:
            flight.end()
            return False
        mine = self.new_id()
        news = self.calls.hear(share.key, share.token, share.at, mine)
        if news.told:
            return self._heard(flight, share, read(news.told))
        if news.kept is not None:
            return self._given(share, news.kept)
        if news.token != share.token:
            flight.reset()
            share.token, share.at = news.token, 0
        if news.leads:
            share.leads, share.begins, share.renewed = True, len(flight.said), self._clock()
            flight.begin_soon()
        return True

    def _heard(self, flight: SharedFlight, share: Share, told: list[Told]) -> bool:
        if isinstance(told[-1], Finish):  # which is taken in with what is known then
            told.pop()
            if not told:
                raise ValueError("nothing follows the end")
        share.at += len(told)
        last = told[-1]
        events = cast("list[Event]", told[:-1] if isinstance(last, Known | Failure) else told)
        flight.hear(events, last if isinstance(last, Known) else None)
        if isinstance(last, Known | Failure):
            flight.end(error_of(last) if isinstance(last, Failure) else None)
            return False
        return True

    def _given(self, share: Share, data: bytes) -> bool:
        """Take the answer that is kept, for what was said of it is gone."""
        kept = entry.read(str(share.key), data)
        if kept is None:
            return self._alone(share)
        share.flight.reset()
        share.flight.hear(kept.events(), kept.known)
        share.flight.end()
        return False

    def _alone(self, share: Share) -> bool:
        """Have no part any more in what others do: the call goes on for those of this process."""
        share.is_lost = True
        if not share.leads:
            share.leads = True
            share.flight.reset()
            share.flight.begin_soon()
        elif not share.flight.is_followed:
            share.flight.stop()
        return False


class _Lane:
    """One thread, and the calls that it tells of and hears of."""

    def __init__(self) -> None:
        self.changed = threading.Lock()
        self.shares: list[Share] = []
        self.thread: threading.Thread | None = None
