"""Commands for click, which `llmkit` and `flask` are made with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from llmkit.commands.base import Command, Option
from llmkit.errors import LLMKitError

T = TypeVar("T")


def click_command(
    command: Command[T], has: Callable[..., T], extra: Sequence[click.Option] = ()
) -> click.Command:
    """Make a command.

    Args:
        command: what it does.
        has: gives what the app has; it gets the values of the extra options by name.
        extra: options of this command line alone.
    """
    own = {option.key for option in command.options}

    def run(**given: Any) -> None:
        others = {name: given.pop(name) for name in given.keys() - own}
        try:
            click.echo(command.run(has(**others), given))
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
