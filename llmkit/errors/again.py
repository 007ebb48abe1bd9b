"""One error for several who wait: each raises its own."""

from __future__ import annotations

from typing import TypeVar

ErrorT = TypeVar("ErrorT", bound=BaseException)


def again(error: ErrorT) -> ErrorT:
    """Return an error that says the same, with nothing of where it was raised."""
    other = type(error).__new__(type(error), *error.args)
    other.args = error.args
    other.__dict__.update(vars(error))
    return other
