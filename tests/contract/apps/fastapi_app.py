"""The app under FastAPI."""

from __future__ import annotations

from fastapi import FastAPI

from contract.apps.asgi_parts import middleware, poem

app = FastAPI(middleware=middleware)
app.add_api_route("/poem", poem, methods=["GET", "HEAD", "POST"])
