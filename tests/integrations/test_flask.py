"""llmkit in a Flask app."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import flask
import flask_login
import flask_wtf
import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import make_url

from llmkit import BudgetWarning, Caller, ConfigError, ToolContext
from llmkit.ledger.database import database_url
from llmkit.ledger.sql import SQLStore
from llmkit.sse import SSEDecoder
from llmkit.testing import Behaviour, Emulator
from llmkit_flask import (
    LLMKit,
    budget_warning,
    get_client,
    get_kit,
    llmkit_blueprint,
    state,
    stream_response,
)
from support.browser import SAY_HI
from support.kits import settings
from support.ledger import opening
from support.left_over import threads
from support.rows import database, rows


@pytest.fixture(autouse=True)
def apps_end() -> Iterator[None]:
    """See that an app that is gone takes its kit along, and the ledger's thread."""
    yield
    gc.collect()
    assert threads() == []


def make_app(config: dict[str, Any], **options: Any) -> Flask:
    """Make an app whose only user is 7."""
    app = Flask(__name__)
    app.config["LLMKIT"] = config
    LLMKit(app, **{"get_user": lambda request: "7", **options})
    return app


def test_a_stream_and_a_whole_answer(emulator: Emulator, tmp_path: Path) -> None:
    """The extension's two lines add the routes; both kinds of call are in the books."""
    app = make_app(settings(emulator, ledger={"database": database(tmp_path)}))
    browser = app.test_client()
    with browser.post("/llm/stream", json=SAY_HI) as answer:
        events = SSEDecoder().feed(answer.data)
    assert (answer.status_code, events[-1].data) == (200, "[DONE]")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    whole = browser.post("/llm/complete", json=SAY_HI)
    assert whole.json is not None
    assert whole.json["usage"]["output_tokens"] == 6
    assert [(row["status"], row["user_key"], row["streamed"]) for row in rows(tmp_path)] == [
        ("finished", "7", 1),
        ("finished", "7", 0),
    ]


def test_the_pages(emulator: Emulator) -> None:
    """The pages come under the prefix, also to HEAD; other methods get our 405, and OPTIONS stays Flask's."""
    browser = make_app(settings(emulator), prefix="/ai").test_client()
    assert browser.get("/ai").headers["location"].endswith("/ai/")
    page = browser.get("/ai/")
    assert b"chat.js" in page.data
    head = browser.head("/ai/")
    assert (head.data, head.headers["content-length"]) == (b"", str(len(page.data)))
    refused = browser.get("/ai/stream")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert browser.options("/ai/stream").status_code == 200
    assert browser.get("/llm/").status_code == 404


@pytest.mark.parametrize(
    ("view", "url"),
    [
        (None, None),
        ("log_in", "/in"),
        ("https://login.example/", "https://login.example/"),
        ("gone", None),
    ],
)
def test_the_page_knows_where_to_log_in(
    emulator: Emulator, view: str | None, url: str | None
) -> None:
    """Flask-Login's login_view is in the page, if the app has it."""
    app = make_app(settings(emulator))
    app.add_url_rule("/in", endpoint="log_in", view_func=lambda: "Log in")
    flask_login.LoginManager(app).login_view = view
    page = app.test_client().get("/llm/").text
    assert ("login-url" in page) == (url is not None)
    assert url is None or f'<meta name="login-url" content="{url}">' in page


def test_an_app_without_flask_login_has_no_login_that_we_know(emulator: Emulator) -> None:
    """Then the page has words alone."""
    assert b"login-url" not in make_app(settings(emulator)).test_client().get("/llm/").data


def page_token(browser: FlaskClient) -> dict[str, str]:
    """Return the header that the chat page's script sends."""
    page = browser.get("/llm/")
    assert "Cookie" in page.headers["vary"]
    tag = re.search(r'<meta name="csrf-token" content="([^"]+)" data-header="([^"]+)">', page.text)
    assert tag is not None
    return {tag[2]: tag[1]}


