"""The public names."""

from __future__ import annotations

import llmkit


def test_all_is_sorted_and_complete() -> None:
    """Every public name is in `__all__`, in order, and has a home."""
    assert llmkit.__all__ == sorted(llmkit.__all__)
    assert set(llmkit.__all__) == set(llmkit._HOMES)


def test_every_name_is_there() -> None:
    """Each name can be loaded, and is listed by `dir`."""
    assert {name for name in llmkit.__all__ if not hasattr(llmkit, name)} == set()
    assert set(llmkit.__all__) <= set(dir(llmkit))
