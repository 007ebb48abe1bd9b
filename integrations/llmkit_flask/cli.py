"""`flask llmkit ...`: the commands of llmkit, for the app's own ledger."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from llmkit import ledger
from llmkit.errors import LLMKitError
from llmkit.ledger.text import swept

llmkit_commands = AppGroup("llmkit", help="This app's calls to language models.")


@llmkit_commands.command()
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Number of rows to show.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON list of objects, with all columns."
)
def usage(limit: int, as_json: bool) -> None:  # noqa: FBT001  # click passes by name
    """Show the latest rows of the ledger, and the total cost of all rows."""
    from llmkit_flask.state import current_state  # noqa: PLC0415  # which gives these commands to an app

    try:
        click.echo(ledger.usage_text(current_state().database, limit, as_json=as_json))
    except LLMKitError as error:
        raise click.ClickException(str(error)) from error


@llmkit_commands.command()
@click.option(
    "--silent",
    type=click.FloatRange(min=60),
    default=180.0,
    show_default=True,
    help="Seconds after which a process that says nothing counts as dead.",
)
def sweep(silent: float) -> None:
    """Mark the open rows of processes that have died as lost, and write what they left in the outbox.

    The app does so by itself every ten minutes, while it is used.
    """
    from llmkit_flask.state import current_state  # noqa: PLC0415  # which gives these commands to an app

    try:
        click.echo(swept(current_state().own_ledger().sweep(silent)))
    except LLMKitError as error:
        raise click.ClickException(str(error)) from error
