"""What a debug page or an error tracker would show of an error."""

from __future__ import annotations

import traceback
from pathlib import Path

from support.canary import leaks

# What a provider says, which is nobody's to see.
PROVIDERS_WORDS = "raw-words-of-the-provider"
TESTS = str(Path(__file__).parents[1])


def shown(error: BaseException) -> list[str]:
    """Say where a key, a prompt or a provider's words show: in an error, in what it came from, in a local of a frame.

    The frames of the tests themselves are passed over: they say what is asked.
    """
    found: list[str] = []
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        name = type(one).__name__
        found += [f"{name}: {canary}" for canary in _canaries(one, str(one), one.args)]
        for frame, line in traceback.walk_tb(one.__traceback__):
            if frame.f_code.co_filename.startswith(TESTS):
                continue
            for local, value in frame.f_locals.items():
                where = f"{frame.f_code.co_filename}:{line} {local}"
                found += [f"{name}: {where}: {canary}" for canary in _canaries(value)]
        left += [one.__cause__, one.__context__]
    return found


def _canaries(*values: object) -> list[str]:
    text = "\n".join(repr(value) for value in values)
    return [*leaks(text), *([PROVIDERS_WORDS] if PROVIDERS_WORDS in text else [])]
