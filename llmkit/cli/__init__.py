"""The command line: `llmkit demo`, `llmkit usage`, `llmkit sweep`, `llmkit emulate`."""

from __future__ import annotations

from llmkit.errors import MissingExtra

try:
    import click
except ImportError:
    raise SystemExit(str(MissingExtra("click", "cli"))) from None

import llmkit
from llmkit.cli.demo import demo
from llmkit.cli.emulate import emulate
from llmkit.cli.sweep import sweep
from llmkit.cli.usage import usage


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(llmkit.__version__, prog_name="llmkit")
def main() -> None:
    """Add LLM calls to web apps that already exist."""


for command in (demo, emulate, sweep, usage):
    main.add_command(command)
