"""`python example_projects/fastapi_shop/run.py`: the shop at http://127.0.0.1:8000. Without a key an emulator answers."""

from __future__ import annotations

import contextlib
import os
import sys

import uvicorn
from app import HERE, create_app
from llmkit.testing import Emulator

if __name__ == "__main__":
    with contextlib.ExitStack() as stack:
        if "ANTHROPIC_API_KEY" not in os.environ:
            emulator = stack.enter_context(Emulator())
            os.environ |= {"ANTHROPIC_API_KEY": "emulated", "ANTHROPIC_BASE_URL": emulator.base_url}
        app = create_app(os.environ.get("DATABASE_URL", f"sqlite:///{HERE / 'shop.db'}"))
        port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
        print(f"Shop: http://127.0.0.1:{port}", flush=True)
        uvicorn.run(app, port=port, log_level="warning")
