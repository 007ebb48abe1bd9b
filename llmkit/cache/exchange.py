"""The thread that tells other processes of the calls that this one makes, and hears of theirs."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, cast

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
# How long its end is waited for: as long as Redis may take.
_LAST = 1.0


class SharedFlight(Protocol):
    """A flight, as the thread sees it. What it is told here may come from any thread.

    Attributes:
        said: what was said so far.
        is_over: whether nothing comes any more.
    """

    said: list[Event]
    is_over: bool

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
        is_heard: whether others listen.
        is_lost: whether another process makes it now.
    """

    def __init__(self, flight: SharedFlight, key: Key, token: str, *, leads: bool) -> None:
        self.flight = flight
        self.key = key
        self.token = token
        self.leads = leads
        self.begins = 0
        self.at = 0
        self.is_heard = False
        self.is_lost = False
        self.renewed = 0.0

    @property
    def untold(self) -> tuple[int, list[Event]]:
        """What the others were not told yet, and the number of its first event."""
        at = self.at
        return at, self.flight.said[self.begins + at :]


class Exchange:
    """Has one thread for all calls that this process shares with others, as long as there are any.

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
        self._here: dict[int, _Here] = {}  # a fork has its own

    def add(self, share: Share) -> None:
        """Tell others of a call, or hear of theirs, until it is over."""
        share.renewed = self._clock()
        here = self._here.get(os.getpid()) or self._here.setdefault(os.getpid(), _Here())
        with here.changed:
            here.shares.append(share)
            if here.thread is None:
                here.thread = threading.Thread(
                    target=self._work, args=(here,), name="llmkit-flights", daemon=True
                )
                here.thread.start()

    def close(self) -> None:
        """Wait until the thread has ended, if no call is shared any more: nothing asks Redis then."""
        here = self._here.get(os.getpid())
        if here is None:
            return
        with here.changed:
            thread = here.thread
            is_idle = all(share.flight.is_over for share in here.shares)
        if thread is not None and is_idle:
            thread.join(_LAST)

    def _work(self, here: _Here) -> None:
        while True:
            with here.changed:
                shares = list(here.shares)
                if not shares:
                    here.thread = None
                    return
            gone = [share for share in shares if not self._step(share)]
            with here.changed:
                here.shares = [share for share in here.shares if share not in gone]
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
        """Tell the others; where Redis does not answer, they are told later."""
        if not (share.flight.is_followed or share.is_heard):
            share.flight.stop()
        at, untold = share.untold
        del untold[_AT_ONCE:]
        if untold and type(untold[-1]) is Finish:  # which is said with what is known then
            untold.pop()
        now = self._clock()
        if not untold and now - share.renewed < _RENEW:
            return True
        try:
            is_mine, share.is_heard = self.calls.tell(share.key, share.token, at, written(untold))
        except CacheUnavailable:
            return True
        if not is_mine:
            return self._alone(share)
        share.at = at + len(untold)
        share.renewed = now
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
        if news.token != share.token:
            flight.reset()
            share.token, share.at = news.token, 0
        if news.leads:
            share.leads, share.begins, share.renewed = True, len(flight.said), self._clock()
            flight.begin_soon()
        return True

    def _heard(self, flight: SharedFlight, share: Share, told: list[Told]) -> bool:
        share.at += len(told)
        last = told[-1]
        events = cast("list[Event]", told[:-1] if isinstance(last, Known | Failure) else told)
        flight.hear(events, last if isinstance(last, Known) else None)
        if isinstance(last, Known | Failure):
            flight.end(error_of(last) if isinstance(last, Failure) else None)
            return False
        return True

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


class _Here:
    """What one process has."""

    def __init__(self) -> None:
        self.changed = threading.Lock()
        self.shares: list[Share] = []
        self.thread: threading.Thread | None = None
