"""Who makes a call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from llmkit.kinds import kind_of, wrong_tags

NOTHING: Mapping[str, Any] = MappingProxyType({})
"""What a call says where it says nothing."""

UserId = str | int | UUID | None
"""What may say who calls; None is nobody."""


def user_id(value: object) -> str | None:
    """Return the id of a user as a text; None for nobody, which is None, False or an empty text.

    Raises:
        TypeError: it is no id: True, a user object, a function, a list, ...
    """
    if value is None or value is False or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, int | UUID) and value is not True:
        return str(value)
    raise TypeError(
        f"a user or tenant has to be an id (a str, an int or a UUID) or None, not {kind_of(value)}"
    )


def _names(groups: object) -> tuple[str, ...]:
    """Return the names of groups.

    Raises:
        TypeError: they are none.
    """
    said = 'groups has to be a tuple of names, such as ("staff",), not'
    if isinstance(groups, str):
        raise TypeError(f"{said} one text")
    if isinstance(groups, bytes | Mapping) or not isinstance(groups, Iterable):
        raise TypeError(f"{said} {kind_of(groups)}")
    names = tuple(groups)
    for at, name in enumerate(names):
        if not isinstance(name, str):
            raise TypeError(f"groups[{at}] has to be a str, not {kind_of(name)}")
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes the call. Tags are written to the row as they are.

    `user` is an id; None, False and an empty string mean nobody. `tenant` is the customer that they belong to, an id too. `tags` is a dict
    of strings, `groups` are names.

    Raises:
        TypeError: one of them is not of its kind.
    """

    user: str | None = None
    tenant: str | None = None
    tags: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    groups: tuple[str, ...] = ()

    if TYPE_CHECKING:  # any id is taken, and `user` is its text

        def __init__(
            self,
            *,
            user: UserId = None,
            tenant: UserId = None,
            tags: Mapping[str, str] = NOTHING,
            groups: tuple[str, ...] = (),
        ) -> None: ...

    def __post_init__(self) -> None:
        if self.groups != ():
            object.__setattr__(self, "groups", _names(self.groups))
        wrong = wrong_tags(self.tags)
        if wrong is not None:
            raise TypeError(wrong)
        if type(self.user) is not str or not self.user:
            object.__setattr__(self, "user", user_id(self.user))
        if self.tenant is not None and (type(self.tenant) is not str or not self.tenant):
            object.__setattr__(self, "tenant", user_id(self.tenant))


def caller_of(user: UserId | Caller, tags: Mapping[str, str] = NOTHING) -> Caller:
    """Return who calls, with more tags.

    Raises:
        TypeError: the user is not an id.
    """
    if isinstance(user, Caller):
        if not tags:
            return user
        return Caller(
            user=user.user, tenant=user.tenant, tags={**user.tags, **tags}, groups=user.groups
        )
    return Caller(user=user, tags=tags)
