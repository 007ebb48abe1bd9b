"""Which event loop the tests and their servers run on: asyncio's own, or uvloop with LLMKIT_TEST_LOOP=uvloop."""

from __future__ import annotations

import os

LOOP = os.environ.get("LLMKIT_TEST_LOOP", "asyncio")