@pytest.mark.parametrize("header", ["X-CSRFToken", "X-Mine"])
def test_the_page_passes_flask_wtfs_check(emulator: Emulator, header: str) -> None:
    """Under CSRFProtect the page carries the token, in the app's header; without it the app's own check refuses."""
    app = make_app(settings(emulator))
    app.config |= {"SECRET_KEY": "for the session", "WTF_CSRF_HEADERS": [header]}
    flask_wtf.CSRFProtect(app)
    browser = app.test_client()
    assert browser.post("/llm/stream", json=SAY_HI).status_code == 400
    sent = page_token(browser)
    assert list(sent) == [header]
    headers = {"sec-fetch-site": "same-origin", **sent}
    answer = browser.post("/llm/stream", json=SAY_HI, headers=headers)
    assert (answer.status_code, SSEDecoder().feed(answer.data)[-1].data) == (200, "[DONE]")


def test_the_page_of_an_app_whose_check_is_off(emulator: Emulator) -> None:
    """Where Flask-WTF's check is off, as in tests, the page carries no token and needs no secret key."""
    app = make_app(settings(emulator))
    app.config["WTF_CSRF_ENABLED"] = False
    flask_wtf.CSRFProtect(app)
    assert b"csrf-token" not in app.test_client().get("/llm/").data


def test_a_failure_before_the_first_text_is_a_status() -> None:
    """The response waits for the first content, so that what fails before it is a real status."""
    with Emulator(behaviour=Behaviour(status=500)) as emulator:
        app = make_app(settings(emulator, retry={"attempts": 1}))
        answer = app.test_client().post("/llm/stream", json=SAY_HI)
    assert answer.status_code == 502
    assert answer.json is not None
    assert answer.json["error"]["hint"]


def test_a_closed_response_stops_the_model(tmp_path: Path) -> None:
    """What a WSGI server does when nobody reads any more: it closes the response."""
    with Emulator(behaviour=Behaviour(tokens=9, delay=0, hold_at=2)) as emulator:
        app = make_app(settings(emulator, ledger={"database": database(tmp_path)}))
        answer = app.test_client().post("/llm/stream", json=SAY_HI)
        assert next(iter(answer.response))
        answer.close()
        emulator.wait_until_gone(0)
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"x" * 20, {"content-type": "text/plain"}, 415),
        (b"{}", {"origin": "https://evil.example", "cookie": "session=1"}, 403),
        (b"{}", {"origin": "https://evil.example", "authorization": "Basic YTpi"}, 403),
        (b"{}", {"origin": "https://spa.example", "authorization": "Bearer x"}, 400),
        (b"{}", {"cookie": "session=1"}, 403),
        (b"{}", {"cookie": "session=1", "sec-fetch-site": "same-origin"}, 400),
        (b"x" * 200, {}, 413),
        (b"not json", {}, 400),
    ],
)
def test_what_is_not_let_in(
    emulator: Emulator, body: bytes, headers: dict[str, str], status: int
) -> None:
    """The door answers as everywhere; nothing goes upstream."""
    browser = make_app(settings(emulator, relay={"max_body": 100})).test_client(use_cookies=False)
    answer = browser.post(
        "/llm/stream", data=body, headers={"content-type": "application/json", **headers}
    )
    assert answer.status_code == status
    assert answer.json is not None
    assert answer.json["error"]["hint"]
    assert emulator.requests == []


def test_the_hosts_own_limit_of_a_body(emulator: Emulator) -> None:
    """A MAX_CONTENT_LENGTH below ours is answered in our words."""
    app = make_app(settings(emulator))
    app.config["MAX_CONTENT_LENGTH"] = 10
    answer = app.test_client().post("/llm/stream", json=SAY_HI)
    assert answer.status_code == 413
    assert answer.json is not None
    assert answer.json["error"]["message"] == "the conversation is larger than 10 bytes"


def test_nobody_is_logged_in(emulator: Emulator) -> None:
    """Without a get_user and without Flask-Login nobody calls."""
    app = Flask(__name__)
    app.config["LLMKIT"] = settings(emulator)
    LLMKit(app)
    assert app.test_client().post("/llm/stream", json=SAY_HI).status_code == 401


class Person(flask_login.UserMixin):
    """Whoever says a name."""

    def __init__(self, name: str) -> None:
        self.id = name


async def nobody(request: flask.Request) -> str | None:
    """Know nobody."""
    return None


