"""What the README shows, run."""

from __future__ import annotations

import ast
import asyncio
import collections
import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest

from llmkit import Kit
from llmkit.config import Config, ProviderConfig
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


def rows_of(heading: str) -> list[list[str]]:
    """Return the cells of the table whose heading begins so."""
    _, _, table = README.partition(f"| {heading}")
    lines = table.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_key_of_a_provider() -> None:
    """Is in the table."""
    keys = {
        key for first, _ in rows_of("`providers.NAME.`") for key in re.findall(r"`(\w+)`", first)
    }
    assert keys == set(ProviderConfig.model_fields)


def test_other_clouds() -> None:
    """Their settings are good ones, and each has a price."""
    (block,) = re.findall(r'```python\n("providers": {\n    # Azure.*?)```', README, re.DOTALL)
    config = Config.of(ast.literal_eval(f"{{{block}}}"))
    assert {name.partition(":")[0] for name in config.prices} == set(config.providers)


@pytest.mark.parametrize(
    ("wire", "row"), [("anthropic", 0), ("gemini", 1), ("openai", 2), ("ollama", 3)]
)
def test_what_a_vendor_has_alone(wire: str, row: int) -> None:
    """The emulator takes it as the vendor does; what a model thinks is in the reply."""
    given = re.findall(r"`([^`]*)`", rows_of("| `extra=`")[row][1])[: 2 if wire == "openai" else 1]
    for wires, extra in zip((wire, "openai-responses"), given, strict=False):
        with Emulator(behaviour=Behaviour(thinking="Hm.", delay=0)) as emulator:
            kit = make_kit(emulator, wire=wires)
            assert kit.client.complete("Hi", extra=ast.literal_eval(extra)).thinking == "Hm."
            kit.close()
            sent = emulator.requests[0].body
        assert ast.literal_eval(extra).keys() <= sent.keys()


@pytest.mark.parametrize("wire", ["anthropic", "gemini", "ollama", "openai"])
def test_where_the_emulator_is(wire: str) -> None:
    """Is said for each format, and which of them needs no key."""
    addresses = rows_of("format | `base_url`")
    address = next(address for formats, address in addresses if wire in formats.lower())
    with Emulator(behaviour=Behaviour(delay=0)) as emulator:
        shown = {"`emulator.base_url`": emulator.base_url}
        provider = {"base_url": shown.get(address, emulator.openai_base_url)}
        if wire != "ollama":
            provider["api_key"] = "any"
        kit = Kit({"providers": {wire: provider}, "ledger": False})
        assert kit.client.complete("Hi", model=f"{wire}:m").text
        kit.close()
