"""The shop, and what is asked in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from app import create_app
from fastapi import FastAPI
from llmkit.testing import Behaviour, Emulator
from sqlalchemy import text
from starlette.testclient import TestClient


def asks(question: str) -> dict[str, object]:
    """Return what a customer's browser sends."""
    return {"messages": [{"role": "user", "content": question}]}


QUESTION = asks("Does it whistle?")


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(behaviour=Behaviour(tokens=5, delay=0)) as running:
        yield running


@pytest.fixture
def app(emulator: Emulator, tmp_path: Path) -> Iterator[FastAPI]:
    provider = {"api_key": "test", "base_url": emulator.base_url}
    app = create_app(f"sqlite:///{tmp_path}/shop.db", {"providers": {"anthropic": provider}})
    yield app
    app.state.engine.dispose()


def test_a_customer_asks(app: FastAPI, emulator: Emulator) -> None:
    """The model gets the product's description; the call is in the shop's own database, under the customer."""
    with TestClient(app) as browser:
        browser.post("/login", data={"name": "Ann"})
        answer = browser.post("/products/1/ask", json=QUESTION)
        assert "data: [DONE]" in answer.text
    assert "induction" in str(emulator.requests[0].body)
    with app.state.engine.connect() as connection:
        rows = connection.execute(text("SELECT user_key, status FROM llmkit_usage")).all()
    assert [tuple(row) for row in rows] == [("1", "finished")]


def test_a_customer_asks_for_something_else(app: FastAPI, emulator: Emulator) -> None:
    """The model looks into the shop's own table; the browser sees that it looks, and not for what."""
    find = {"name": "find_products", "arguments": {"word": "four cups"}}
    emulator.script(Behaviour(text="Let me see.", calls=(find,), delay=0))
    with TestClient(app) as browser:
        browser.post("/login", data={"name": "Ann"})
        answer = browser.post("/products/1/ask", json=QUESTION)
    assert '"name":"find_products","state":"done"' in answer.text
    assert "Stoneware" not in answer.text
    (result,) = emulator.requests[1].body["messages"][-1]["content"]
    assert "Teapot" in result["content"]
    assert "Kettle" not in result["content"]
    with app.state.engine.connect() as connection:
        rows = connection.execute(text("SELECT run_id, status FROM llmkit_usage")).all()
    assert [row.status for row in rows] == ["finished", "finished"]
    assert rows[0].run_id == rows[1].run_id


def test_a_customer_asks_too_often(app: FastAPI, emulator: Emulator) -> None:
    """The eleventh question within a minute is refused, with the time to wait; another customer's is not."""
    with TestClient(app) as browser:
        browser.post("/login", data={"name": "Ann"})
        answers = [browser.post("/products/1/ask", json=asks(f"{at}?")) for at in range(11)]
        assert [answer.status_code for answer in answers] == [200] * 10 + [429]
        assert 0 < int(answers[-1].headers["retry-after"]) <= 61
        assert len(emulator.requests) == 10
        browser.post("/login", data={"name": "Ben"})
        assert browser.post("/products/1/ask", json=QUESTION).status_code == 200


def test_a_question_is_answered_once(app: FastAPI, emulator: Emulator) -> None:
    """For all customers, with the same words; another question, or one about another product, is asked."""
    with TestClient(app) as browser:
        answers = []
        for name in ("Ann", "Ben"):
            browser.post("/login", data={"name": name})
            answer = browser.post("/products/1/ask", json=QUESTION).text
            answers.append("".join(re.findall(r'"text":"([^"]+)"', answer)))
        assert answers[0] == answers[1] != ""
        assert len(emulator.requests) == 1
        browser.post("/products/1/ask", json=asks("Is it red?"))
        browser.post("/products/2/ask", json=QUESTION)
        assert len(emulator.requests) == 3
    with app.state.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT user_key, status, saved_usd FROM llmkit_usage")
        ).all()
    assert [row.status for row in rows] == ["finished", "cached", "finished", "finished"]
    assert rows[1].user_key == "2"
    assert float(rows[1].saved_usd) > 0


def test_strangers_do_not(app: FastAPI, emulator: Emulator) -> None:
    """The shop's own login stands before the model, and llmkit's routes ask it too."""
    with TestClient(app) as browser:
        assert browser.post("/products/1/ask", json=QUESTION).status_code == 401
        assert browser.post("/llm/stream", json=QUESTION).status_code == 401
    assert emulator.requests == []
