"""What all tests share."""

from __future__ import annotations

import pytest

import llmkit


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, the loop of every server that llmkit names."""
    return "asyncio"


def pytest_report_header() -> str:
    """Say which llmkit is tested: the checkout's or a wheel's."""
    return f"llmkit {llmkit.__version__} from {llmkit.__file__}"
