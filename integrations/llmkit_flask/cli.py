"""`flask llmkit ...`: the commands of llmkit, for the app's own ledger."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from llmkit.errors import LLMKitError
from llmkit.ledger import usage_text

llmkit_commands = AppGroup("llmkit", help="The calls of this app to language models.")


@llmkit_commands.command()
@click.option(
    "--limit", type=click.IntRange(min=0), default=20, show_default=True, help="How many rows."
)
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects, all columns.")
def usage(limit: int, as_json: bool) -> None:  # noqa: FBT001  # click passes by name
    """Show the latest rows of the ledger, and what all of them cost."""
    from llmkit_flask.state import current_state  # noqa: PLC0415  # which gives these commands to an app

    try:
        click.echo(usage_text(current_state().database, limit, as_json=as_json))
    except LLMKitError as error:
        raise click.ClickException(str(error)) from error
