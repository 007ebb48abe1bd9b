"""`llmkit usage`: the latest rows of the ledger, and the money."""

from __future__ import annotations

import os

import click

from llmkit import ledger
from llmkit.errors import LLMKitError

DEMO_DATABASE = "sqlite:///llmkit-demo.db"


database_option = click.option(
    "--database",
    metavar="URL",
    default=lambda: os.environ.get("LLMKIT_DATABASE") or DEMO_DATABASE,
    show_default=f"LLMKIT_DATABASE, else {DEMO_DATABASE}",
    help="URL of the ledger's database.",
)


@click.command()
@database_option
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
def usage(database: str, limit: int, as_json: bool) -> None:  # noqa: FBT001  # click passes by name
    """Show the latest rows of the ledger, and the total cost of all rows."""
    try:
        click.echo(ledger.usage_text(database, limit, as_json=as_json))
    except LLMKitError as error:
        raise click.ClickException(str(error)) from error
