"""The cost tracker: what calls cost, written down and added up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack, get_args

from llmkit.caller import Caller, UserId, caller_of
from llmkit.config.errors import without_provider
from llmkit.errors import ConfigError
from llmkit.ids import new_id
from llmkit.kinds import wrong_tags
from llmkit.ledger.base import NoLedgerYet
from llmkit.ledger.row import Closing, Opening
from llmkit.ledger.selection import Selection, dimensions
from llmkit.ledger.sums import Report, Sum
from llmkit.policy.pricing import Prices
from llmkit.response import Status
from llmkit.usage import PLAIN, Billing, Usage
from llmkit.zones import zone_of

if TYPE_CHECKING:
    from llmkit.ledger.base import Ledger, Reader
    from llmkit.policy.rates import AnyPrice


class RecordOptions(TypedDict, total=False):
    """What `CostTracker.record` may be told, beside the model and the tokens."""

    user: UserId | Caller
    tags: Mapping[str, str]
    run_id: str | None
    conversation: str | None
    status: Status
    streamed: bool
    started_at: datetime | None
    finished_at: datetime | None
    request_id: str | None
    billing: Billing


class CostTracker:
    """Writes down calls that were made elsewhere, and adds up what all calls cost.

    It works by itself (`CostTracker("sqlite:///llm.db")`), and a `Kit` has one for its own ledger: `kit.cost_tracker`.

    Args:
        ledger: the URL of the ledger's database, `sqlite:///path/to/file.db` or `postgresql://user:password@host/name`, or a ledger.
        prices: by provider or by `provider:model`, in US dollars per million tokens, such as `{"local:smollm2": {"input": "0.1",
            "output": "0.2"}}`; beside them those that llmkit knows.
        time_zone: where days and months begin, such as `Europe/Berlin`; UTC for None.
        now, new_id: where the date and ids come from.

    Raises:
        ConfigError: the database cannot be used, or a price is none.
        ValueError: there is no such time zone.
    """

    def __init__(
        self,
        ledger: str | Ledger,
        *,
        prices: Mapping[str, AnyPrice] | Prices | None = None,
        time_zone: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_id: Callable[[], str] = new_id,
    ) -> None:
        if isinstance(ledger, str):
            from llmkit.ledger import open_ledger  # noqa: PLC0415  # needs SQLAlchemy
            from llmkit.ledger.worker import WorkerName  # noqa: PLC0415

            ledger = open_ledger(ledger, worker=WorkerName(new_id))
        self._ledger = ledger
        self._prices = prices if isinstance(prices, Prices) else Prices(prices)
        self.zone = zone_of(time_zone)
        self.now = now
        self._new_id = new_id

    def record(self, model: str, usage: Usage, **options: Unpack[RecordOptions]) -> Decimal | None:
        """Write down a call that was made elsewhere: by another library, or by a provider's batch API.

        Args:
            model: as `provider:model`.
            usage: its tokens.
            options: who called (`user`, `tags`, `run_id`, `conversation`), how it ended (`status`, default "finished"), whether it was
                `streamed`, when it began and ended (`started_at`, `finished_at`, with time zones, default now), the provider's
                `request_id`, and what else its price hangs on (`billing`).

        Returns:
            What it cost in US dollars; None if its price is not known.

        Raises:
            ConfigError: the model is not of the form provider:model.
            TypeError, ValueError: a value is of a wrong kind, such as a time without a zone.
            LedgerUnavailable: it is not certain that the row is stored.
        """
        row, end = self._row(model, usage, options)
        self._ledger.record(row, end)
        return end.cost

    async def arecord(
        self, model: str, usage: Usage, **options: Unpack[RecordOptions]
    ) -> Decimal | None:
        """Do what `record` does, without blocking the event loop."""
        row, end = self._row(model, usage, options)
        await self._ledger.arecord(row, end)
        return end.cost

    def report(
        self,
        by: str | Iterable[str] = (),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        where: Mapping[str, UserId] | None = None,
    ) -> Report:
        """Add up calls in groups.

        Args:
            by: what they are grouped by: "user", "tenant", "provider", "model", "alias", "status", "day", "month" or "tag:NAME", or
                several of them. Days and months are those of the time zone.
            since: of calls that began then or later; with a time zone.
            until: of calls that began before; with a time zone.
            where: only calls that say this, such as `{"user": "42"}`, in the same words; None where they say nothing.

        Raises:
            ValueError: calls cannot be grouped or chosen by that.
            LedgerUnavailable: the ledger cannot be read.
        """
        names, selection = dimensions(by), Selection(since=since, until=until, where=where or {})
        return self._ledger.read(lambda reader: self._report(reader, names, selection))

    async def areport(
        self,
        by: str | Iterable[str] = (),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        where: Mapping[str, UserId] | None = None,
    ) -> Report:
        """Do what `report` does, without blocking the event loop."""
        names, selection = dimensions(by), Selection(since=since, until=until, where=where or {})
        return await self._ledger.aread(lambda reader: self._report(reader, names, selection))

    @property
    def totals(self) -> Sum:
        """All calls together.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        return self.report().total

    def close(self) -> None:
        """Close the ledger. That of a kit is closed with the kit."""
        self._ledger.close()

    def __enter__(self) -> Self:
        """Use it in a `with` block, which closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _report(self, reader: Reader, by: tuple[str, ...], selection: Selection) -> Report:
        try:
            sums = reader.sums(by, selection, zone=self.zone)
        except NoLedgerYet:
            sums = {}
        return Report.of(by, sums)

    def _row(self, model: str, usage: Usage, options: RecordOptions) -> tuple[Opening, Closing]:
        _check(usage, options)
        provider, _, name = model.partition(":")
        if not (provider and name):
            raise ConfigError(without_provider(model))
        ends = options.get("finished_at") or self.now()
        began = options.get("started_at") or ends
        billing = options.get("billing", PLAIN)
        caller = caller_of(options.get("user"), options.get("tags") or {})
        row = Opening(
            call_id=self._new_id(),
            attempt=1,
            run_id=options.get("run_id"),
            conversation=options.get("conversation"),
            alias=model,
            provider=provider,
            model=name,
            streamed=options.get("streamed", False),
            started_at=began,
            user_key=caller.user,
            tenant=caller.tenant,
            tags=caller.tags,
        )
        priced = self._prices.cost(provider, name, usage, billing=billing, at=began)
        end = Closing(
            call_id=row.call_id,
            attempt=1,
            status=options.get("status", "finished"),
            usage=_with_sources(usage),
            cost=priced.cost,
            price_version=priced.version,
            request_id=options.get("request_id"),
            finished_at=ends,
            billing=billing,
        )
        return row, end


def _with_sources(usage: Usage) -> Usage:
    """Say of counts that somebody knows that they were reported, if nothing else is said."""
    changes: dict[str, Any] = {
        f"{side}_source": "reported"
        for side in ("input", "output")
        if getattr(usage, f"{side}_tokens") is not None
        and getattr(usage, f"{side}_source") == "unknown"
    }
    return replace(usage, **changes)


def _check(usage: Usage, options: RecordOptions) -> None:
    """See that each value is what its column takes: the row may be written when nobody is there any more to hear of it.

    Raises:
        TypeError, ValueError: one is not, or there is no such option.
    """
    if not isinstance(usage, Usage) or not all(map(_is_count, _counts(usage))):
        raise TypeError("usage has to be a llmkit.Usage whose counts are whole numbers or None")
    for name, value in options.items():
        fits, kind = _KINDS.get(name, (_is_missing, ""))
        if not kind:
            hint = "; pass user=llmkit.Caller(user=..., tenant=...)" if name == "tenant" else ""
            raise TypeError(f"record() got an unexpected keyword argument {name!r}{hint}")
        if not fits(value):
            wrong = wrong_tags(value) if name == "tags" else None
            raise ValueError(wrong or f"{name} has to be {kind}")


def _counts(usage: Usage) -> list[object]:
    return [getattr(usage, field.name) for field in fields(usage) if field.name.endswith("_tokens")]


def _is_missing(_: object) -> bool:
    return False


def _is_count(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_moment(value: object) -> bool:
    return value is None or (isinstance(value, datetime) and value.tzinfo is not None)


# How a call may have ended whose end is known.
_ENDS = tuple(word for word in get_args(Status) if word not in ("started", "lost"))
_TEXT = (_is_text, "a text")
_MOMENT = (_is_moment, "a datetime with a time zone")
# What each option has to be; a user is looked at by `Caller`.
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "user": (lambda _: True, "an id"),
    "tags": (lambda value: wrong_tags(value) is None, "a dict of strings"),
    "run_id": _TEXT,
    "conversation": _TEXT,
    "request_id": _TEXT,
    "status": (_ENDS.__contains__, f"one of {', '.join(_ENDS)}"),
    "streamed": (lambda value: isinstance(value, bool), "True or False"),
    "started_at": _MOMENT,
    "finished_at": _MOMENT,
    "billing": (lambda value: isinstance(value, Billing), "a llmkit.usage.Billing"),
}
