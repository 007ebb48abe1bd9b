"""What relaying costs against the same relay over the vendor's SDK, in one run: a ratio, which every machine can tell."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.bench import LOADS, RELAYS, Load, compare
from llmkit.testing import Behaviour, Emulator
from support.processes import environ


def test_a_kept_answer_costs_half() -> None:
    """Of a call that goes to the provider, at most."""
    script = str(Path(__file__).with_name("hits.py"))
    with Emulator(behaviour=Behaviour(tokens=20, delay=0)) as emulator:
        command = [sys.executable, script, emulator.base_url]
        found = subprocess.run(command, env=environ(), capture_output=True, text=True, check=True)
    costs = json.loads(found.stdout)
    assert costs["kept"] < costs["made"] * 0.5


@pytest.mark.parametrize(
    ("load", "limit"),
    [
        (replace(LOADS["burst"], tokens=150, per=150), 0.10),
        (replace(LOADS["paced"], tokens=40, per=40), 0.60),
        (LOADS["setup"], 0.50),
        (LOADS["call"], 0.50),
    ],
    ids=["burst", "paced", "setup", "call"],
)
def test_a_relay_costs_a_fraction(load: Load, limit: float) -> None:
    """A token and a call cost a part of what they cost over the SDK; every answer is complete."""
    pytest.importorskip("anthropic", minversion="0.60")
    pytest.importorskip("sse_starlette")
    costs = compare(load, {name: RELAYS[name] for name in ("llmkit", "anthropic SDK")}, runs=3)
    assert costs["llmkit"] < costs["anthropic SDK"] * limit
