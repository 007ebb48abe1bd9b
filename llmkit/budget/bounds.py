"""What a call may use: at most, and in all likelihood."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from llmkit.errors import ConfigError, InvalidRequest
from llmkit.policy.bound import Bound, bound_of
from llmkit.policy.budgets.amounts import Unit, Units, nano_dollars
from llmkit.policy.estimate import estimate_prompt

if TYPE_CHECKING:
    from llmkit.call import Call
    from llmkit.policy.plan import Route
    from llmkit.policy.pricing import Prices
    from llmkit.providers.base import HTTPRequest

# What part of the longest answer is taken to be likely.
_LIKELY = 4


class Bounds(Protocol):
    """What a call may use. It is found out only where a budget asks for it."""

    def most(self, unit: Unit) -> int:
        """Return the most that it can use.

        Raises:
            LLMKitError: nobody can say.
        """

    def likely(self, unit: Unit) -> int:
        """Return what it is likely to use.

        Raises:
            LLMKitError: nobody can say.
        """


class Fixed:
    """What somebody says that it uses."""

    def __init__(self, amount: Units) -> None:
        self._amount = amount

    def most(self, unit: Unit) -> int:
        """Return it."""
        return self._amount.get(unit)

    likely = most


class OfRequest:
    """What the request of an attempt can use, as it is sent.

    Args:
        call: which it is of.
        route: where it goes.
        request: as it was built.
        prices: by which it is billed.
        at: when it is sent.
    """

    def __init__(
        self, call: Call, route: Route, request: HTTPRequest, *, prices: Prices, at: datetime
    ) -> None:
        self._call = call
        self._provider = route.provider.name
        self._model = route.model
        self._content = request.content
        self._prices = prices
        self._at = at

    def most(self, unit: Unit) -> int:
        """Return the most that it can use; see `Bounds`."""
        return self._in(unit, self._bound.input_tokens, self._most_output)

    def likely(self, unit: Unit) -> int:
        """Return what it is likely to use: the prompt by an estimate, and a quarter of the longest answer; see `Bounds`."""
        put_in = estimate_prompt(self._call)
        return self._in(
            unit, min(put_in, self._bound.input_tokens), -(-self._most_output // _LIKELY)
        )

    def _in(self, unit: Unit, put_in: int, put_out: int) -> int:
        if unit == "tokens":
            return put_in + put_out
        cost = self._prices.most(
            self._provider,
            self._model,
            input_tokens=put_in,
            output_tokens=put_out,
            billing=self._bound.billing,
            at=self._at,
        )
        if cost is None:
            raise ConfigError(
                f"a budget is in dollars, but the price of {self._provider}:{self._model} is not known",
                hint="Set it in US dollars per million tokens, 0 if it is free: "
                f'{{"prices": {{"{self._provider}:{self._model}": {{"input": "1", "output": "2"}}}}}}.',
            )
        return nano_dollars(cost)

    @cached_property
    def _bound(self) -> Bound:
        return bound_of(
            self._content,
            messages=len(self._call.messages) + 1,
            # Each text that is embedded has one for itself.
            context_window=None
            if self._call.embedding is not None
            else self._prices.context_window(self._provider, self._model),
        )

    @property
    def _most_output(self) -> int:
        if self._call.embedding is not None:
            return 0
        most = self._bound.output_tokens
        if most is None:
            raise InvalidRequest(
                f"a budget counts what {self._provider}:{self._model} uses, but nothing limits this answer",
                hint="Leave max_tokens in the request.",
            )
        return most
