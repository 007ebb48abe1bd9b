"""Which answers are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.kinds import is_number

if TYPE_CHECKING:
    from llmkit.call import Call
    from llmkit.config.cache import CacheConfig
    from llmkit.outputs.output import Output
    from llmkit.response import Response


def ttl_of(call: Call, config: CacheConfig, *, asked: bool | float | None = None) -> float | None:
    """Return for how long the answer of a call may be kept, in seconds, and so whether a kept one may be its answer; None if it may not.

    Args:
        call: the call.
        config: the settings.
        asked: what the call says of it: whether, or for how many seconds; None if it says nothing.
    """
    if asked is None:
        # What stands in extra is sent in place of it.
        temperature = call.extra.get("temperature", call.temperature)
        kept = config.when == "always" or (is_number(temperature) and temperature == 0)
        return config.ttl if kept else None
    if isinstance(asked, bool):
        return config.ttl if asked else None
    return asked


def may_be_kept(answer: Response, output: Output | None) -> bool:
    """Whether an answer may be given again: one that is whole, says something, calls nothing, and is of the type that was asked for."""
    if answer.stop_reason not in ("end", "stop_sequence"):
        return False
    if not answer.text or answer.tool_calls:
        return False
    return output is None or output.fits(answer)
