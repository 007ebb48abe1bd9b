"""The environment of a test's own processes."""

from __future__ import annotations

import os
import sys


def environ(**more: str) -> dict[str, str]:
    """Return ours, in which a process imports what this one does: the same llmkit, from wherever it comes, and the tests' own modules."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # "" is this folder
    return {**os.environ, "PYTHONPATH": path, **more}
