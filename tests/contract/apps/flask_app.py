"""The app under Flask."""

from __future__ import annotations

import json
import os

import flask
from flask import Flask

from llmkit_flask import LLMKit, get_client, stream_response

app = Flask(__name__)
app.secret_key = os.urandom(8)
app.config["LLMKIT"] = json.loads(os.environ["LLMKIT_TEST_CONFIG"])
LLMKit(app, get_user=lambda request: request.headers.get("x-user"))


@app.before_request
def use_the_session() -> None:
    """Write into the session, as a login does."""
    flask.session["seen"] = True


@app.route("/poem", methods=["GET", "POST"])
def poem() -> flask.Response:
    """Stream a poem from a view of the host's own."""
    return stream_response(flask.request, get_client().stream("A poem", user="9"))
