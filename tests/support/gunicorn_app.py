"""What gunicorn loads: the bare WSGI app, with the settings of the test and three middlewares that look on."""

from __future__ import annotations

import json
import os

from llmkit import Kit
from support.wsgi_app import Watching, WSGIApp

config = json.loads(os.environ["LLMKIT_TEST_CONFIG"])
app = WSGIApp(Kit(config, middleware=[Watching(), Watching(), Watching()]))
