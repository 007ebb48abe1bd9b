"""How the accounts of budgets are named: after the budget, and after those whose they are; and what a name says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2s
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, unquote

from llmkit.config.budgets import TAG
from llmkit.policy.budgets.amounts import Unit
from llmkit.policy.budgets.windows import Per

if TYPE_CHECKING:
    from llmkit.caller import Caller

# How long the name of an account may be, in characters; a database's column has to hold it, with the window's beginning.
LONGEST = 200
_NAME = re.compile(r"(.+?):(minute|hour|day|month|ever)(?:\[\w+\])?=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose account it is.

    Attributes:
        scope, per, models: which budget, as the settings have it.
        limits: of it; None where a function gives it. Empty if the budget is not known.
        name, tenant: as in `BudgetWarning`.
    """

    scope: str
    per: Per
    models: tuple[str, ...] = ()
    limits: Mapping[Unit, int | None]
    name: str | None
    tenant: str | None


def accounts_of(
    scope: str, caller: Caller, provider: str | None, model_id: str | None
) -> Iterator[str]:
    """Say which accounts of a scope a call is charged to."""
    match scope:
        case "user":
            # The same id may be another person in another tenant.
            tenant = "" if caller.tenant is None else f"{part(caller.tenant)}/"
            yield f"{tenant}{part(caller.user or '')}"
        case "tenant":
            yield part(caller.tenant or "")
        case "group":
            yield from (part(group) for group in dict.fromkeys(caller.groups))
        case "model":
            if model_id is not None:
                yield part(model_id)
        case "provider":
            if provider is not None:
                yield part(provider)
        case "all":
            yield ""
        case _:
            value = caller.tags.get(scope.removeprefix(TAG))
            if value is not None:
                yield part(value)


def part(text: str) -> str:
    """Write an id so that it is one part of a name."""
    return quote(text, safe=" !#$&'()*+,:;=?@[]^_`{|}~-.", errors="replace")


def key_of(prefix: str, account: str) -> str:
    """Name the account of a budget. One that would be too long is cut, with a mark that tells it from others."""
    key = f"{quoted(prefix)}{account}"
    if len(key) <= LONGEST:
        return key
    mark = blake2s(key.encode(), digest_size=16).hexdigest()
    return f"{key[: LONGEST - len(mark) - 1]}~{mark}"


def owner_of(
    scope: str,
    per: Per,
    models: tuple[str, ...],
    limits: Mapping[Unit, int | None],
    account: str | None,
) -> Owner:
    """Say whose an account is; its name is None if it was cut."""
    name, tenant = account, None
    if account is not None and scope == "user" and "/" in account:
        tenant, _, name = account.partition("/")
    return Owner(
        scope=scope,
        per=per,
        models=models,
        limits=limits,
        name=None if name is None else unquote(name),
        tenant=None if tenant is None else unquote(tenant),
    )


def owner_by_name(key: str) -> Owner:
    """Read what the name of an account alone says: its budget is not among these."""
    found = _NAME.fullmatch(key)
    if found is None:
        return owner_of(key, "ever", (), {}, "")
    scope, per, account = found.groups()
    return owner_of(
        unquote(scope), cast("Per", per), (), {}, account if len(key) < LONGEST else None
    )


def quoted(prefix: str) -> str:
    """Write the part of a name that says which budget it is."""
    return quote(prefix, safe=":=[]_-.")
