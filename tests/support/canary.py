"""The key and the prompt of the whole suite, and where neither may ever stand."""

from __future__ import annotations

import logging

CANARIES = ("test-key", "Say hi")


def leaks(*values: object) -> list[str]:
    """Say which of them stand in one of these values, as it is shown."""
    text = "\n".join(value if isinstance(value, str) else repr(value) for value in values)
    return [canary for canary in CANARIES if canary in text]


class LeakHandler(logging.Handler):
    """Looks at everything that is logged: what is said, and the error with it."""

    def __init__(self) -> None:
        super().__init__(level=logging.DEBUG)
        self.leaked: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Look at a record."""
        error = record.exc_info[1] if record.exc_info else None
        self.leaked += leaks(record.getMessage(), str(error), repr(error))
