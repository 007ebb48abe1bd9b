"""Foreign texts that have to fit a column."""

from __future__ import annotations

import pytest

from llmkit.ledger.columns import SIZES
from llmkit.ledger.values import fit_column, fit_tags


@pytest.mark.parametrize("name", sorted(SIZES))
@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_column_holds_its_size(name: str, letter: str) -> None:
    """A text of that length stays as it is; a longer one is cut to it, and two longer ones stay apart."""
    size = SIZES[name]
    whole = letter * size
    assert fit_column(name, whole) == whole
    cut, other = fit_column(name, whole + "a"), fit_column(name, whole + "b")
    assert cut is not None
    assert other is not None
    assert len(cut) == len(other) == size
    assert cut != other
    assert fit_column(name, None) is None


def test_tags_hold_255_characters() -> None:
    """Of their names and of their values."""
    kept = {"n" * 255: "v" * 255}
    assert fit_tags(kept) == kept
    ((name, value),) = fit_tags({"n" * 256: "v" * 256}).items()
    assert (len(name), len(value)) == (255, 255)
