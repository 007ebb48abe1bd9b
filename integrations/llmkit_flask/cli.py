"""`flask llmkit ...`: the commands of llmkit, for the app's own ledger and cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click
from flask.cli import AppGroup, with_appcontext

from llmkit.commands import answers, books, models
from llmkit.commands.clicked import click_command

if TYPE_CHECKING:
    from llmkit.cache.response_cache import ResponseCache
    from llmkit.commands.base import Command
    from llmkit.commands.books import Books
    from llmkit.commands.models import Catalogue

T = TypeVar("T")

llmkit_commands = AppGroup("llmkit", help="This app's calls to language models.")


def _books() -> Books:
    from llmkit_flask.state import current_state  # noqa: PLC0415  # which gives these commands to an app

    return current_state().books()


def _cache() -> ResponseCache:
    from llmkit_flask.state import current_state  # noqa: PLC0415

    return current_state().kit.cache


def _catalogue() -> Catalogue:
    from llmkit_flask.state import current_state  # noqa: PLC0415

    return current_state().kit.catalogue


def _add(group: click.Group, command: Command[T], has: Callable[[], T]) -> None:
    made = click_command(command, has)
    assert made.callback is not None  # noqa: S101  # it is the command's own
    made.callback = with_appcontext(made.callback)
    group.add_command(made)


_cache_commands = click.Group("cache", help="Answers that are kept, to be given again.")
for of_books in books.COMMANDS:
    _add(llmkit_commands, of_books, _books)
for of_cache in answers.COMMANDS:
    _add(_cache_commands, of_cache, _cache)
_add(llmkit_commands, models.MODELS, _catalogue)
llmkit_commands.add_command(_cache_commands)