async def ann(request: flask.Request) -> str | None:
    """Know ann."""
    return "ann"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda hook: hook,
        lambda hook: lambda request: hook(request),
        lambda hook: functools.partial(hook),
        lambda hook: lambda request: asyncio.wait_for(hook(request), 5),
    ],
)
def test_async_get_user_of_every_style(
    emulator: Emulator, tmp_path: Path, wrap: Callable[[Any], Any]
) -> None:
    """What get_user gives is awaited, however the function is written: None is nobody."""
    config = settings(emulator, ledger={"database": database(tmp_path)})
    refused = make_app(config, get_user=wrap(nobody))
    assert refused.test_client().post("/llm/complete", json=SAY_HI).status_code == 401
    app = make_app(config, get_user=wrap(ann))
    assert app.test_client().post("/llm/complete", json=SAY_HI).status_code == 200
    assert [row["user_key"] for row in rows(tmp_path)] == ["ann"]


@pytest.mark.parametrize(("user", "status"), [("", 401), (False, 401), (True, 503), ({}, 503)])
def test_what_get_user_gives_is_looked_at(emulator: Emulator, user: Any, status: int) -> None:
    """The idiom `user.is_authenticated and user.id` gives False for nobody."""
    app = make_app(settings(emulator), get_user=lambda request: user)
    assert app.test_client().post("/llm/complete", json=SAY_HI).status_code == status
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("options", "said"),
    [({"get_user": lambda request: None}, "get_user returned None"), ({}, "set get_user to say")],
)
def test_the_log_says_why_nobody_is_logged_in(
    emulator: Emulator, options: dict[str, Any], said: str, advice: pytest.LogCaptureFixture
) -> None:
    """A get_user that is set is not told to be set."""
    app = Flask(__name__)
    app.config["LLMKIT"] = settings(emulator)
    LLMKit(app, **options)
    assert app.test_client().post("/llm/complete", json=SAY_HI).status_code == 401
    assert said in advice.text


def test_flask_login_decides(emulator: Emulator, tmp_path: Path) -> None:
    """Without get_user, whoever Flask-Login has logged in is who calls."""
    app = Flask(__name__)
    app.config["LLMKIT"] = settings(emulator, ledger={"database": database(tmp_path)})
    login = flask_login.LoginManager(app)

    @login.request_loader
    def load(request: flask.Request) -> Person | None:
        name = request.headers.get("x-name")
        return Person(name) if name else None

    LLMKit(app)
    browser = app.test_client()
    assert browser.post("/llm/complete", json=SAY_HI).status_code == 401
    answer = browser.post("/llm/complete", json=SAY_HI, headers={"x-name": "ann"})
    assert answer.status_code == 200
    assert [row["user_key"] for row in rows(tmp_path)] == ["ann"]


def test_two_apps_of_one_factory(tmp_path: Path) -> None:
    """One extension object serves two apps, each with its own settings, provider and books."""
    llmkit = LLMKit(get_user=lambda request: Caller(user="7", tenant="acme"))
    with Emulator() as one, Emulator() as two:
        for name, emulator in (("one", one), ("two", two)):
            (tmp_path / name).mkdir()
            app = Flask(name)
            app.config["LLMKIT"] = settings(
                emulator, ledger={"database": database(tmp_path / name)}
            )
            llmkit.init_app(app)
            assert app.test_client().post("/llm/complete", json=SAY_HI).status_code == 200
        assert (len(one.requests), len(two.requests)) == (1, 1)
    for name in ("one", "two"):
        assert [row["tenant"] for row in rows(tmp_path / name)] == ["acme"]


def test_an_app_has_it_once(emulator: Emulator) -> None:
    """A second extension on one app is a mistake, and says what to do instead."""
    app = make_app(settings(emulator))
    with pytest.raises(RuntimeError, match="llmkit_blueprint"):
        LLMKit(app)


def test_the_blueprint_alone_and_more_than_once(emulator: Emulator, tmp_path: Path) -> None:
    """The blueprint brings all that the routes need; each mount has its own way to say who calls."""
    app = Flask(__name__)
    app.config["LLMKIT"] = settings(emulator, ledger={"database": database(tmp_path)})
    app.register_blueprint(llmkit_blueprint(get_user=lambda request: "staff"))

    async def customer(request: flask.Request) -> str:
        return "customer"

    app.register_blueprint(llmkit_blueprint("shop", get_user=customer), url_prefix="/shop/llm")
    with app.test_request_context():
        assert flask.url_for("llmkit.stream") == "/llm/stream"
        assert flask.url_for("shop.llmkit_js") == "/shop/llm/llmkit.js"
    for prefix in ("/llm", "/shop/llm"):
        assert app.test_client().post(f"{prefix}/complete", json=SAY_HI).status_code == 200
    assert [row["user_key"] for row in rows(tmp_path)] == ["staff", "customer"]


