"""What the script of the budgets in Redis is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from llmkit.budget.base import Place, State
from llmkit.policy.budgets.accounts import Balance, Crossing, Entry, Mark
from llmkit.policy.budgets.amounts import UNITS, Units, Used
from llmkit.policy.budgets.decide import Claim
from llmkit.policy.budgets.times import CORRECTED, LAPSE
from llmkit.policy.budgets.windows import Window
from llmkit.redis.asking import Script

# How long an account is kept after its window, in seconds; and that of a minute that slides, whose seconds count for one.
_LOOKED_BACK = 2 * 24 * 3600
_SLIDING = 3600
# For how long it is known that what is held no more is not to be held, in seconds: whoever was cancelled may have asked for it a moment ago.
_MAY_COME = "60"


@cache
def script() -> Script:
    """Read the script."""
    return Script(files("llmkit.budget").joinpath("budgets.lua").read_text(encoding="utf-8"))


class Ask(NamedTuple):
    """What the script is asked."""

    keys: list[str]
    args: list[str]


class Account(NamedTuple):
    """What Redis has of an account.

    Attributes:
        used: what was charged.
        held: what is held now, by the ids of the holds.
        done: what was charged lately, by these.
        corrected: how often it was corrected.
    """

    used: Units
    held: Mapping[str, Units]
    done: Mapping[str, Units]
    corrected: str


class Words:
    """Says what the script is asked.

    Args:
        namespace: what all keys begin with. Those of a part are in one slot, so that one script may change them in a cluster.
        lapse: after how many seconds the hold of a call is let go that nobody has settled.
        fills: whether an account that is not there is filled from elsewhere.
    """

    def __init__(self, namespace: str, *, lapse: float, fills: bool) -> None:
        self._namespace = namespace
        self._lapse = int(lapse)
        self._longest = max(int(LAPSE), self._lapse)
        self._fills = "1" if fills else "0"

    def hold(
        self,
        hold_id: str,
        claims: Sequence[Claim],
        windows: Sequence[Window],
        now: datetime,
        *,
        granted_at: datetime | None,
        by_hand: bool = False,
    ) -> Ask:
        """Ask to hold amounts, for a call or by hand; whether there is room or not, if they are granted already."""
        partition = claims[0].partition
        keys = [self._hold(hold_id, partition)]
        forced = "" if granted_at is None else str(int(granted_at.timestamp()))
        head = [
            "hold",
            hold_id,
            self._prefix(partition),
            str(int(LAPSE) if by_hand else self._lapse),
            str(CORRECTED),
            self._fills,
        ]
        args = [*head, forced, str(len(claims))]
        is_told = self._fills == "0"  # else whoever fills it tells
        for claim, window in zip(claims, windows, strict=True):
            keys += self.account(place_of(claim, window))
            args += (*_claim(claim, window, now), _marks(claim) if is_told else "")
        return Ask(keys, args)

    def settle(
        self,
        hold_id: str,
        used: Used,
        *,
        final: bool,
        again: bool,
        is_heard: bool,
        may_come: bool,
        partition: str,
    ) -> Ask:
        """Ask to charge what was used; of what may be held after that, too."""
        args = ["settle", hold_id, *_said(used), "0" if final else str(CORRECTED)]
        args += ("1" if again else "0", "1" if is_heard else "0", _MAY_COME if may_come else "")
        return Ask([self._hold(hold_id, partition)], args)

    def forget(self, hold_id: str, partition: str) -> Ask:
        """Ask to know nothing of a hold."""
        return Ask([self._hold(hold_id, partition)], ["forget"])

    def point(self, hold_id: str, partition: str) -> Ask:
        """Say which part has a hold."""
        return Ask([self._pointer(hold_id)], ["point", partition, str(int(LAPSE) + CORRECTED)])

    def unpoint(self, hold_id: str) -> Ask:
        """Say that none has."""
        return Ask([self._pointer(hold_id)], ["forget"])

    def where(self, hold_id: str) -> Ask:
        """Ask which part has a hold."""
        return Ask([self._pointer(hold_id)], ["where"])

    def fill(
        self, place: Place, window: Window, state: State, now: datetime, *, slides: bool
    ) -> Ask:
        """Ask to fill an account."""
        args = ["fill", _kept(window, now, slides=slides), self._prefix(place.partition)]
        args += (str(self._longest + CORRECTED), "1" if slides else "0")
        fields: list[str] = []
        for kind, counters in (("u", state.account.used), ("h", state.account.held)):
            for second, units in counters.items():
                at = f"{second}:" if second else ""
                for unit, amount in zip("utr", _three(units), strict=True):
                    fields += (f"{at}{kind}{unit}", str(amount))
        args += (str(len(fields) // 2), *fields, *self._held(state.holds, now))
        return Ask(self.account(place), args)

    def crossing(
        self, account: str, unit: str, at: str, limit: str, used: str, *, partition: str
    ) -> Crossing:
        """Read which mark an account has reached."""
        place = self.place(account, partition)
        mark = Mark(UNITS[int(unit)], int(at), int(limit))
        return Crossing(place.key, place.start, mark, int(used))

    def balances(self, claims: Sequence[Claim], windows: Sequence[Window]) -> Ask:
        """Ask what accounts have."""
        both = list(zip(claims, windows, strict=True))
        keys = [self.account(place_of(claim, window))[0] for claim, window in both]
        slides = ["1" if claim.slides else "0" for claim in claims]
        return Ask(keys, ["balances", self._fills, *slides])

    def note_part(self, partition: str) -> Ask:
        """Say that a part has accounts."""
        return Ask([f"{self._prefix('')}parts"], ["note_part", partition])

    def drop_part(self, partition: str, *, after: float) -> Ask:
        """Forget that a part has accounts, if nobody has said so for so many seconds."""
        return Ask([f"{self._prefix('')}parts"], ["drop_part", partition, str(int(after))])

    def unwritten(self, process: str = "", *, waits: bool = False) -> Ask:
        """Say whether rows of a process wait outside of the database; ask how many processes have such rows."""
        return Ask([f"{self._prefix('')}unwritten"], ["unwritten", process, "1" if waits else "0"])

    def parts(self) -> Ask:
        """Ask which parts have accounts."""
        return Ask([f"{self._prefix('')}parts"], ["parts"])

    def dirty(self, partition: str, *, until: str, skip: int, most: int) -> Ask:
        """Ask in which accounts of a part something was held until some moment, and when it was last."""
        return Ask([f"{self._prefix(partition)}dirty"], ["dirty", until, str(skip), str(most)])

    def clear(self, partition: str, compared: Mapping[str, str]) -> Ask:
        """Say which accounts are as they should be, with when something was held in them last."""
        said = [each for pair in compared.items() for each in pair]
        return Ask([f"{self._prefix(partition)}dirty"], ["clear", *said])

    def mark(self, partition: str, keys: Sequence[str]) -> Ask:
        """Say that accounts are to be compared, by their keys."""
        return Ask([f"{self._prefix(partition)}dirty"], ["mark", *keys])

    def state(self, place: Place) -> Ask:
        """Ask for all that an account has."""
        return Ask(self.account(place), ["state", self._prefix(place.partition)])

    def correct(
        self,
        place: Place,
        more: Units,
        settled: Mapping[str, Used],
        holds: Mapping[str, Entry],
        now: datetime,
        *,
        corrected: str,
    ) -> Ask:
        """Ask to charge something in addition, to settle holds in this account alone, and to hold what is not known there.

        If the account was corrected since all this was found, which is when it had been `corrected` so often, nothing is changed.
        """
        prefix = self._prefix(place.partition)
        args = ["correct", prefix, *map(str, _three(more)), str(self._longest + CORRECTED)]
        args += (corrected, str(len(settled)))
        for name, used in settled.items():
            args += (name, *_said(used))
        return Ask(self.account(place), [*args, *self._held(holds, now)])

    def account(self, place: Place) -> list[str]:
        """Name the keys of an account."""
        key = f"{self._prefix(place.partition)}account:{place.key}@{place.start}"
        return [key, f"{key}:holds"]

    def place(self, key: str, partition: str = "") -> Place:
        """Say which account of a part has a key."""
        name, _, start = key.removeprefix(f"{self._prefix(partition)}account:").rpartition("@")
        return Place(name, int(start), partition)

    def _prefix(self, partition: str) -> str:
        part = f":{partition}" if partition else ""
        return f"{{{self._namespace}:budget{part}}}:"

    def _hold(self, hold_id: str, partition: str) -> str:
        return f"{self._prefix(partition)}hold:{hold_id}"

    def _pointer(self, hold_id: str) -> str:
        return f"{{{self._namespace}:budget:{hold_id}}}:where"

    def _held(self, holds: Mapping[str, Entry], now: datetime) -> list[str]:
        lapses = int(now.timestamp()) + self._longest
        said: list[str] = []
        for name, entry in holds.items():
            said += (name, " ".join(map(str, (entry.second, *_three(entry.held), lapses))))
        return said


def place_of(claim: Claim, window: Window) -> Place:
    """Say where a claim is charged."""
    return Place(claim.key, window.start, claim.partition)


def balance(sums: Sequence[str], seconds: Sequence[Sequence[str]]) -> Balance:
    """Read what an account has."""
    used, held = _units(sums[:3]), _units(sums[3:])
    by_second = {
        int(second): _units(counters[:3]) + _units(counters[3:]) for second, *counters in seconds
    }
    return Balance(used=used, held=held, by_second=by_second)


def account(
    used: Sequence[str | None], held: Sequence[str], done: Sequence[str], corrected: str
) -> Account:
    """Read all that an account has."""
    return Account(
        _units([each or "0" for each in used]),
        {name: _units(said.split()[1:4]) for name, said in _pairs(held)},
        {
            name: _units(said.split()[2:5])
            for name, said in _pairs(done)
            if said.startswith("s")  # and not corrected to be held again
        },
        corrected,
    )


def date(seconds: str, micros: str) -> datetime:
    """Read Redis' clock."""
    return datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=int(micros))


