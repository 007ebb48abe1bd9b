# Generated from llmkit/_async/leases.py. Do not edit.
"""What an attempt holds, and lets go of when it ends."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from llmkit.budget.settler import Charge, may_be_held
from llmkit.concurrency.threads import enter, owner, run_soon
from llmkit.errors import BudgetExceeded, BudgetUnavailable, LedgerUnavailable
from llmkit.ledger.used import used_by
from llmkit.policy.budgets.amounts import UNUSED
from llmkit.policy.budgets.decide import Shortage

if TYPE_CHECKING:
    from llmkit.call import Call
    from llmkit.ledger.base import Ledger
    from llmkit.ledger.record import AttemptRecord, Ending
    from llmkit.open_attempts import OpenAttempt
    from llmkit.policy.budgets.decide import Claim
    from llmkit.runtime import Runtime
    from llmkit.transport.upstream import Upstream

log = logging.getLogger("llmkit.stream")


class Lease:
    """One thing that an attempt holds: acquired before its request goes out, let go of once, when it ends.

    An attempt ends in one of two ways. `settle` and `release` may wait. `abandon` stands for both where nobody can wait: it may
    come from a destructor, and from any thread. An error of theirs is logged and goes no further: the answer is there, and is not
    lost because of it. Whoever waits in `settle` may be cancelled there, and it is not called again: it hands over what it knows
    before it waits.

    Attributes:
        settles: whether how a complete answer ended has to be known to it before it is released. If not, `settle` may be left out.
    """

    settles = True

    def acquire(self) -> None:
        """Take it. What is taken in part is given back before an error leaves this.

        A `ProviderError` is tried again, as a failure of the provider's would be; any other error ends the call.
        """

    def settle(self, ending: Ending) -> None:
        """Take note of how the attempt ended. All leases are settled before the first is released."""

    def try_release(self) -> bool:
        """Let go of it if nothing has to be waited for; False if something has."""
        return True

    def release(self, ending: Ending) -> None:
        """Let go of it."""
        self.try_release()

    def abandon(self, ending: Ending) -> None:
        """Settle it and let go of it, without waiting."""
        self.try_release()


class Leases:
    """The leases of one attempt. They are let go of in reverse order, each whatever becomes of the others."""

    __slots__ = ("_held", "_settled", "has_to_settle")

    def __init__(self) -> None:
        self._held: list[Lease] = []
        self._settled = False
        self.has_to_settle = False

    def acquire(self, lease: Lease) -> None:
        """Take one more."""
        lease.acquire()
        self._held.append(lease)
        self.has_to_settle = self.has_to_settle or lease.settles

    def settle(self, ending: Ending) -> None:
        """Tell each how the attempt ended. The first ending counts."""
        if not self._settled:
            self._settled = True
            self._each(self._held, lambda lease: lease.settle(ending))

    def try_release(self) -> bool:
        """Let go of all for which nothing has to be waited for; False if some are left."""
        if self.has_to_settle and not self._settled:
            return False
        while self._held and self._held[-1].try_release():
            self._held.pop()
        return not self._held

    def close(self, ending: Ending) -> None:
        """Settle all, and let go of them."""
        try:
            self.settle(ending)
        finally:
            held, self._held = self._held, []
            self._each(held, lambda lease: lease.release(ending))

    def abandon(self, ending: Ending) -> None:
        """Settle all and let go of them, without waiting."""
        self._settled = True
        while self._held:
            try:
                self._held.pop().abandon(ending)
            except Exception:
                log.exception("a dropped stream could not let go of all that it held")

    @staticmethod
    def _each(leases: list[Lease], end: Callable[[Lease], None]) -> None:
        """Do it to them all, the last one first, and be cancelled only after that."""
        failure: BaseException | None = None
        for lease in reversed(leases):
            try:
                end(lease)
            except Exception:
                log.exception("an attempt could not let go of all that it held")
            except BaseException as error:  # noqa: BLE001  # it is raised below
                failure = failure or error
        if failure is not None:
            raise failure


class Place(Lease):
    """A place among the calls that may run at once."""

    settles = False

    def __init__(self, runtime: Runtime, call: Call, provider: str) -> None:
        self._limit = runtime.limit
        self._seconds = runtime.config.concurrency.queue_timeout
        self._signal = call.signal
        self._provider = provider

    def acquire(self) -> None:
        """Wait for a place.

        Raises:
            QueueFull: none came free, or too many wait already.
            StreamClosed: the call was aborted.
        """
        if not self._limit.try_enter(self._provider):
            enter(self._limit, self._provider, self._seconds, self._signal)

    def try_release(self) -> bool:
        """Leave it."""
        self._limit.leave(self._provider)
        return True


class Hold(Lease):
    """What an attempt holds of budgets that are kept elsewhere than in the ledger's database."""

    def __init__(
        self, runtime: Runtime, record: AttemptRecord, call: Call, claims: tuple[Claim, ...]
    ) -> None:
        budgets = runtime.budgets
        assert budgets is not None and budgets.redis is not None and budgets.settler is not None  # noqa: S101, PT018  # or it is not made
        self._budgets = budgets.redis
        self._settler = budgets.settler
        self._allowance = budgets.allowance
        self._ledger = runtime.ledger
        self._record = record
        self._trace = call.trace
        self._claims = claims
        self._unasked: tuple[Claim, ...] = ()
        self._is_held = False

    def acquire(self) -> None:
        """Hold it; if there is no room, the attempt gets a row that says so.

        Raises:
            BudgetExceeded: there is no room.
            BudgetUnavailable: the budgets cannot be asked.
            LedgerUnavailable: the row of a refusal is not stored.
        """
        try:
            # Of the same call: what it did not use is room for this one.
            last_id = self._record.last_hold_id
            last = None if last_id is None else self._settler.waiting(last_id)
            if last is not None:
                self._budgets.charge(last)
            granted = self._budgets.grant(self._record.hold_id, self._claims)
        except BudgetUnavailable as error:
            if self._allowance is None or not self._allowance.take(self._claims):
                if may_be_held(error):
                    self._settler.settle_soon(self._unused)
                raise
            granted, self._unasked = self._budgets.date, self._claims
        except BaseException:
            # Whoever was cancelled in the meantime does not know whether it is held.
            self._settler.settle_soon(self._unused)
            raise
        else:
            if self._allowance is not None:
                self._allowance.renew()
        if isinstance(granted, Shortage):
            if self._ledger is not None:
                self._trace.has_row = True
                self._ledger.record(*self._record.refused(BudgetExceeded.type))
            raise granted.error
        self._record.granted_at = granted
        self._trace.counted.update(claim.key for claim in self._claims)
        self._is_held = True

    @property
    def _unused(self) -> Charge:
        partition = self._claims[0].partition
        return Charge(self._record.hold_id, UNUSED, partition=partition, may_come=True)

    def settle(self, ending: Ending) -> None:
        """Charge what was used. Nobody waits for that."""
        self.abandon(ending)

    def try_release(self) -> bool:
        """Say whether it is settled."""
        return not self._is_held

    def abandon(self, ending: Ending) -> None:
        """Charge what was used."""
        if self._is_held:
            self._is_held = False
            closing = ending.closing
            self._settler.settle_soon(
                Charge(
                    self._record.hold_id,
                    used_by(closing),
                    unasked=self._unasked,
                    granted_at=self._record.granted_at,
                    partition=self._claims[0].partition,
                )
            )


