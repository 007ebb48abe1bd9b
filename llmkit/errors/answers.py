"""The errors of answers that came whole from the provider, and are not what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmkit.errors.base import LLMKitError

if TYPE_CHECKING:
    from llmkit.response import Response


class AnswerCut(LLMKitError):
    """The answer reached its limit of tokens before it was whole: no call of a tool in it was run, and it is no object."""

    type = "answer_cut"

    def __init__(self, response: Response) -> None:
        super().__init__(
            "the answer reached its limit of tokens before it was whole",
            hint="Ask for more max_tokens.",
        )
        self.response = response


class AnswerRefused(LLMKitError):
    """The model, or a filter of the provider's, has refused to answer."""

    type = "answer_refused"

    def __init__(self, response: Response) -> None:
        super().__init__(
            f"the model has refused to answer ({response.raw_stop_reason})",
            hint="What it says of that is in the response's text.",
        )
        self.response = response


def check_whole(response: Response) -> None:
    """See that a model has said what it wanted to say.

    Raises:
        AnswerRefused: it, or the provider, has refused to answer.
        AnswerCut: it reached its limit of tokens.
    """
    if response.stop_reason in ("refusal", "content_filter"):
        raise AnswerRefused(response)
    if response.stop_reason == "max_tokens":
        raise AnswerCut(response)


class OutputInvalid(LLMKitError):
    """The answer is not of the type that was asked for.

    Attributes:
        response: the answer.
        problems: what is wrong with it, each by where it is, as the model is told it. It may quote the answer; the error's text does not, and
            neither has what a validator of the app's own says.
    """

    type = "output_invalid"

    def __init__(
        self,
        response: Response,
        name: str,
        problems: Sequence[str],
        *,
        shown: Sequence[str] | None = None,
    ) -> None:
        said = "; ".join((problems if shown is None else shown)[:3])
        super().__init__(
            f"the answer is not of the type {name}: {said}",
            hint="Ask again, let the model mend it (repair=1, or more), or ask a model with structured outputs.",
        )
        self.response = response
        self.problems = tuple(problems)


class OutOfSteps(LLMKitError):
    """A loop of tools has made all calls of the model that it may make, and the model still asks for tools."""

    type = "out_of_steps"

    def __init__(self, steps: int) -> None:
        super().__init__(
            f"the model still asks for tools after {steps} {'step' if steps == 1 else 'steps'}",
            hint="Raise max_steps, or see in the error's run what it goes round in.",
        )


class ToolError(Exception):
    """Raise it in a tool to tell the model what is wrong: it reads the message. Of any other error it learns only that the tool failed.

    In a validator of an argument or of an `output_type` it does the same: of other errors the model learns only that the validator refuses.
    """
