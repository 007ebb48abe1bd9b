"""A store of each kind for a test, empty."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from llmkit.ledger.base import Maintained
from llmkit.ledger.database import database_url
from llmkit.ledger.sql import EngineStore, SQLStore


def own(request: pytest.FixtureRequest, database: str) -> Maintained:
    """Keep rows over a connection of llmkit's."""
    store = SQLStore(database_url(request.getfixturevalue(database)), worker="test")
    request.addfinalizer(store.close)
    return store


def on_engine(request: pytest.FixtureRequest) -> Maintained:
    """Keep rows over an engine of the host's, in memory."""
    engine = sa.create_engine("sqlite://", poolclass=StaticPool)
    request.addfinalizer(engine.dispose)
    return EngineStore(engine, worker=lambda: "test")


def django(_: pytest.FixtureRequest) -> Maintained:
    """Keep rows in Django's model."""
    pytest.importorskip("django")
    from llmkit_django.store import DjangoStore

    return DjangoStore(lambda: "test", own=False)


MAINTAINED: dict[str, Callable[[pytest.FixtureRequest], Maintained]] = {
    "sqlite": lambda request: own(request, "sqlite"),
    "postgres": lambda request: own(request, "postgres"),
    "engine": on_engine,
    "django": django,
}


def params(*names: str) -> list[object]:
    """Return the parameters of a fixture: the names of stores, with the marks that they need."""
    return [
        pytest.param(name, marks=[pytest.mark.django_db] * (name == "django")) for name in names
    ]