def test_flask_sqlalchemys_database(emulator: Emulator, tmp_path: Path) -> None:
    """Without a database of its own the ledger is where the app's data is: in the instance folder, when that is where it is."""
    app = Flask(__name__, instance_path=str(tmp_path))
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///ledger.db"
    app.config["LLMKIT"] = settings(emulator, ledger={})
    LLMKit(app, get_user=lambda request: "7")
    SQLAlchemy(app)  # after ours, as it may be
    assert app.test_client().post("/llm/complete", json=SAY_HI).status_code == 200
    assert [row["user_key"] for row in rows(tmp_path)] == ["7"]


@pytest.mark.parametrize("kind", [str, make_url])
def test_the_uri_alone(emulator: Emulator, tmp_path: Path, kind: Any) -> None:
    """An app that uses the setting without the extension has its rows there too, be it a text or SQLAlchemy's own object."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = kind(database(tmp_path))
    app.config["LLMKIT"] = settings(emulator, ledger={})
    LLMKit(app, get_user=lambda request: "7")
    assert app.test_client().post("/llm/complete", json=SAY_HI).status_code == 200
    assert len(rows(tmp_path)) == 1


def test_a_uri_keeps_its_password() -> None:
    """SQLAlchemy's object shows itself with asterisks, which no database takes."""
    url = "postgresql://ann:s3cret@db.example/app"
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = make_url(url)
    assert state._uri(app) == url


def test_settings_are_checked_at_the_start(emulator: Emulator) -> None:
    """A wrong key, and books without a place, are errors where the app is made."""
    with pytest.raises(ConfigError, match="modells"):
        make_app({**settings(emulator), "modells": {}})
    with pytest.raises(ConfigError, match=r"ledger\.database is not set"):
        make_app(settings(emulator, ledger={}))

    async def later() -> None: ...

    with pytest.raises(ConfigError, match=r"relay\.tools: the tool later is async"):
        make_app({**settings(emulator), "relay": {"tools": [later]}})


BAD_DATABASES = [
    ("nope", "is not a URL"),
    ("mysql://u:p@h/d", "does not support 'mysql'"),
    ("sqlite:////no/such/folder/x.db", "/no/such/folder, does not exist"),
    ("postgresql://u:p@h/d", "pip install 'llmkit[sql]'"),
]


@pytest.mark.parametrize(("url", "said"), BAD_DATABASES)
def test_a_database_that_cannot_be_used(
    emulator: Emulator, url: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known before anything connects is an error where the app is made."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError) as caught:
        make_app(settings(emulator, ledger={"database": url}))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql+pymysql://u:p@h/d", "does not support 'mysql' databases"),
        ("postgresql+psycopg2://u:p@h/d", "psycopg is not installed"),
    ],
)
def test_an_app_whose_own_database_cannot_be_used(
    emulator: Emulator, url: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is where the rows would go into the app's own database, of whose place it is not yet certain."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["LLMKIT"] = settings(emulator, ledger={})
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=said):
        LLMKit(app)


def test_a_provider_that_nobody_knows(emulator: Emulator) -> None:
    """A model that can never be called is an error where the app is made, as in Django's check."""
    with pytest.raises(ConfigError, match=r"Did you mean anthropic\?"):
        make_app({**settings(emulator), "models": {"default": "antropic:m"}})


def test_what_comes_out_at_the_first_call(emulator: Emulator, tmp_path: Path) -> None:
    """The chat page is there all the same; a call is an error in JSON, with the reason in the log."""
    ledger = {"database": database(tmp_path), "connection": "host"}
    browser = make_app(settings(emulator, ledger=ledger)).test_client()
    assert browser.get("/llm/").status_code == 200
    answer = browser.post("/llm/stream", json=SAY_HI)
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["error"]["hint"]


