"""Redis is corrected to what is kept for good: after it was emptied, a process was killed, or a store was away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from llmkit.budget.base import Place, Source
from llmkit.budget.redis import NOTED, RedisBudgets
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
        corrected: how often Redis had been corrected there.
    """

    missing: Units = NOTHING
    unheld: Mapping[str, Entry] = field(default_factory=dict)
    unsettled: Mapping[str, Used] = field(default_factory=dict)
    is_quiet: bool = True
    corrected: str = "0"

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return self.missing != NOTHING or bool(self.unheld) or bool(self.unsettled)

    @property
    def without_excess(self) -> Difference:
        """The same but for what Redis has charged beyond."""
        missing = self.missing
        lacks = Units(
            usd=max(0, missing.usd),
            tokens=max(0, missing.tokens),
            requests=max(0, missing.requests),
        )
        return replace(self, missing=lacks, is_quiet=self.is_quiet and lacks == missing)

    def and_still(self, later: Difference) -> Difference:
        """Return what differs now and later."""
        return replace(
            self,
            missing=Units(
                usd=_still(self.missing.usd, later.missing.usd),
                tokens=_still(self.missing.tokens, later.missing.tokens),
                requests=_still(self.missing.requests, later.missing.requests),
            ),
            unheld={name: entry for name, entry in later.unheld.items() if name in self.unheld},
            unsettled={
                name: used for name, used in later.unsettled.items() if name in self.unsettled
            },
        )


def _still(before: int, later: int) -> int:
    return before if before == later else 0


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
    # What was charged and is not in the database may be on its way there; then nothing is taken back.
    _, waiting = redis.ask(redis.words.unwritten())
    may_take = waiting == 0
    corrected = sum(
        _correct_part(redis, source, pause, partition, may_take=may_take)
        for partition in redis.parts()
    )
    if corrected:
        log.info("%d budgets in Redis were corrected to what the ledger says", corrected)
    return corrected


def _correct_part(
    redis: RedisBudgets,
    source: Source,
    pause: Callable[[float], object],
    partition: str,
    *,
    may_take: bool,
) -> int:
    corrected = kept = 0
    until = ""
    while True:
        # What comes while this goes on is compared the next time: under load there is always something.
        ask = redis.words.dirty(partition, until=until, skip=kept, most=_AT_ONCE)
        _, until, found = redis.ask(ask)
        names = dict(zip(found[::2], found[1::2], strict=True))
        if not names:
            if not kept and redis.is_parted:
                redis.ask(redis.words.drop_part(partition, after=2 * NOTED))
            return corrected
        places = {name: redis.words.place(name, partition) for name in names}
        before = {name: _compare(redis, source, place) for name, place in places.items()}
        if not may_take:
            before = {name: each.without_excess for name, each in before.items()}
        suspects = {name: each for name, each in before.items() if each.differs}
        if suspects:
            pause(PAUSE)
        for name, each in suspects.items():
            wrong = each.and_still(_compare(redis, source, places[name]))
            if wrong.differs:
                if _correct(redis, places[name], wrong):
                    corrected += 1
                else:
                    del before[
                        name
                    ]  # by another process, at the same time: it is compared anew the next time
        quiet = {name: names[name] for name, each in before.items() if each.is_quiet}
        if quiet:
            redis.ask(redis.words.clear(partition, quiet))
        kept += len(names) - len(quiet)


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
        corrected=found.corrected,
    )


def _read(redis: RedisBudgets, place: Place) -> Account | None:
    said, *rest = redis.ask(redis.words.state(place))
    return None if said == "gone" else account(*rest)


def _correct(redis: RedisBudgets, place: Place, wrong: Difference) -> bool:
    """Correct an account; say whether that was done, for another process may have done it meanwhile."""
    wrongs = wrong.missing, wrong.unsettled, wrong.unheld
    ask = redis.words.correct(place, *wrongs, redis.date, corrected=wrong.corrected)
    (said,) = redis.ask(ask)
    return bool(said == "corrected")
