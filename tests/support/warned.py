"""What llmkit warns of, in a program of its own, where no test captures the log."""

from __future__ import annotations

import logging


class Warnings(logging.Handler):
    """Keeps the messages of warnings and errors: a row whose wait ran out is one such thing."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.said.append(record.getMessage())
