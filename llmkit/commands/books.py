"""The commands of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING

from llmkit.caller import Caller
from llmkit.commands.base import Command, Given, Option
from llmkit.ledger import text
from llmkit.ledger.base import Maintained, NoLedgerYet
from llmkit.ledger.budget_report import of_all, of_caller
from llmkit.ledger.repricing import reprice
from llmkit.ledger.retention import prune
from llmkit.ledger.selection import FIELDS, TAG, Selection, dimensions
from llmkit.ledger.sums import Report, Sum, total
from llmkit.policy.periods import ago, moment_of
from llmkit.zones import zone_of

if TYPE_CHECKING:
    from llmkit.config import Config
    from llmkit.ledger.budgets import TableBudgets
    from llmkit.policy.pricing import Prices

# What every database takes for a number, and every clock for seconds.
_LARGEST = 10**9


@dataclass(frozen=True, slots=True)
class Books:
    """The ledger of an app, for its commands.

    Attributes:
        store: where its rows are.
        sweep: marks rows of dead processes as lost, and says how many.
        budgets: what they have, in the same database.
        config: the settings of the app; of one that is not known, none.
        prices: of the app.
        zone: where its days begin.
        has_settings: whether the settings are those of an app.
        is_terminal: whether a person reads what is printed.
        now: what it is now, with a time zone.
    """

    store: Maintained
    sweep: Callable[[float], int]
    budgets: TableBudgets
    config: Config
    prices: Prices
    zone: tzinfo = UTC
    has_settings: bool = True
    is_terminal: bool = False
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


def _usage(books: Books, given: Given) -> str:
    zone = _zone(books, given)
    selection = _selection(books, given, zone)
    by = dimensions(_named(given["by"]))
    limit = _number(given, "limit", 0)
    if given["json"] and given["csv"]:
        raise ValueError("--json and --csv exclude each other")
    try:
        if by:
            return _report(books, given, Report.of(by, books.store.sums(by, selection, zone=zone)))
        rows = books.store.recent(limit, selection)
        if given["json"]:
            return text.rows_as_json(rows)
        if given["csv"]:
            return text.rows_as_csv(rows)
        return text.rows_as_table(
            rows, total(books.store.sums((), selection).values()), rich=books.is_terminal
        )
    except NoLedgerYet as error:
        return _nothing_yet(books, given, by, error)


def _report(books: Books, given: Given, report: Report) -> str:
    if given["json"]:
        return text.report_as_json(report)
    if given["csv"]:
        return text.report_as_csv(report)
    return text.report_as_table(report, rich=books.is_terminal)


def _nothing_yet(books: Books, given: Given, by: tuple[str, ...], error: NoLedgerYet) -> str:
    """Say that there are no calls; whoever looks into the wrong place has to see it."""
    nothing = _report(books, given, Report.of(by, {})) if by else ""
    if given["json"] or given["csv"]:
        return nothing or (text.rows_as_json([]) if given["json"] else text.rows_as_csv([]))
    table = nothing or text.rows_as_table([], Sum(), rich=books.is_terminal)
    return f"{table}\n{text.sentence(error)}"


def _selection(books: Books, given: Given, zone: tzinfo) -> Selection:
    where = {name: given[name] or None for name in FIELDS if given[name] is not None}
    for words in _listed(given["tag"]):
        name, equals, value = words.partition("=")
        if not (name and equals):
            raise ValueError(f"--tag {words} has to be of the form NAME=VALUE")
        where[f"{TAG}{name}"] = value or None
    return Selection(
        since=_moment(books, given, "since", zone),
        until=_moment(books, given, "until", zone),
        where=where,
    )


def _listed(words: str | Sequence[str]) -> Sequence[str]:
    return [words] if isinstance(words, str) else words


def _named(words: str | Sequence[str]) -> list[str]:
    names = (name.strip() for some in _listed(words) for name in some.split(","))
    return [name for name in names if name]


def _zone(books: Books, given: Given) -> tzinfo:
    return books.zone if given["time_zone"] is None else zone_of(given["time_zone"])


def _moment(books: Books, given: Given, name: str, zone: tzinfo) -> datetime | None:
    said = given[name]
    if said is None:
        return None
    try:
        return moment_of(said, now=books.now(), zone=zone)
    except ValueError as error:
        raise ValueError(f"--{name}: {error}") from None


def _number(given: Given, name: str, least: int) -> int:
    try:
        number = int(given[name])
    except ValueError:
        number = least - 1
    if not least <= number <= _LARGEST:
        raise ValueError(f"--{name} has to be a whole number, {least} or more")
    return number


def _sweep(books: Books, given: Given) -> str:
    silent = _number(given, "silent", 60)
    try:
        return text.swept(books.sweep(silent))
    except NoLedgerYet as error:
        return text.sentence(error)


def _prune(books: Books, given: Given) -> str:
    now = books.now()
    try:
        before = ago(given["older_than"], now)
    except ValueError as error:
        raise ValueError(f"--older-than: {error}") from None
    if before >= now:
        raise ValueError("--older-than 0 would be every row: it has to be a minute, 1m, or more")
    content_only = given["content_only"]
    dry_run = given["dry_run"]
    try:
        if dry_run:
            count = books.store.count_old(before, content_only=content_only)
        else:
            count = prune(books.store, before, content_only=content_only)
    except NoLedgerYet as error:
        return text.sentence(error)
    return text.pruned(count, before, content_only=content_only, dry_run=dry_run)


def _reprice(books: Books, given: Given) -> str:
    since = _moment(books, given, "since", books.zone)
    dry_run = given["dry_run"]
    try:
        found = reprice(books.store, books.prices, since=since, dry_run=dry_run)
    except NoLedgerYet as error:
        return text.sentence(error)
    return text.repriced(found, dry_run=dry_run)


def _budgets(books: Books, given: Given) -> str:
    config, user, tenant = books.config, given["user"], given["tenant"]
    if user is None and tenant is None:
        with closing(books.budgets):
            lines = of_all(books.budgets, config.budgets, time_zone=config.time_zone)
    else:
        if not config.budgets:
            raise ValueError(
                "the app has no budgets"
                if books.has_settings
                else "the settings of the app are not known: name them with --settings"
            )
        caller = Caller(user=user, tenant=tenant)
        with closing(books.budgets):
            lines = of_caller(books.budgets, config.budgets, caller, time_zone=config.time_zone)
    if given["json"]:
        return text.budgets_as_json(lines)
    table = text.budgets_as_table(lines, rich=books.is_terminal)
    if lines:
        return table
    try:
        books.store.recent(1, Selection())
    except NoLedgerYet as error:
        return f"{table}\n{text.sentence(error)}"
    return f"{table}\nNo budget was used in its period of now."


_SINCE = Option(
    name="--since", metavar="WHEN", help="Calls from then on: a date, a date and time, or 7d, 12h."
)
_DRY_RUN = Option(name="--dry-run", help="Only say what would be done.")

USAGE = Command(
    name="usage",
    help="Show the latest rows of the ledger, or what calls cost in groups.",
    run=_usage,
    options=(
        Option(
            name="--by",
            metavar="NAMES",
            repeated=True,
            help="Group by user, tenant, provider, model, alias, status, day, month or tag:NAME, such as user,day.",
        ),
        _SINCE,
        Option(name="--until", metavar="WHEN", help="Calls before then."),
        *(
            Option(name=f"--{name}", metavar="TEXT", help=f"Only calls of this {name}.")
            for name in FIELDS
        ),
        Option(
            name="--tag",
            metavar="NAME=VALUE",
            repeated=True,
            help="Only calls with this tag.",
        ),
        Option(
            name="--time-zone",
            metavar="NAME",
            help="Where days begin, such as Europe/Berlin; by default as the app's settings say, in llmkit itself UTC.",
        ),
        Option(name="--limit", metavar="NUMBER", default="20", help="How many rows, without --by."),
        Option(name="--json", help="Print JSON; rows with all columns."),
        Option(name="--csv", help="Print CSV; rows with all columns."),
    ),
)
BUDGETS = Command(
    name="budgets",
    help="Show what is used of budgets in their periods of now, or what those of a user have left.",
    run=_budgets,
    options=(
        Option(name="--user", metavar="ID", help="Only what counts calls of this user."),
        Option(name="--tenant", metavar="ID", help="Of this tenant, or of the user in it."),
        Option(name="--json", help="Print JSON."),
    ),
)
SWEEP = Command(
    name="sweep",
    help="Mark the open rows of processes that have died as lost, and write what they left in the outbox. "
    "The app does so by itself every ten minutes, while it is used.",
    run=_sweep,
    options=(
        Option(
            name="--silent",
            metavar="SECONDS",
            default="180",
            help="Seconds after which a process that says nothing counts as dead, 60 or more.",
        ),
    ),
)
PRUNE = Command(
    name="prune",
    help="Delete old rows, or only what was asked and answered in them, a few at a time.",
    run=_prune,
    options=(
        Option(
            name="--older-than",
            metavar="AGE",
            required=True,
            help="Rows of calls that began longer ago than this, such as 90d or 12h.",
        ),
        Option(name="--content-only", help="Keep the rows, without their messages and answers."),
        _DRY_RUN,
    ),
)
REPRICE = Command(
    name="reprice",
    help="Price rows anew, by the prices that are known now. Rows whose price is not known keep their cost.",
    run=_reprice,
    options=(_SINCE, _DRY_RUN),
)
COMMANDS = (USAGE, BUDGETS, SWEEP, PRUNE, REPRICE)
