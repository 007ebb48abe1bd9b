"""`flask llmkit ...`: the commands of llmkit, for the app's own ledger."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from llmkit import ledger
from llmkit.errors import LLMKitError

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
