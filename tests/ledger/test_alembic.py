"""The line that the README gives to those who use Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from llmkit.ledger import open_ledger
from support.ledger import closing, opening

alembic = pytest.importorskip("alembic")


def differences(engine: sa.Engine, **options: Any) -> list[str]:
    """Return what autogenerate would do to a database whose app has no tables of its own."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        return [kind for kind, *_ in compare_metadata(context, sa.MetaData())]


def test_autogenerate_leaves_the_table_alone(tmp_path: Path) -> None:
    """Without the line it would drop our table, with it nothing of ours is touched."""
    url = f"sqlite:///{tmp_path}/a.db"
    ledger = open_ledger(url, worker="test")
    ledger.record(opening(), closing())
    ledger.close()
    engine = sa.create_engine(url)
    assert "remove_table" in differences(engine)
    kept = differences(
        engine, include_object=lambda item, name, *_: not str(name).startswith("llmkit_")
    )
    assert kept == []
    engine.dispose()
