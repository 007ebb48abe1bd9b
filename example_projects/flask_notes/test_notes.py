"""The notes, and what is asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from app import create_app, db
from flask import Flask
from flask.testing import FlaskClient
from llmkit.testing import Behaviour, Emulator
from sqlalchemy import text


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(behaviour=Behaviour(tokens=5, delay=0)) as running:
        yield running


@pytest.fixture
def app(emulator: Emulator, tmp_path: Path) -> Iterator[Flask]:
    llmkit = {
        "providers": {"anthropic": {"api_key": "test", "base_url": emulator.base_url}},
        "models": {"default": "anthropic:claude-haiku-4-5"},
    }
    app = create_app(SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/notes.db", LLMKIT=llmkit)
    yield app
    with app.app_context():
        db.engine.dispose()


def log_in(app: Flask, name: str) -> FlaskClient:
    """Log in as somebody new."""
    browser = app.test_client()
    browser.post("/login", data={"name": name, "password": "secret"})
    return browser


def ask(browser: FlaskClient) -> str:
    """Ask, and return the status and the frames."""
    question = {"messages": [{"role": "user", "content": "When do I see the dentist?"}]}
    answer = browser.post("/ask", json=question)
    return f"{answer.status_code} {answer.get_data(as_text=True)}"


def test_an_answer_from_ones_own_notes(app: Flask, emulator: Emulator) -> None:
    """The model gets the notes of who asks, and of nobody else; the call is in the app's own database."""
    ann, ben = log_in(app, "ann"), log_in(app, "ben")
    ann.post("/", data={"text": "dentist on Tuesday"})
    ben.post("/", data={"text": "buy milk"})
    assert "data: [DONE]" in ask(ann)
    sent = str(emulator.requests[0].body)
    assert "dentist on Tuesday" in sent
    assert "milk" not in sent
    with app.app_context():
        rows = db.session.execute(text("SELECT user_key, status FROM llmkit_usage")).all()
    assert [tuple(row) for row in rows] == [("1", "finished")]


@pytest.mark.parametrize(
    ("next_url", "goes_to"),
    [("/llm/", "/llm/"), ("", "/"), ("https://evil.example/", "/"), ("//evil.example/", "/")],
)
def test_a_login_leads_back(app: Flask, next_url: str, goes_to: str) -> None:
    """To the page that asked for it, such as the chat page, and to no other site."""
    form = {"name": "ada", "password": "secret"}
    answer = app.test_client().post("/login", query_string={"next": next_url}, data=form)
    assert answer.location == goes_to


def test_nobody_asks_without_a_login(app: Flask, emulator: Emulator) -> None:
    """The app's own login stands before the model, and llmkit's routes ask it too."""
    assert ask(app.test_client()).startswith("302")
    stranger = {"messages": [{"role": "user", "content": "Hi"}]}
    assert app.test_client().post("/llm/stream", json=stranger).status_code == 401
    assert emulator.requests == []
