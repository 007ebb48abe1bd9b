"""A store of kept answers of each kind, empty."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import flask
import pytest

from llmkit.cache.base import CacheStore
from llmkit.cache.host import HostCache
from llmkit.cache.memory import MemoryCache
from llmkit.cache.redis import RedisCache


def memory(_: pytest.FixtureRequest) -> CacheStore:
    """Keep them in memory."""
    return MemoryCache(1_000_000)


def redis(request: pytest.FixtureRequest) -> CacheStore:
    """Keep them in a Redis."""
    pytest.importorskip("redis", minversion="6")
    from llmkit.redis.room import RedisRoom
    from support.redis_server import any_redis_url, wait_long

    wait_long(request.getfixturevalue("monkeypatch"))
    room = RedisRoom(any_redis_url())
    request.addfinalizer(room.close)
    return RedisCache(room, namespace=f"test-{uuid4()}")


def django(_: pytest.FixtureRequest) -> CacheStore:
    """Keep them in Django's cache framework."""
    from llmkit_django.caching import DjangoBackend

    return HostCache(DjangoBackend(), namespace=f"test-{uuid4()}", new_id=lambda: str(uuid4()))


def flask_caching(_: pytest.FixtureRequest) -> CacheStore:
    """Keep them in Flask-Caching."""
    caching = pytest.importorskip("flask_caching")
    from llmkit_flask.caching import FlaskBackend

    app = flask.Flask(__name__)
    cache = caching.Cache(app, config={"CACHE_TYPE": "SimpleCache"})
    return HostCache(FlaskBackend(cache, app), namespace="test", new_id=lambda: str(uuid4()))


STORES: dict[str, Callable[[pytest.FixtureRequest], CacheStore]] = {
    "memory": memory,
    "redis": redis,
    "django": django,
    "flask-caching": flask_caching,
}
