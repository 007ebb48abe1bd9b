"""The extension: llmkit's settings, commands and routes in an app."""

from __future__ import annotations

from flask import Flask

from llmkit_flask.blueprint import GetUser, llmkit_blueprint, logged_in_user
from llmkit_flask.state import KEY, install


class LLMKit:
    """Adds llmkit to a Flask app: `LLMKit(app)`, or `init_app` later. One object may serve several apps.

    The settings are `app.config["LLMKIT"]`, read when llmkit is added to the app. If they do not set `ledger.database`, calls are
    recorded in Flask-SQLAlchemy's database, or in `SQLALCHEMY_DATABASE_URI`.

    Args:
        app: your app.
        prefix: where the routes are. With None no routes are added: register `llmkit_blueprint` yourself.
        get_user: says who calls; see `llmkit_blueprint`.

    Raises:
        ConfigError: the settings are wrong.
        RuntimeError: llmkit was already added to the app.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        prefix: str | None = "/llm",
        get_user: GetUser = logged_in_user,
    ) -> None:
        self._prefix = prefix
        self._get_user = get_user
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Add llmkit to an app. Raises what the class raises."""
        if KEY in app.extensions:
            raise RuntimeError(
                "llmkit is already installed in this app: add it once, and register llmkit_blueprint() for further mounts"
            )
        install(app)
        if self._prefix is not None:
            app.register_blueprint(
                llmkit_blueprint(get_user=self._get_user), url_prefix=self._prefix
            )
