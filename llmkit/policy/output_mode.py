"""How a model is held to the type of an answer: by the vendor's own means where there are some, else by a tool that it has to call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from llmkit.errors import InvalidRequest
from llmkit.events import Event, Finish, TextDelta, ToolCallDelta
from llmkit.parts import ToolCall
from llmkit.providers.base import USUAL_MEANS
from llmkit.providers.request import arguments_json
from llmkit.providers.vendors import Ability, is_able
from llmkit.tools.tool import Tool

if TYPE_CHECKING:
    from llmkit.call import Call
    from llmkit.providers.base import Decoder, Means, Provider
    from llmkit.usage import Billing, Usage


def as_tool(call: Call, provider: Provider, model: str) -> Call:
    """Return the call as this model is asked it: the same, or with a tool in place of a type.

    The model has to call that tool, or another one of the call's: it answers with the first, when it needs no other any more. Where the vendor
    has no word for "has to", it is offered.

    Raises:
        InvalidRequest: it has a type that the vendor cannot hold the model to, though it has to.
    """
    output = call.output
    if output is None:
        return call
    means: Means = getattr(provider, "means", USUAL_MEANS)
    # What cannot be said strictly is a schema all the same, for those who take any.
    can_be_said = output.strict_schema is not None or means.any_schema
    if call.tools and call.tool_choice == "none" and not means.schema_with_tools:
        # Tools that may not be called are not in the way of the type: without them the vendor's own means are enough.
        call = replace(call, tools=(), tool_choice=None)
    ability: Ability = "json_schema_and_tools" if call.tools else "json_schema"
    if call.output_mode == "native" and not can_be_said:
        raise InvalidRequest(
            f"the vendor cannot hold a model to {output.name}, which has fields or values of any kind",
            hint='Name its fields, or leave output_mode="native" out.',
        )
    able = (
        can_be_said
        and (means.schema_with_tools or not call.tools)
        and is_able(provider.name, model, ability, wire_vendor=getattr(provider, "vendor", None))
    )
    if call.output_mode == "native" or (able and call.output_mode is None):
        return call
    name = output.name
    while any(tool.name == name for tool in call.tools):
        name = f"{name[:60]}_own"
    tool = Tool(_answer, name=name, description=_TOLD, schema=output.schema)
    asked = replace(call, output=None, tools=(*call.tools, tool))
    if not means.forced_tools:
        return asked
    if not call.tools or call.tool_choice == "none":
        single = False if means.single_calls else None
        return replace(asked, tools=(tool,), tool_choice=name, parallel_tool_calls=single)
    choice = "required" if call.tool_choice in (None, "auto") else call.tool_choice
    return replace(asked, tool_choice=choice)


_TOLD = "Answer with this."


def _answer(**said: object) -> None:
    """Is not run: what the model calls it with is the answer."""


def reader(decoder: Decoder, call: Call, asked: Call, on_held: Callable[[], None]) -> Decoder:
    """Return what reads the answer to a call, when it was asked so: an answer that comes as the call of a tool is read as text."""
    return decoder if asked.output is call.output else SpokenDecoder(decoder, asked, on_held)


def held_back(decoder: Decoder) -> int:
    """Return how many characters have arrived that nobody is told of yet."""
    return decoder.held if isinstance(decoder, SpokenDecoder) else 0


class SpokenDecoder:
    """Decodes an answer that is the call of such a tool, and says it as text, as other models do. Of several such calls the first is the answer.

    Text beside it is none, unless it is all that there is, or stands beside calls of other tools.

    Args:
        decoder: reads the answer.
        asked: the call as the model was asked it, with the tool as its last one.
        on_held: is called where text arrives that nobody is told of yet.
    """

    def __init__(self, decoder: Decoder, asked: Call, on_held: Callable[[], None]) -> None:
        self._decoder = decoder
        self._on_held = on_held
        *others, own = asked.tools
        # Where it is the only one, it is meant, whatever the model calls it.
        self._name = own.name if others else None
        self._id: str | None = None
        self._said = False
        self._calls_others = False
        self._held: list[Event] = []
        self.held = 0
        self._note()

    def _note(self) -> None:
        """Say of the answer what the decoder says."""
        decoder = self._decoder
        self.model = decoder.model
        self.request_id = decoder.request_id
        self.finished = decoder.finished
        self.failure = decoder.failure
        self.stopping = decoder.stopping

    @property
    def usage(self) -> Usage:
        """The usage that is reported so far."""
        return self._decoder.usage

    @property
    def billing(self) -> Billing:
        """What the cost depends on besides the tokens."""
        return self._decoder.billing

    def feed(self, data: bytes) -> list[Event]:
        """Read more bytes."""
        return self._texts(self._decoder.feed(data))

    def close(self, *, broken: bool = False) -> list[Event]:
        """End the body."""
        return self._texts(self._decoder.close(broken=broken)) + self._let_go()

    def _let_go(self) -> list[Event]:
        """Return the text that nothing follows: it is all that there is of an answer."""
        held, self._held, self.held = self._held, [], 0
        return held

    def _texts(self, events: list[Event]) -> list[Event]:
        self._note()
        found: list[Event] = []
        for event in events:
            if isinstance(event, ToolCallDelta | ToolCall):
                found += self._of_call(event)
            elif isinstance(event, TextDelta):
                if self._id is None:
                    self._held.append(event)
                    self.held += len(event.text)
                    self._on_held()
            elif isinstance(event, Finish):
                is_end = event.stop_reason == "tool_use" and not self._calls_others
                reason = "end" if is_end else event.stop_reason
                found += self._let_go()
                found.append(Finish(reason, event.raw_stop_reason, event.usage))
            else:
                found.append(event)
        return found

    def _of_call(self, event: ToolCallDelta | ToolCall) -> list[Event]:
        if self._name not in (None, event.name):
            self._calls_others = True
            return [*self._let_go(), event]
        self._let_go()
        self._id = self._id or event.id
        if event.id != self._id:
            return []
        if isinstance(event, ToolCallDelta):
            text = event.arguments
        else:
            text = "" if self._said else arguments_json(event.arguments)
        if not text:
            return []
        self._said = True
        return [TextDelta(text)]