def _claim(claim: Claim, window: Window, now: datetime) -> list[str]:
    limits = (claim.limits.get("usd"), claim.limits.get("tokens"), claim.limits.get("requests"))
    return [
        str(window.start),
        "" if window.ends is None else str(int(window.ends.timestamp())),
        "1" if claim.slides else "0",
        *map(str, _three(claim.amount)),
        *("" if limit is None else str(limit) for limit in limits),
        _kept(window, now, slides=claim.slides),
    ]


def _marks(claim: Claim) -> str:
    return ",".join(f"{UNITS.index(mark.unit)}:{mark.at}:{mark.limit}" for mark in claim.marks)


def _kept(window: Window, now: datetime, *, slides: bool) -> str:
    """Say for how many seconds an account is kept; nothing is for ever."""
    if slides:
        return str(_SLIDING)
    if window.ends is None:
        return ""
    return str(int((window.ends - now).total_seconds()) + _LOOKED_BACK)


def _pairs(flat: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _three(units: Units) -> tuple[int, int, int]:
    return units.usd, units.tokens, units.requests


def _said(used: Used) -> list[str]:
    return ["" if each is None else str(each) for each in (used.usd, used.tokens, used.requests)]


def _units(three: Sequence[Any]) -> Units:
    usd, tokens, requests = map(int, three)
    return Units(usd=usd, tokens=tokens, requests=requests)
