"""What gunicorn loads: the bare WSGI app, with the settings of the test and three middlewares that look on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from llmkit import Kit
from support.left_over import held_by
from support.wsgi_app import Watching, WSGIApp

config = json.loads(os.environ["LLMKIT_TEST_CONFIG"])
kit = Kit(config, middleware=[Watching(), Watching(), Watching()])
streams = WSGIApp(kit)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer, and at /left say what this worker holds."""
    if environ["PATH_INFO"] != "/left":
        return streams(environ, start_response)
    start_response("200 OK", [("content-type", "application/json"), ("connection", "close")])
    return [json.dumps(held_by(kit)).encode()]
