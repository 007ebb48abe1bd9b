"""A command and its options. A command line asks for the options, says them by name, and prints what comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")

Given = Mapping[str, Any]
"""The options by name, with underscores: a text or None, whether a flag is set, or the texts of an option that may be repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of a command, such as `--since`. Without a `metavar` it is a flag."""

    name: str
    help: str
    metavar: str | None = None
    default: str | None = None
    repeated: bool = False
    required: bool = False

    @property
    def key(self) -> str:
        """Its name among those given."""
        return self.name.removeprefix("--").replace("-", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Generic[T]):
    """A command: `run` does it with what an app has, and returns what is printed.

    `run` raises ValueError for an option that is wrong, and LLMKitError.
    """

    name: str
    help: str
    options: tuple[Option, ...]
    run: Callable[[T, Given], str]
