"""The attempts of one call: the plan decides, this does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit._async.attempt import AsyncAttempt
from llmkit._async.stream import AsyncStream
from llmkit._async_concurrency import async_sleep
from llmkit.errors import InvalidRequest, ProviderError
from llmkit.policy.plan import GiveUp

if TYPE_CHECKING:
    from llmkit.call import Call
    from llmkit.kit import Kit


class AsyncAttempts:
    """The attempts of one call, as the plan decides them."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    async def __call__(self, call: Call) -> AsyncStream:
        """Make attempts until one has content to hand on.

        Raises:
            LLMKitError: the last attempt's error, when the plan gives up.
        """
        plan = self._kit.plan(call)
        while True:
            step = plan.next()
            if isinstance(step, GiveUp):
                raise step.error
            if step.wait > 0 or call.signal.aborted:
                await async_sleep(step.wait, call.signal)
            attempt = AsyncAttempt(self._kit, call, step, plan.deadline)
            try:
                first = await attempt.open()
            except ProviderError as error:
                plan.failed(error)
            except InvalidRequest as error:
                plan.passed_over(error)
            else:
                return AsyncStream(call, attempt, first)
