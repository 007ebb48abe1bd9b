"""The command line: `llmkit demo`, `llmkit emulate`, and the ledger's `usage`, `sweep`, `prune` and `reprice`, `cache clear` and `models`."""

from __future__ import annotations

from llmkit.errors import MissingExtra

try:
    import click
except ImportError:
    raise SystemExit(str(MissingExtra("click", "cli"))) from None

import llmkit
from llmkit.cli.answers import cache
from llmkit.cli.books import commands
from llmkit.cli.demo import demo
from llmkit.cli.emulate import emulate
from llmkit.cli.models import models


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(llmkit.__version__, prog_name="llmkit")
def main() -> None:
    """Add LLM calls to web apps that already exist."""


for command in (demo, emulate, *commands, cache, models):
    main.add_command(command)
