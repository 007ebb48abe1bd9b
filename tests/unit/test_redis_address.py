"""URLs of Redis, which may be those of other programs, too."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from llmkit import ConfigError
from llmkit.redis.address import Address
from llmkit.redis.asking import Patience, Script
from support.redis_server import any_redis_url

pytest.importorskip("redis")

from llmkit.redis.room import RedisRoom


def test_how_long_is_waited_is_not_the_urls_to_say() -> None:
    """Nor how often, nor how answers are read; the rest is."""
    url = "rediss://:a%40b@h:1/2?socket_timeout=30&ssl_cert_reqs=none&retry_on_timeout=1&max_connections=50"
    address = Address(url)
    assert address.url == "rediss://:a%40b@h:1/2?ssl_cert_reqs=none"
    assert address.at_once == 16
    assert Address("redis://h?max_connections=2").at_once == 2
    assert Address("redis+cluster://h?socket_timeout=3").url == "redis://h"


def test_fewer_connections_than_threads() -> None:
    """They wait for one another: a server that allows few is no server that is away."""
    url = any_redis_url()
    with (
        closing(RedisRoom(f"{url}{'&' if '?' in url else '?'}max_connections=2")) as room,
        ThreadPoolExecutor(12) as threads,
    ):
        script = Script("return redis.call('PING')")
        asked = [threads.submit(room.run, script, [], [], Patience()) for _ in range(60)]
        assert {str(each.result()) for each in asked} == {"PONG"}


@pytest.mark.parametrize(
    "url",
    ["redis://h:abc/0", "http://h", "redis://h?timeout=3", "redis://h?protocol=many", "nonsense"],
)
def test_a_url_that_cannot_be_used(url: str) -> None:
    """It is refused at once, with what it looks like: not when the first call is made."""
    with pytest.raises(ConfigError, match='of the form "redis://localhost:6379/0"') as caught:
        RedisRoom(url)
    assert url not in str(caught.value)
