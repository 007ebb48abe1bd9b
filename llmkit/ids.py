"""Ids of calls, runs and holds."""

from __future__ import annotations

import os


def new_id() -> str:
    """Return an id that nobody can guess: 32 letters and digits."""
    return os.urandom(16).hex()
