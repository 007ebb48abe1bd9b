"""The stores that budgets are tested on."""

from __future__ import annotations

import pytest

from support.budgets import STORES, Budgets, params


@pytest.fixture(params=params("memory", "sqlite", "engine", "django"))
def budgets(request: pytest.FixtureRequest) -> Budgets:
    """Return each store whose clock a test can set."""
    return STORES[request.param](request)


@pytest.fixture(params=params(*STORES))
def any_budgets(request: pytest.FixtureRequest) -> Budgets:
    """Return each store, also one whose clock is a server's."""
    return STORES[request.param](request)
