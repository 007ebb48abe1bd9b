"""`llmkit sweep`: the rows of processes that have died."""

from __future__ import annotations

import click

from llmkit import ledger
from llmkit.cli.usage import database_option
from llmkit.config import LedgerConfig
from llmkit.errors import LLMKitError
from llmkit.ledger.text import swept
from llmkit.ledger.worker import WorkerName


@click.command()
@database_option
@click.option(
    "--outbox", metavar="FOLDER", help="Folder of the outbox, if the app's settings name one."
)
@click.option(
    "--silent",
    type=click.FloatRange(min=60),
    default=180.0,
    show_default=True,
    help="Seconds after which a process that says nothing counts as dead.",
)
def sweep(database: str, outbox: str | None, silent: float) -> None:
    """Mark the open rows of processes that have died as lost, and write what they left in the outbox.

    The app does so by itself every ten minutes, while it is used.
    """
    settings = LedgerConfig(database=database, outbox=outbox)
    try:
        click.echo(swept(ledger.open_with_outbox(settings, worker=WorkerName()).sweep(silent)))
    except LLMKitError as error:
        raise click.ClickException(str(error)) from error
