"""A shop: products, and people who log in. llmkit answers what they ask about a product."""

from __future__ import annotations

import os
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from llmkit import AsyncClient  # added for llmkit
from llmkit_asgi import LLMKitMiddleware, get_client, stream_response  # added for llmkit
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from starlette.middleware.sessions import SessionMiddleware

HERE = Path(__file__).parent
SYSTEM = "You sell in a small shop. Answer from descriptions alone, in a few sentences. You may look for other products."
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Shop</title>
<link rel="stylesheet" href="/static/shop.css">
<header><h1>Shop</h1>{who}</header>
{body}
"""


class Base(DeclarativeBase):
    """The shop's tables."""


class Product(Base):
    """What the shop sells."""

    __tablename__ = "products"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str]


class Customer(Base):
    """Who buys."""

    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


STOCK = (
    ("Kettle", "Holds 1.5 litres, whistles when the water boils, works on gas and on induction."),
    ("Teapot", "Stoneware for four cups, with a strainer. Not for the dishwasher."),
)


def create_app(database: str, llmkit: dict[str, Any] | None = None) -> FastAPI:
    """Make the app, over a database."""
    engine = create_engine(database)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        if session.scalar(select(Product)) is None:
            session.add_all(Product(name=name, description=text) for name, text in STOCK)
            session.commit()
    app = FastAPI()
    app.state.engine = engine
    app.state.find_products = finder(engine)
    app.mount("/static", StaticFiles(directory=HERE / "static"))

    # Added for llmkit. It stands inside the session's middleware, which is added after it.
    app.add_middleware(
        LLMKitMiddleware,
        config={
            "models": {"default": "anthropic:claude-haiku-4-5"},
            # In no minute may the model answer a customer more often than this.
            "budgets": [{"scope": "user", "per": "minute", "requests": 10}],
            # The same question about a product is answered once a day, for all customers.
            "cache": {"scope": "all", "ttl": 24 * 3600},
            "ledger": {"database": database},
            **(llmkit or {}),
        },
        get_user=lambda scope: scope["session"].get("customer"),
    )
    app.add_middleware(
        SessionMiddleware, secret_key=os.environ.get("SECRET_KEY", os.urandom(16).hex())
    )

    app.get("/")(shop)
    app.post("/login")(log_in)
    app.post("/products/{product_id}/ask")(ask)
    return app


def finder(engine: Engine) -> Callable[[str], list[dict[str, str]]]:
    """Make the tool that looks into the shop's table. Added for llmkit."""

    def find_products(word: str) -> list[dict[str, str]]:
        """Find what the shop sells by a word of its name or description."""
        with Session(engine) as session:
            found = session.scalars(select(Product))
            return [
                {"name": each.name, "description": each.description}
                for each in found
                if word.lower() in f"{each.name} {each.description}".lower()
            ]

    return find_products


def products(request: Request) -> list[Product]:
    """Load what the shop sells."""
    with Session(request.app.state.engine, expire_on_commit=False) as session:
        return list(session.scalars(select(Product).order_by(Product.id)))


def shop(request: Request, sold: Annotated[list[Product], Depends(products)]) -> HTMLResponse:
    """Show the shop."""
    is_known = "customer" in request.session
    who = (
        ""
        if is_known
        else (
            '<form method="post" action="/login"><input name="name" aria-label="Your name" '
            'placeholder="Your name" required><button>Log in</button></form>'
        )
    )
    return HTMLResponse(PAGE.format(who=who, body="".join(_card(item, is_known) for item in sold)))


async def form(request: Request) -> dict[str, list[str]]:
    """Read a form."""
    return parse_qs((await request.body()).decode())


def log_in(request: Request, sent: Annotated[dict[str, list[str]], Depends(form)]) -> Response:
    """Log in by name, as somebody new or known."""
    if "name" not in sent:
        raise HTTPException(400, "Say your name.")
    (name,) = sent["name"]
    with Session(request.app.state.engine) as session:
        customer = session.scalar(select(Customer).filter_by(name=name))
        if customer is None:
            customer = Customer(name=name)
            session.add(customer)
            session.commit()
        request.session["customer"] = str(customer.id)
    return RedirectResponse("/", status_code=303)


async def ask(
    product_id: int,
    request: Request,
    sold: Annotated[list[Product], Depends(products)],
    client: Annotated[AsyncClient, Depends(get_client)],
) -> Response:
    """Answer a question about a product. Added for llmkit."""
    customer = request.session.get("customer")
    if customer is None:
        raise HTTPException(401, "Log in first.")
    product = next((item for item in sold if item.id == product_id), None)
    if product is None:
        raise HTTPException(404, "There is no such product.")
    question = (await request.json())["messages"][-1]["content"]
    prompt = f"{product.name}: {product.description}\n\nQuestion: {question}"
    tools = [request.app.state.find_products]
    stream = client.run_stream(
        prompt, tools=tools, max_steps=3, system=SYSTEM, user=customer, cache=True
    )
    return stream_response(request, stream)


def _card(product: Product, is_known: bool) -> str:  # noqa: FBT001
    card = f"<article><h2>{escape(product.name)}</h2><p>{escape(product.description)}</p>"
    if not is_known:
        return f"{card}<p>Log in to ask about it.</p></article>"
    return (
        f'{card}<form data-url="/products/{product.id}/ask"><input name="question" '
        'aria-label="A question" placeholder="A question" required><button>Ask</button></form>'
        '<p class="answer" aria-live="polite"></p></article>'
        '<script type="module" src="/static/shop.js"></script>'
    )
