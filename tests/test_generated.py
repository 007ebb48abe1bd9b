"""The sync half is what the generator writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

GENERATOR = Path(__file__).with_name("unasync.py")


def test_the_sync_half_is_up_to_date() -> None:
    """`python tests/unasync.py --check` finds nothing to write and no rule without use."""
    done = subprocess.run(
        [sys.executable, str(GENERATOR), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