def config_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was said of the settings."""
    return [record.getMessage() for record in caplog.records if record.name == "llmkit.config"]


def test_what_the_settings_lack_is_logged_once(
    emulator: Emulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app may start without a key or a model, and is warned in the words of Django's check."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    make_app({"models": {"default": "openai:m"}, "ledger": False})
    make_app({"models": {"fast": "openai:m"}, "ledger": False})
    make_app({"ledger": False})
    make_app(settings(emulator)).test_client().post("/llm/complete", json=SAY_HI)
    assert config_warnings(caplog) == [
        (
            "'default': there is no API key for openai. "
            "Set the environment variable OPENAI_API_KEY, or providers.openai.api_key."
        ),
        (
            'app.config["LLMKIT"] has no model called "default", which is the one that browsers use. Name one of them "default", '
            'or choose another: app.config["LLMKIT"]["relay"] = {"model": "fast"}.'
        ),
        (
            'app.config["LLMKIT"] names no model. Name one: app.config["LLMKIT"] = '
            '{"models": {"default": "anthropic:claude-sonnet-4-5"}}, before LLMKit(app).'
        ),
    ]


def test_an_app_without_settings(caplog: pytest.LogCaptureFixture) -> None:
    """They are missing, or were set too late: the start says it, and so does each call."""
    app = Flask(__name__)
    said = (
        'app.config["LLMKIT"] is not set. Name a model: app.config["LLMKIT"] = '
        '{"models": {"default": "anthropic:claude-sonnet-4-5"}}, before LLMKit(app).'
    )
    with pytest.raises(ConfigError) as caught:
        LLMKit(app)
    assert str(caught.value) == said
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///:memory:"
    data = SQLAlchemy(app)
    LLMKit(app, get_user=lambda request: "7")
    assert config_warnings(caplog) == [said]
    app.config["LLMKIT"] = {"models": {"default": "ollama:m"}}
    assert app.test_client().post("/llm/complete", json=SAY_HI).status_code == 503
    assert said in caplog.records[-1].getMessage()
    with app.app_context():
        with pytest.raises(ConfigError, match="is not set. Name a model"):
            get_client().complete("Say hi")
        data.engine.dispose()


def test_the_kit_of_the_app(emulator: Emulator, tmp_path: Path) -> None:
    """With what its calls cost."""
    app = make_app(settings(emulator, ledger={"database": database(tmp_path)}))
    with app.app_context():
        get_client().complete("Say hi", user="7")
        assert get_kit().totals.calls == 1


def test_the_command(emulator: Emulator, tmp_path: Path) -> None:
    """`flask llmkit usage` shows the app's own ledger, also before the first call; an app without books says so."""
    app = make_app(settings(emulator, ledger={"database": database(tmp_path)}))
    runner = app.test_cli_runner()
    before = runner.invoke(args=["llmkit", "usage"])
    assert (before.exit_code, before.output.splitlines()[1]) == (0, "0 calls, $0.000000")
    app.test_client().post("/llm/complete", json=SAY_HI)
    assert "1 call, $" in runner.invoke(args=["llmkit", "usage"]).output
    (row,) = json.loads(runner.invoke(args=["llmkit", "usage", "--json"]).output)
    assert row["user_key"] == "7"
    bare = make_app(settings(emulator)).test_cli_runner().invoke(args=["llmkit", "usage"])
    assert bare.exit_code == 1
    assert "does not record its calls" in bare.output


def test_the_command_that_sweeps(emulator: Emulator, tmp_path: Path) -> None:
    """`flask llmkit sweep` marks the rows of processes that have died as lost."""
    app = make_app(settings(emulator, ledger={"database": database(tmp_path)}))
    dead = SQLStore(database_url(database(tmp_path)), worker="dead")
    dead.write([opening(started_at=datetime.now(UTC) - timedelta(hours=1))], [])
    with dead.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM llmkit_worker")
    dead.close()
    found = app.test_cli_runner().invoke(args=["llmkit", "sweep"])
    assert found.output == "1 row of a process that has died is marked as lost.\n"
    bare = make_app(settings(emulator)).test_cli_runner().invoke(args=["llmkit", "sweep"])
    assert bare.exit_code == 1
    assert "does not record its calls" in bare.output


def test_views_of_the_hosts_own(emulator: Emulator) -> None:
    """A view may take the client, and return a stream as its response; HEAD asks nobody."""
    app = make_app(settings(emulator))

    @app.get("/poem")
    def poem() -> flask.Response:
        return stream_response(flask.request, get_client().stream("A poem", user="9"))

    @app.get("/word")
    def word() -> str:
        return get_client().complete("A word").text

    browser = app.test_client()
    assert SSEDecoder().feed(browser.get("/poem").data)[-1].data == "[DONE]"
    assert len(browser.get("/word").text.split()) == 6
    asked = len(emulator.requests)
    assert browser.head("/poem").headers["content-type"].startswith("text/event-stream")
    assert len(emulator.requests) == asked


