"""An answer of OpenAI's Responses API, as its items come.

Source: developers.openai.com/api/docs/api-reference/responses and /responses-streaming.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmkit.events import Event, Finish, StopReason, TextDelta, ThinkingDelta, ThinkingSignature
from llmkit.providers.responses.documents import Item, Piece, Report, Response
from llmkit.providers.tool_calls import Calls
from llmkit.usage import Billing, Usage

Key = int | str | None
"""What an item is known by."""

WIRE = "openai-responses"
STOP_REASONS: Mapping[str, StopReason] = {
    "completed": "end",
    "content_filter": "content_filter",
    "max_output_tokens": "max_tokens",
}
BETWEEN = "\n\n"
"""What stands between the parts of a summary of what was thought."""

_MESSAGE, _REASONING, _CALL = "message", "reasoning", "function_call"
# What costs nothing beside its tokens. Searches have a price by the call; all else has one that nobody tells.
_FREE = (
    *("message", "reasoning", "function_call", "custom_tool_call", "compaction"),
    *("mcp_call", "mcp_list_tools", "mcp_approval_request"),
)


class Answer:
    """The answer, as its items come.

    What belongs to an item has its number, `output_index`. Some servers leave that out, and the item is known by its id; or there is neither,
    and one item of a kind comes after another.

    Attributes:
        calls: the calls of tools in it; None as long as there are none.
        id, model, service_tier: as the vendor names them.
        report: what is said of tokens.
    """

    __slots__ = (
        "_begun",
        "_kinds",
        "_refused",
        "_searches",
        "_streamed",
        "_unpriced",
        "calls",
        "id",
        "model",
        "report",
        "service_tier",
    )

    def __init__(self) -> None:
        self.calls: Calls | None = None
        self.id: str | None = None
        self.model: str | None = None
        self.service_tier: str | None = None
        self.report: Report | None = None
        self._refused = False
        self._searches = 0
        self._unpriced = False
        # The items of which something came before they were whole; one that has no name is known by its kind.
        self._streamed: set[int | str] = set()
        # The kinds of items of which anything was said.
        self._kinds: set[str] = set()
        # The calls of tools that have begun, and may grow.
        self._begun: set[Key] = set()

    @property
    def billing(self) -> Billing:
        """What the cost hangs on beside the tokens."""
        return Billing(
            service_tier=self.service_tier, web_searches=self._searches, unpriced=self._unpriced
        )

    def name(self, response: Response) -> None:
        """Take note of what the vendor calls it."""
        self.id, self.model = response.id or self.id, response.model or self.model
        self.service_tier = response.service_tier or self.service_tier
        self.report = response.usage or self.report

    def begin(self, item: Item, key: Key, events: list[Event]) -> None:
        """Take in the begin of an item."""
        if item.type == _CALL:
            self._begin_call(item, _key(item, key), events)
            if item.arguments:
                self.note(key, _CALL)

    def note(self, key: Key, kind: str) -> None:
        """Take note that a piece of an item has come."""
        self._streamed.add(kind if key is None else key)
        self._kinds.add(kind)

    def note_texts(self, indices: set[int | None]) -> None:
        """Take note that pieces of messages have come, which all have numbers."""
        self._streamed |= indices  # type: ignore[arg-type]
        self._kinds.add(_MESSAGE)

    def grow(self, key: Key, piece: str | None, events: list[Event]) -> None:
        """Take in a piece of the arguments of a call."""
        if self.calls is None:
            return  # the call comes whole, or not at all
        is_named = isinstance(key, int) or key in self._begun
        grown = self.calls.add(key if is_named else None, piece)
        if grown is not None:
            self.note(key, _CALL)
            events.append(grown)

    def refuse(self, text: str | None, key: Key, events: list[Event]) -> None:
        """Take in why the model does not answer."""
        self._refused = True
        self.say(text, key, events)

    def say(self, text: str | None, key: Key, events: list[Event]) -> None:
        """Take in a piece of text."""
        if text:
            self.note(key, _MESSAGE)
            events.append(TextDelta(text))

    def think(self, text: str | None, key: Key, events: list[Event]) -> None:
        """Take in a piece of what is thought."""
        if text:
            self.note(key, _REASONING)
            events.append(ThinkingDelta(text))

    def end(self, item: Item, key: Key, events: list[Event]) -> None:
        """Take in a whole item, as far as it has not been said in pieces."""
        is_new = self._streamed.isdisjoint((key, item.id, item.type))
        self._streamed -= {item.id, item.type}  # what comes now by such a name is another one's
        self._kinds.add(item.type)
        if item.type == _CALL:
            self._end_call(item, _key(item, key), events, is_new=is_new)
        elif item.type == _MESSAGE and is_new:
            for piece in item.content or ():
                self._say_piece(piece, events)
        elif item.type == _REASONING:
            if is_new:
                parts = [piece.text for piece in item.summary or item.content or () if piece.text]
                if parts:
                    events.append(ThinkingDelta(BETWEEN.join(parts)))
            if item.encrypted_content and item.id:
                events.append(ThinkingSignature(f"{item.id}:{item.encrypted_content}", WIRE))
        elif item.type == "web_search_call":
            self._searches += 1
        elif item.type not in _FREE:
            self._unpriced = True

    def end_rest(self, response: Response, events: list[Event]) -> None:
        """Take in what the whole response says of kinds of which nothing was said: some servers say it there alone.

        Of other kinds nothing is taken, for the items of some servers have other names there, and nothing may be said twice.
        """
        items = enumerate(response.output or ())
        for index, item in [each for each in items if each[1].type not in self._kinds]:
            self.end(item, index if index in self._begun else None, events)

    def _begin_call(self, item: Item, key: Key, events: list[Event]) -> None:
        calls = self.calls = self.calls or Calls()
        self._begun.add(key)
        events.append(calls.begin(key, item.name, item.arguments, given_id=item.call_id))

    def _end_call(self, item: Item, key: Key, events: list[Event], *, is_new: bool) -> None:
        if key not in self._begun:
            self._begin_call(item, key, events)
        elif is_new and isinstance(item.arguments, str):
            self.grow(key, item.arguments, events)
        if not isinstance(key, int):
            self._begun.discard(key)  # another call may have the same id

    def _say_piece(self, piece: Piece, events: list[Event]) -> None:
        if piece.type == "output_text" and piece.text:
            events.append(TextDelta(piece.text))
        elif piece.type == "refusal":
            self._refused = True
            if piece.refusal:
                events.append(TextDelta(piece.refusal))

    def finish(self, response: Response, usage: Usage) -> Finish:
        """Make the last event."""
        why = response.incomplete_details
        raw = why.reason if why is not None and why.reason else response.status
        reason = STOP_REASONS.get(raw or "", "other")
        if reason == "end" and self._refused:
            reason = "refusal"
        elif reason == "end" and self.calls is not None:
            reason = "tool_use"
        return Finish(reason, raw, usage)


def _key(item: Item, key: Key) -> Key:
    """Return what a call is known by."""
    return next((each for each in (key, item.id, item.call_id) if each is not None), None)
