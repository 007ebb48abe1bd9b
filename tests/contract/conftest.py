"""Each host runs for as long as tests want it; between two of them it is only reset."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contract.hosts import ALL_HOSTS, HOSTS, Host, running
from support.kits import ALL_WIRES

# What a host does hardly hangs on the wire: one of event loops and one of threads have them all, where all hosts are tried.
_OTHERS = [
    f"{name} {wire}"
    for name in ("starlette-uvicorn", "flask-gthread")
    if name in HOSTS and ALL_HOSTS
    for wire in ALL_WIRES
    if wire != "anthropic"
]


@pytest.fixture(scope="module", params=[*HOSTS, *_OTHERS])
def running_host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    name, _, wire = request.param.partition(" ")
    with running(name, tmp_path_factory.mktemp(name), wire=wire or "anthropic") as host:
        yield host


@pytest.fixture
def host(running_host: Host) -> Host:
    running_host.reset()
    return running_host
