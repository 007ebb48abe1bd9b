"""`python -m contract.apps.waitress_server module:app 5`: serve an app with waitress on an open socket."""

from __future__ import annotations

import socket
import sys
from importlib import import_module

import waitress

if __name__ == "__main__":
    module, _, name = sys.argv[1].partition(":")
    waitress.serve(
        getattr(import_module(module), name),
        sockets=[socket.socket(fileno=int(sys.argv[2]))],
        threads=16,
        send_bytes=1,
        # Else it takes as much as an answer may be long before it lets the app wait, and which of both comes first is chance.
        outbuf_high_watermark=1_000_000,
        channel_request_lookahead=1,  # or it does not look whether the browser is there
        _quiet=True,
    )
