"""How a model is held to the type of an answer: by the vendor's own means where there are some, else by a tool that it has to call."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llmkit.errors import InvalidRequest
from llmkit.events import Event, Finish, TextDelta, ToolCallDelta
from llmkit.parts import ToolCall
from llmkit.providers.request import arguments_json
from llmkit.providers.vendors import Ability, is_able
from llmkit.tools.tool import Tool

if TYPE_CHECKING:
    from llmkit.call import Call
    from llmkit.providers.base import Decoder, Provider
    from llmkit.usage import Billing, Usage


def as_tool(call: Call, provider: Provider, model: str) -> Call:
    """Return the call as this model is asked it: the same, or with a tool in place of a type.

    Raises:
        InvalidRequest: it has tools already, or a type that the vendor cannot hold the model to, though it has to.
    """
    output = call.output
    if output is None:
        return call
    # What cannot be said strictly is a schema all the same, for those who take any.
    can_be_said = output.strict_schema is not None or getattr(provider, "takes_any_schema", False)
    ability: Ability = "json_schema_and_tools" if call.tools else "json_schema"
    able = can_be_said and is_able(provider.name, model, ability)
    if call.output_mode == "native" and not can_be_said:
        raise InvalidRequest(
            f"the vendor cannot hold a model to {output.name}, which has fields or values of any kind",
            hint='Name its fields, or leave output_mode="native" out.',
        )
    if call.output_mode == "native" or (able and call.output_mode is None):
        return call
    if call.tools and not can_be_said:
        raise InvalidRequest(
            f"no vendor can hold a model to {output.name}, which has fields or values of any kind; a tool could, but the call has tools already",
            hint="Name its fields, or leave the tools or the output_type out.",
        )
    if call.tools:
        raise InvalidRequest(
            f"{provider.name}:{model} cannot have both tools and an output_type: a tool that it has to call says the type",
            hint="Use a model with structured outputs, or leave one of them out.",
        )
    tool = Tool(_answer, name=output.name, description=_TOLD, schema=output.schema)
    return replace(
        call, output=None, tools=(tool,), tool_choice=tool.name, parallel_tool_calls=False
    )


_TOLD = "Answer with this."


def _answer(**said: object) -> None:
    """Is not run: what the model calls it with is the answer."""


class SpokenDecoder:
    """Decodes an answer that is the call of such a tool, and says it as text, as other models do. Of several calls the first is the answer.

    Text beside it is none, unless it is all that there is.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._id: str | None = None
        self._said = False
        self._held: list[Event] = []
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
        held, self._held = self._held, []
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
            elif isinstance(event, Finish):
                reason = "end" if event.stop_reason == "tool_use" else event.stop_reason
                found += self._let_go()
                found.append(Finish(reason, event.raw_stop_reason, event.usage))
            else:
                found.append(event)
        return found

    def _of_call(self, event: ToolCallDelta | ToolCall) -> list[Event]:
        self._held.clear()
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