class Row(Lease):
    """A row of the ledger, with what it holds of budgets. It is open while the attempt runs."""

    def __init__(
        self, ledger: Ledger, record: AttemptRecord, call: Call, claims: tuple[Claim, ...]
    ) -> None:
        self._ledger = ledger
        self._record = record
        self._trace = call.trace
        self._claims = claims
        self._is_open = False

    def acquire(self) -> None:
        """Write the row, and hold what it asks of budgets.

        Raises:
            BudgetExceeded: one of them has no room. The row says so.
            BudgetUnavailable: they cannot be asked.
            LedgerUnavailable: it is not certain that the row is stored.
        """
        self._trace.has_row = True  # whoever leaves meanwhile, the ledger closes the row
        self._ledger.begin(self._record.opening(self._claims))
        self._is_open = True
        self._trace.counted.update(claim.key for claim in self._claims)

    def settle(self, ending: Ending) -> None:
        """Close the row. It is in the writer's hands before anything is waited for."""
        self._is_open = False
        try:
            self._ledger.finish(ending.closing)
        except LedgerUnavailable as unavailable:
            log.warning("a row is not closed yet: %s", unavailable)

    def try_release(self) -> bool:
        """Say whether it is closed."""
        return not self._is_open

    def abandon(self, ending: Ending) -> None:
        """Close the row, if it is open, without waiting for that."""
        if self._is_open:
            self._is_open = False
            self._ledger.finish_soon(ending.closing)

    def note(self, ending: Ending) -> None:
        """Write down an ending that another one may still correct."""
        if self._is_open:
            self._ledger.finish_soon(ending.closing)


class Entry(Lease):
    """An entry in the runtime's list of open attempts, by which whoever ends the loop or the process finds them."""

    settles = False

    def __init__(self, runtime: Runtime, attempt: OpenAttempt) -> None:
        self._list = runtime.open_attempts
        self._attempt = attempt

    def acquire(self) -> None:
        """Enter it."""
        self._list.enter(self._attempt, owner())

    def settle(self, ending: Ending) -> None:
        """Strike it out: nobody else is to end it now."""
        self._list.strike_out(self._attempt)

    def try_release(self) -> bool:
        """Strike it out."""
        self._list.strike_out(self._attempt)
        return True


class Connection(Lease):
    """An exchange with the provider over a connection."""

    settles = False

    def __init__(self, runtime: Runtime, upstream: Upstream) -> None:
        self._tasks = runtime.tasks
        self._upstream = upstream
        self._owner = owner()

    def settle(self, ending: Ending) -> None:
        """Cut it if nobody wants the answer any more, before anything is waited for: so the provider stops at once."""
        if ending.status == "cancelled":
            self._upstream.abort()

    def try_release(self) -> bool:
        """Let the connection serve again, if its answer is over."""
        return self._upstream.try_release()

    def release(self, ending: Ending) -> None:
        """Let the connection serve again, or close it."""
        self._upstream.close(drain=ending.status == "finished")

    def abandon(self, ending: Ending) -> None:
        """Close the connection, in its own loop and soon."""
        run_soon(self._owner, partial(self._upstream.close, drain=False), self._tasks)
