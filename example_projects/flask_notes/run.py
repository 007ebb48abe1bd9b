"""`python example_projects/flask_notes/run.py`: the notes at http://127.0.0.1:5000. Without a key an emulator answers."""

from __future__ import annotations

import contextlib
import os
import sys

from llmkit.testing import Emulator
from werkzeug.serving import make_server

if __name__ == "__main__":
    with contextlib.ExitStack() as stack:
        if "ANTHROPIC_API_KEY" not in os.environ:
            emulator = stack.enter_context(Emulator())
            os.environ |= {"ANTHROPIC_API_KEY": "emulated", "ANTHROPIC_BASE_URL": emulator.base_url}
        from app import create_app

        port = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
        server = make_server("127.0.0.1", port, create_app(), threaded=True)
        print(f"Notes: http://127.0.0.1:{server.server_port}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
