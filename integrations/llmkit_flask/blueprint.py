"""The blueprint: hands requests to the door, and back what comes of them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import flask
from flask import Blueprint, Flask, Response, current_app
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.routing import BuildError

from llmkit.caller import Caller
from llmkit.config.functions import check_get_user
from llmkit.errors import ConfigError
from llmkit.relay._sync.door import Door, visitor
from llmkit.relay.answer import Answer
from llmkit.relay.hooks import awaited
from llmkit.relay.pages import chat_page
from llmkit.relay.presence import answer_while_present
from llmkit.relay.problem import problem_of
from llmkit.relay.rules import PATHS, User, check_origin, find, route_name, too_large
from llmkit_flask.responses import relay_response, to_flask_response
from llmkit_flask.state import current_state, install

GetUser = Callable[[flask.Request], User | Awaitable[User]]

# Answered by ours; OPTIONS stays Flask's own, which is where a host's CORS extension answers it.
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def logged_in_user(request: flask.Request) -> User:
    """Return the user that Flask-Login has logged in."""
    if not hasattr(current_app, "login_manager"):
        return None
    from flask_login import current_user  # noqa: PLC0415  # the host's, if it is there

    user: User = current_user.get_id() if current_user.is_authenticated else None
    return user


def llmkit_blueprint(name: str = "llmkit", *, get_user: GetUser = logged_in_user) -> Blueprint:
    """Make a blueprint with llmkit's routes, to register under a prefix ("/llm" unless you pass `url_prefix`).

    An app can have several of them, each with its own name and `get_user`. The first one also adds the settings and the commands.

    Args:
        name: the name of the blueprint, as in `url_for("llmkit.stream")`.
        get_user: a function, sync or async, that takes the request and returns who calls: an id, a `Caller`, or None for nobody. The
            default is the user that Flask-Login has logged in.

    Raises:
        ConfigError: `get_user` does not take one argument.
    """
    check_get_user(get_user, "the request")
    blueprint = Blueprint(name, __name__, url_prefix="/llm")
    blueprint.record(_install)
    for path in PATHS:
        blueprint.add_url_rule(
            path,
            endpoint=route_name(path),
            view_func=_view(path, get_user),
            methods=_METHODS,
        )
    return blueprint


def _install(setup: BlueprintSetupState) -> None:
    assert isinstance(setup.app, Flask)  # noqa: S101  # says what Flask's own types do not
    install(setup.app)


def _view(path: str, get_user: GetUser) -> Callable[[], Response]:
    def view() -> Response:
        found = find(path, flask.request.method)
        assert found is not None  # noqa: S101  # path is one of PATHS
        if isinstance(found, Answer):
            return to_flask_response(found)
        state = current_state()
        request = _Request(get_user, state.config.relay.allowed_origins)
        if found == "page":
            return to_flask_response(_chat_page(visitor(request)))
        try:
            kit = state.kit
        except ConfigError as error:
            return to_flask_response(problem_of(error).answer)
        if found == "usage":
            return to_flask_response(Door(kit).usage(request))
        settings = kit.config.relay
        made = Door(kit).admit(request, streaming=found == "stream")
        if isinstance(made, Answer):
            return to_flask_response(made)
        if found == "stream":
            return relay_response(made, settings)
        whole = answer_while_present(made, flask.request.environ, heartbeat=settings.heartbeat)
        return to_flask_response(whole)

    return view


def _chat_page(user: Caller) -> Answer:
    """Return the chat page, with what its script has to know of the app."""
    token, header = None, ""
    if "csrf" in current_app.extensions and current_app.config.get("WTF_CSRF_ENABLED"):
        from flask_wtf.csrf import generate_csrf  # noqa: PLC0415  # the host's, which is there

        token, header = generate_csrf(), current_app.config["WTF_CSRF_HEADERS"][0]
    return chat_page(user=user, token=token, header=header, login_url=_login_url())


def _login_url() -> str | None:
    """Return where Flask-Login sends people to log in, if the app has said it."""
    view = getattr(getattr(current_app, "login_manager", None), "login_view", None)
    if view is None:
        return None
    from flask_login import login_url  # noqa: PLC0415  # the host's, which is there

    try:
        url: str = login_url(view)
    except BuildError:  # a view that the app has not
        return None
    return url


class _Request:
    """The current request, as the door sees it."""

    __slots__ = ("_allowed_origins", "_get_user", "headers")

    def __init__(self, get_user: GetUser, allowed_origins: Collection[str]) -> None:
        self._get_user = get_user
        self._allowed_origins = allowed_origins
        self.headers: Mapping[str, str] = {
            name.lower(): value for name, value in flask.request.headers
        }

    @property
    def has_get_user(self) -> bool:
        return self._get_user is not logged_in_user

    def check_origin(self) -> None:
        check_origin(self.headers, self._allowed_origins)

    def user(self) -> User:
        user: Any = self._get_user(_request())
        if inspect.isawaitable(user):
            user = current_app.async_to_sync(awaited)(user)
        _give_back()
        return user  # type: ignore[no-any-return]  # the door looks what it is

    def body(self, limit: int) -> bytes:
        try:
            body = flask.request.stream.read(limit + 1)
        except RequestEntityTooLarge:  # the host's own limit
            raise too_large(flask.request.max_content_length or limit) from None
        except ClientDisconnected:
            raise ConnectionError from None
        if len(body) > limit:
            raise too_large(limit)
        return body


def _give_back() -> None:
    host = current_app.extensions.get("sqlalchemy")
    if host is not None:
        from llmkit_flask.sessions import give_back  # noqa: PLC0415  # SQLAlchemy, which is there

        give_back(host)


def _request() -> flask.Request:
    request: flask.Request = flask.request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # documented
    return request
