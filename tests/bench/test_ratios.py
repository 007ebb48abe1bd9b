"""What relaying costs against the same relay over the vendor's SDK, in one run: a ratio, which every machine can tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.bench import LOADS, Load, compare

pytest.importorskip("anthropic", minversion="0.60")
pytest.importorskip("sse_starlette")


@pytest.mark.parametrize("load", ["call", "setup"])
def test_a_kept_answer_costs_half(load: str) -> None:
    """Of a call that goes to the provider, at most; whole and streamed."""
    costs = compare(LOADS[load], ["llmkit", "llmkit, from its cache"], runs=3)
    assert costs["llmkit, from its cache"] < costs["llmkit"] * 0.5


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
    costs = compare(load, ["llmkit", "anthropic SDK"], runs=3)
    assert costs["llmkit"] < costs["anthropic SDK"] * limit
