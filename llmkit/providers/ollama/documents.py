"""The documents of Ollama's own API: answers, whole or in pieces.

Source: github.com/ollama/ollama, docs/api.md and api/types.go.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from llmkit.providers.counts import Count, TokenReport
from llmkit.providers.lenient import Needs
from llmkit.usage import Usage


class Report(TokenReport, gc=False):
    """What the last line says of tokens. A count of 0 is left out, and so is one that is not known: neither is told from the other."""

    prompt_eval_count: Count | None = None
    eval_count: Count | None = None

    def to_usage(self) -> Usage | None:
        """Return the counts, or None if they say nothing."""
        if self.prompt_eval_count is None and self.eval_count is None:
            return None
        return Usage(input_tokens=self.prompt_eval_count, output_tokens=self.eval_count)


class Function(msgspec.Struct, gc=False):
    """What is called, and with what: an object."""

    needs: ClassVar[Needs] = {"*": ("name",)}
    says: ClassVar = ("arguments",)

    name: str | None = None
    arguments: Any = None


class Call(msgspec.Struct, gc=False):
    """A call of a tool, whole. Older servers give it no id."""

    needs: ClassVar[Needs] = {"*": ("function",)}

    id: str | None = None
    function: Function | None = None


class Said(msgspec.Struct, gc=False):
    """What is new of the answer, or all of it."""

    needs: ClassVar[Needs] = {"*": ("content", "tool_calls")}
    says: ClassVar = ("content", "thinking")

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None


class Document(Report, gc=False):
    """A line of a stream, or a whole answer."""

    needs: ClassVar[Needs] = {"*": ("message", "done")}

    model: str | None = None
    message: Said | None = None
    done: bool | None = None
    done_reason: str | None = None
    error: Any = None
