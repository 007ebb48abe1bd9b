"""What the host's own functions answer: who calls, and whether they may.

An answer is judged by what it is and not by how its function was written: a lambda, a partial or a decorated function may
give something to await, too.
"""

from __future__ import annotations

import inspect
from typing import Any

from llmkit.errors import ConfigError
from llmkit.kinds import kind_of


async def awaited(answer: Any) -> Any:
    """Return what an answer comes to in the end, whether or not it has to be awaited."""
    while inspect.isawaitable(answer):
        answer = await answer
    return answer


def is_yes(answer: object) -> bool:
    """Say whether a permission was given.

    Raises:
        ConfigError: the answer is neither a yes nor a no. A function that was not called, or the redirect of a view's
            decorator, counts as true in Python, and would let everybody in.
    """
    if answer is None or isinstance(answer, int):
        return bool(answer)
    raise ConfigError(
        f"permission returned {kind_of(answer)}, which is neither true nor false",
        hint="Return True or False: call the function, await its result, put bool() around what counts as a yes. "
        "Decorators for views, such as permission_required, do not work here: they return a response.",
    )
