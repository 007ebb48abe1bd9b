"""Each host runs for as long as tests want it; between two of them it is only reset."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contract.hosts import HOSTS, Host, running


@pytest.fixture(scope="module", params=HOSTS)
def running_host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    with running(request.param, tmp_path_factory.mktemp(request.param)) as host:
        yield host


@pytest.fixture
def host(running_host: Host) -> Host:
    running_host.reset()
    return running_host
