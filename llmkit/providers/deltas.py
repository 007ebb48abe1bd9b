"""Joining deltas: neighbours of one kind, and the halves of surrogate pairs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter

from llmkit.events import Event, TextDelta, ThinkingDelta, ToolCallDelta
from llmkit.providers.lenient import mended

_FIRST_HALF = re.compile("[\ud800-\udbff]\\Z")


def merged(events: list[Event]) -> list[Event]:
    """Make neighbouring deltas of one kind one delta."""
    if len(events) < 2:
        return events
    result: list[Event] = []
    for kind, run in groupby(events, type):
        if kind is TextDelta or kind is ThinkingDelta:
            texts = [delta.text for delta in run]  # type: ignore[union-attr]  # of this kind
            result.append(kind("".join(texts)))
        elif kind is ToolCallDelta:
            result.extend(_of_calls(run))  # type: ignore[arg-type]
        else:
            result.extend(run)
    return result


def check_texts(events: list[Event]) -> None:
    """See that a decoder of the app's own has put texts into its deltas.

    Raises:
        TypeError: it has not looked at what the server sent.
    """
    for event in events:
        if isinstance(event, TextDelta | ThinkingDelta) and not isinstance(event.text, str):
            raise TypeError


def _of_calls(deltas: Iterable[ToolCallDelta]) -> Iterator[ToolCallDelta]:
    for index, run in groupby(deltas, attrgetter("index")):
        pieces = list(run)
        last = pieces[-1]
        text = "".join(piece.arguments for piece in pieces)
        yield ToolCallDelta(index=index, id=last.id, name=last.name, arguments=text)


class Halves:
    """Puts surrogate pairs together whose halves came in two deltas.

    The first half is held until the next event. What never finds its other half becomes U+FFFD.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: list[Event] = []

    def join(self, events: list[Event], *, last: bool) -> list[Event]:
        """Take in the events of one read, and return those that can be handed on; all of them with the last ones."""
        events, self._held = merged(self._held + events), []
        if events and not last:
            end = events[-1]
            if isinstance(end, TextDelta | ThinkingDelta) and _FIRST_HALF.search(end.text):
                self._held = [type(end)(end.text[-1])]
                events[-1] = type(end)(end.text[:-1])
        result: list[Event] = []
        for event in events:
            if isinstance(event, ToolCallDelta):
                said = mended(event.arguments)  # which the call itself knows as it came
                result.append(ToolCallDelta(event.index, event.id, event.name, said))
            elif not isinstance(event, TextDelta | ThinkingDelta):
                result.append(event)
            elif event.text:
                result.append(type(event)(mended(event.text)))
        return result
