"""The ledger's commands for click, which `llmkit` and `flask` are made with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from llmkit.errors import LLMKitError
from llmkit.ledger.commands import Books, Command, Option


def click_command(
    command: Command, books: Callable[..., Books], extra: Sequence[click.Option] = ()
) -> click.Command:
    """Make a command.

    Args:
        command: what it does.
        books: gives the ledger; it gets the values of the extra options by name.
        extra: options of this command line alone.
    """
    own = {option.key for option in command.options}

    def run(**given: Any) -> None:
        others = {name: given.pop(name) for name in given.keys() - own}
        try:
            click.echo(command.run(books(**others), given))
        except LLMKitError as error:
            raise click.ClickException(str(error)) from error
        except ValueError as error:
            raise _WrongOption(str(error)) from error

    params: list[click.Parameter] = [*extra, *map(_option, command.options)]
    return click.Command(command.name, params=params, help=command.help, callback=run)


def is_terminal() -> bool:
    """Say whether a person reads what is printed."""
    return sys.stdout.isatty()


class _WrongOption(click.ClickException):
    exit_code = click.UsageError.exit_code


def _option(option: Option) -> click.Option:
    if option.metavar is None:
        return click.Option([option.name], is_flag=True, help=option.help)
    # To some versions of click a default of None is one, and a required option has it.
    default: dict[str, Any] = (
        {} if option.default is None else {"default": option.default, "show_default": True}
    )
    return click.Option(
        [option.name],
        metavar=option.metavar,
        help=option.help,
        multiple=option.repeated,
        required=option.required,
        **default,
    )
