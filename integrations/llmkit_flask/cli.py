"""`flask llmkit ...`: the commands of llmkit, for the app's own ledger."""

from __future__ import annotations

from flask.cli import AppGroup, with_appcontext

from llmkit.commands.books import COMMANDS, Books
from llmkit.commands.clicked import click_command

llmkit_commands = AppGroup("llmkit", help="This app's calls to language models.")


def _books() -> Books:
    from llmkit_flask.state import current_state  # noqa: PLC0415  # which gives these commands to an app

    return current_state().books()


for command in COMMANDS:
    made = click_command(command, _books)
    assert made.callback is not None  # noqa: S101  # it is the command's own
    made.callback = with_appcontext(made.callback)
    llmkit_commands.add_command(made)
