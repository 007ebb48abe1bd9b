"""Redis is corrected to what is kept for good: after it was emptied, a process was killed, or a store was away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from llmkit.budget.base import Place, Source
from llmkit.budget.redis import RedisBudgets
from llmkit.budget.script import Account, account
from llmkit.policy.budgets.accounts import Entry
from llmkit.policy.budgets.amounts import NOTHING, Units, Used

log = logging.getLogger("llmkit.budget")

# What differs at one moment and no more a while later was on its way: how long that is, in seconds.
PAUSE = 1.0
# How many accounts are compared at a time.
_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What Redis says of an account, against what is kept for good.

    Attributes:
        missing: what is charged, and not in Redis.
        unheld: what is held, and not in Redis.
        unsettled: what is held in Redis, and was charged.
        is_quiet: whether nothing is held in Redis.
    """

    missing: Units = NOTHING
    unheld: Mapping[str, Entry] = field(default_factory=dict)
    unsettled: Mapping[str, Used] = field(default_factory=dict)
    is_quiet: bool = True

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return self.missing != NOTHING or bool(self.unheld) or bool(self.unsettled)

    def and_still(self, later: Difference) -> Difference:
        """Return what differs now and later."""
        return Difference(
            missing=self.missing if self.missing == later.missing else NOTHING,
            unheld={name: entry for name, entry in later.unheld.items() if name in self.unheld},
            unsettled={
                name: used for name, used in later.unsettled.items() if name in self.unsettled
            },
        )


def reconcile(redis: RedisBudgets, source: Source, pause: Callable[[float], object]) -> int:
    """Correct the accounts in Redis in which something was held since it was done last, over all processes.

    Args:
        redis: what is corrected.
        source: what is right.
        pause: waits for so many seconds.

    Returns:
        How many accounts were wrong.

    Raises:
        BudgetUnavailable: one of them does not answer. What was not compared yet is compared the next time.
    """
    corrected = sum(_correct_part(redis, source, pause, partition) for partition in redis.parts())
    if corrected:
        log.info("%d budgets in Redis were corrected to what the ledger says", corrected)
    return corrected


def _correct_part(
    redis: RedisBudgets, source: Source, pause: Callable[[float], object], partition: str
) -> int:
    corrected, seen = 0, 0
    most: int | None = None
    again: set[str] = set()
    try:
        # What comes while this goes on is compared the next time: under load there is always something.
        while most is None or seen < most:
            _, found, size = redis.ask(redis.words.dirty(partition, _AT_ONCE))
            most = size if most is None else most
            seen += len(found)
            names = set(found) - again
            if not names:
                break
            again |= names  # or what is refused here is forgotten
            places = {name: redis.words.place(name, partition) for name in names}
            before = {name: _compare(redis, source, place) for name, place in places.items()}
            suspects = {name: found for name, found in before.items() if found.differs}
            if suspects:
                pause(PAUSE)
            for name, found in suspects.items():
                wrong = found.and_still(_compare(redis, source, places[name]))
                if wrong.differs:
                    _correct(redis, places[name], wrong)
                    corrected += 1
            again -= {name for name, found in before.items() if found.is_quiet}
    finally:
        left = sorted(again)
        for start in range(0, len(left), _AT_ONCE):
            redis.ask(redis.words.mark(partition, left[start : start + _AT_ONCE]))
    return corrected


def _compare(redis: RedisBudgets, source: Source, place: Place) -> Difference:
    found = _read(redis, place)
    if found is None:
        return Difference()
    audit = source.audit(place, [*found.held, *found.done])
    if audit.used is None:
        # Its first row is on its way, or this is another database than the app's: what was used is not to be forgotten.
        return Difference(is_quiet=not found.held and found.used == NOTHING)
    expected = audit.used
    unsettled = {name: audit.settled[name] for name in found.held if name in audit.settled}
    for name, used in unsettled.items():
        expected -= used.or_held(found.held[name])
    for name, charged in found.done.items():
        expected += charged
        if name in audit.settled:
            expected -= audit.settled[name].or_held(charged)
    known = found.held.keys() | found.done.keys()
    return Difference(
        missing=expected - found.used,
        unheld={name: entry for name, entry in audit.held.items() if name not in known},
        unsettled=unsettled,
        is_quiet=not found.held,
    )


def _read(redis: RedisBudgets, place: Place) -> Account | None:
    said, *rest = redis.ask(redis.words.state(place))
    return None if said == "gone" else account(*rest)


def _correct(redis: RedisBudgets, place: Place, wrong: Difference) -> None:
    wrongs = wrong.missing, wrong.unsettled, wrong.unheld
    redis.ask(redis.words.correct(place, *wrongs, redis.date))
