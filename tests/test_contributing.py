"""CONTRIBUTING's map of the code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACES = (
    ROOT,
    ROOT / "llmkit",
    ROOT / "llmkit/relay",
    ROOT / "llmkit/providers",
    ROOT / "integrations",
)


def test_every_file_that_it_names_is_there() -> None:
    """A newcomer who follows the map arrives."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./]+\.(?:py|toml))`", text))
    assert len(named) > 30
    missing = [name for name in named if not any((place / name).is_file() for place in PLACES)]
    assert not missing


def test_every_name_that_it_gives_is_there() -> None:
    """A class that was renamed is renamed there, too."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(Async\w+|\w*Relay|\w*Decoder|Store|\w+Ledger|WireName)`", text))
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("llmkit", "integrations")
        for path in (ROOT / folder).rglob("*.py")
    )
    assert len(named) > 8
    assert not [
        name for name in named if not re.search(rf"class {name}\b|^{name} =", code, re.MULTILINE)
    ]
