"""The commands of the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.caller import Caller
from llmkit.commands.base import Command, Given, Option
from llmkit.errors import ConfigError

if TYPE_CHECKING:
    from llmkit.cache.response_cache import ResponseCache


def _clear(cache: ResponseCache, given: Given) -> str:
    if cache.store.is_of_process:
        raise ConfigError(
            "answers are kept in the memory of each process, which no other one clears",
            hint="Restart the app, or call kit.cache.clear() in it. With redis in the settings all processes have one cache.",
        )
    user, tenant = given["user"], given["tenant"]
    caller = None if user is None and tenant is None else Caller(user=user, tenant=tenant)
    count = cache.clear(user=caller, model=given["model"])
    if count is None:
        return "What was kept until now is given no more."
    answers = "1 answer is" if count == 1 else f"{count or 'No'} answers are"
    return f"{answers} deleted."


CLEAR = Command(
    name="clear",
    help="Delete kept answers: all of them, or those of a user, a tenant or a model.",
    run=_clear,
    options=(
        Option(name="--user", metavar="ID", help="Only answers of this user."),
        Option(name="--tenant", metavar="ID", help="Of this tenant, or of the user in it."),
        Option(
            name="--model",
            metavar="NAME",
            help="Only answers of this model: an alias, or provider:model, as the calls have named it.",
        ),
    ),
)
COMMANDS = (CLEAR,)
