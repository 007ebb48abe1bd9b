"""`python -m llmkit.cli` is `llmkit`."""

from llmkit.cli import main

main()