def test_a_view_without_the_extension_is_told() -> None:
    """`get_client` in an app without llmkit says what to add."""
    with Flask(__name__).app_context(), pytest.raises(ConfigError, match="not installed"):
        get_client()


@pytest.mark.parametrize("ledger", [{}, {"connection": "host"}])
def test_a_database_in_memory(emulator: Emulator, ledger: dict[str, Any]) -> None:
    """An app whose data is in memory, as in its tests, has its rows there too: no other connection would see it."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    app.config["LLMKIT"] = settings(emulator, ledger=ledger)
    data = SQLAlchemy(app)
    LLMKit(app, get_user=lambda request: "7")
    browser = app.test_client()
    browser.post("/llm/complete", json=SAY_HI)
    assert SSEDecoder().feed(browser.post("/llm/stream", json=SAY_HI).data)[-1].data == "[DONE]"
    with app.app_context():
        found = data.session.execute(data.text("SELECT status FROM llmkit_usage")).scalars()
        assert list(found) == ["finished", "finished"]
        data.session.remove()
        data.engine.dispose()


def test_a_budget_that_is_nearly_used_is_a_signal(emulator: Emulator, tmp_path: Path) -> None:
    """Its receivers run in the app's context, as does the function of the settings."""
    told: list[Any] = []

    def hook(warning: BudgetWarning) -> None:
        told.append((flask.current_app.name, warning.name))

    def receiver(sender: Flask, warning: BudgetWarning) -> None:
        told.append((flask.current_app.name, sender is app, warning.used))

    def broken(sender: Flask, warning: BudgetWarning) -> None:
        raise ValueError

    budget = {"scope": "user", "per": "ever", "requests": 2, "warn_at": 0.5}
    config = settings(emulator, ledger={"database": database(tmp_path)}, budgets=[budget])
    app = make_app({**config, "on_budget_warning": hook})
    with budget_warning.connected_to(broken, app), budget_warning.connected_to(receiver, app):
        app.test_client().post("/llm/complete", json=SAY_HI)
        with app.app_context():
            get_kit().runtime.flush(30)
    assert told == [(app.name, "7"), (app.name, True, 1)]


def test_a_tool_runs_in_the_apps_context(emulator: Emulator, tmp_path: Path) -> None:
    """Also where it is streamed, when the request's own has ended; each has its session, which goes with it."""
    data = SQLAlchemy()

    class Note(data.Model):  # type: ignore[name-defined,misc]
        id = data.Column(data.Integer, primary_key=True)

    ended: list[int] = []

    def notes(context: ToolContext) -> dict[str, Any]:
        """Count the notes."""
        found = data.session.query(Note).count()
        return {"app": flask.current_app.name, "notes": found, "user": context.caller.user}

    def approve(*_: object) -> bool:
        return data.session.query(Note).count() == 1

    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path / 'app.db'}"
    app.config["LLMKIT"] = settings(emulator)
    data.init_app(app)
    LLMKit(app, get_user=lambda request: "7")

    @app.teardown_appcontext
    def count(_: object) -> None:
        ended.append(threading.get_ident())

    @app.post("/run")
    def run() -> str:
        return get_client().run("Say hi", tools=[notes], approve=approve, user="7").text

    @app.post("/stream")
    def stream() -> flask.Response:
        manager = get_client().run_stream("Say hi", tools=[notes], approve=approve, user="7")
        return stream_response(flask.request, manager)

    with app.app_context():
        data.create_all()
        data.session.add(Note())
        data.session.commit()
    uses = Behaviour(calls=({"name": "notes"}, {"name": "notes"}), delay=0)
    for path in ("/run", "/stream"):
        ended.clear()
        emulator.script(uses)
        with app.test_client().post(path) as answer:
            assert answer.status_code == 200
            assert answer.data
        # Of two tools and two approvals.
        assert len([thread for thread in ended if thread != threading.get_ident()]) == 4
        sent = emulator.requests[-1].body["messages"][-1]["content"]
        said = [json.loads(part["content"]) for part in sent]
        assert said == [{"app": app.name, "notes": 1, "user": "7"}] * 2
    with app.app_context():
        data.engine.dispose()
