"""The settings of the cache."""

from __future__ import annotations

from typing import Literal

from llmkit.config.sections import Section
from llmkit.config.values import Count, Seconds

CacheScope = Literal["user", "tenant", "all"]
"""Who may get an answer that was kept: whoever asked, all of their tenant, or everybody."""


class CacheConfig(Section):
    """Which answers are kept, for whom, where and for how long.

    `ttl` is in seconds. With the scope "user" each user has answers of their own, and calls without a user keep none; with "tenant" it is the
    same for tenants; with "all" everybody gets everybody's. `when` says whether only calls with temperature 0 are kept, whose answer is
    always the same, or "always" all; a call can say it for itself. `store` is "memory" of each process, "redis", or "host", the cache of
    Django or Flask-Caching; by default it is Redis if that is set, else memory. `max_bytes` is how much of its memory a process uses.
    """

    ttl: Seconds = 3600
    scope: CacheScope = "user"
    when: Literal["deterministic", "always"] = "deterministic"
    store: Literal["memory", "redis", "host"] | None = None
    max_bytes: Count = 64_000_000
