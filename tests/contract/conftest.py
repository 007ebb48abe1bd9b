"""Each host runs for as long as tests want it; between two of them it is only reset."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from contract.hosts import ALL_HOSTS, HOSTS, Host, running
from support.kits import ALL_WIRES

# A host of event loops and one of threads have every wire, where all hosts are tried, in the tests that hang on it: those with this mark, or
# all of them by hand.
EVERY_WIRE = "every_wire"
BY_HAND = "LLMKIT_TEST_WIRES" in os.environ
OTHERS = [
    f"{name} {wire}"
    for name in ("starlette-uvicorn", "flask-gthread")
    for wire in ALL_WIRES
    if ALL_HOSTS and wire != "anthropic"
]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{EVERY_WIRE}: what the test sees hangs on the wire format")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "running_host" not in metafunc.fixturenames:
        return
    has_its_own = metafunc.module.__dict__.get("running_host") is not None
    marked = metafunc.definition.get_closest_marker(EVERY_WIRE) is not None
    if not has_its_own:
        others = OTHERS if marked or BY_HAND else []
        metafunc.parametrize("running_host", [*HOSTS, *others], indirect=True, scope="module")


@pytest.fixture(scope="module")
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
