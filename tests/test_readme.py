"""What the README shows, run."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import math
import re
from pathlib import Path
from typing import Any

from llmkit import Kit
from llmkit.testing import Behaviour, Emulator
from support.kits import make_kit
from support.rows import database, rows

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def shown(name: str) -> Any:
    """Run the block that defines a class, but for its last paragraph, and return the class."""
    (block,) = re.findall(rf"```python\n(class {name}:.*?)\n\n[^\n]*= llmkit\.", README, re.DOTALL)
    modules = (asyncio, collections, dataclasses)
    names: dict[str, Any] = {module.__name__: module for module in modules}
    exec(block, names)  # noqa: S102  # it is ours
    return names[name]


WORDS = ("capital", "france", "spain", "what", "which", "tell")


def embed(text: str) -> list[float]:
    """Count words."""
    said = re.findall(r"\w+", text.lower())
    counts = [1 + 5 * said.count(word) for word in WORDS]
    return [count / math.hypot(*counts) for count in counts]


def test_a_semantic_cache(tmp_path: Path) -> None:
    """What is alike is given again, to whoever may have it; the rest is asked."""
    with Emulator(behaviour=Behaviour(tokens=5, delay=0)) as emulator:
        kit: Kit = make_kit(
            emulator,
            ledger={"database": database(tmp_path)},
            cache={},
            middleware=[shown("SemanticCache")(embed, alike=0.9)],
        )

        def ask(question: str, user: Any = 7, **options: Any) -> bool:
            reply = kit.client.complete(question, user=user, **options)
            assert len(reply.text.split()) == 5
            return reply.cached

        async def ask_async(question: str) -> bool:
            reply = await kit.async_client.complete(question, user=7)
            await kit.aclose()
            return reply.cached

        assert not ask("What is the capital of France?")
        assert ask("What capital has France?")
        assert not ask("What is the capital of Spain?")
        assert ask("What capital has Spain")
        assert not ask("What capital has France", cache=False)
        assert not ask("What capital has France", temperature=0.5)
        assert asyncio.run(ask_async("What is France's capital?"))
        assert not ask("What capital has France?", user=8)
        assert not ask("What capital has France?", user=None)
        assert not ask("What capital has France?", user=None)
        kit.close()
    statuses = [row["status"] for row in rows(tmp_path)]
    assert [status == "cached" for status in statuses] == [
        *(False, True, False, True, False, False, True, False, False, False)
    ]
