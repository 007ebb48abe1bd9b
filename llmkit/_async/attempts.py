"""The attempts of one call: the plan decides, this does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from llmkit._async.attempt import AsyncAttempt
from llmkit._async.stream import AsyncStream
from llmkit.concurrency.tasks import async_sleep
from llmkit.errors import BudgetExceeded, InvalidRequest, ProviderError
from llmkit.policy.plan import GiveUp, Route, Try

if TYPE_CHECKING:
    from llmkit.call import Call
    from llmkit.runtime import Runtime

log = logging.getLogger("llmkit.stream")


class AsyncAttempts:
    """The attempts of one call, as the plan decides them.

    Args:
        on_answer: is told who answers, of those that were asked.
    """

    def __init__(self, runtime: Runtime, on_answer: Callable[[Route], None] | None = None) -> None:
        self._runtime = runtime
        self._on_answer = on_answer

    async def __call__(self, call: Call) -> AsyncStream:
        """Make attempts until one has content to hand on.

        Raises:
            LLMKitError: the last attempt's error, when the plan gives up.
        """
        plan = self._runtime.plan(call)
        failed: tuple[Try, str] | None = None
        while True:
            step = plan.next()
            if isinstance(step, GiveUp):
                raise step.error
            if failed is not None:
                _log(*failed, step)
                failed = None
            if step.wait > 0 or call.signal.aborted:
                await async_sleep(step.wait, call.signal)
            attempt = AsyncAttempt(self._runtime, call, step, plan.deadline)
            try:
                first = await attempt.open()
            except ProviderError as error:
                plan.failed(error)
                failed = step, error.type
            except InvalidRequest as error:
                plan.passed_over(error)
            except BudgetExceeded as error:
                plan.refused(error)
            else:
                if self._on_answer is not None:
                    self._on_answer(step.route)
                return AsyncStream(call, attempt, first)


def _log(failed: Try, error_type: str, following: Try) -> None:
    """Note an attempt that nobody else hears of, since another one follows."""
    log.info(
        "attempt %d failed (%s:%s, %s); attempt %d follows in %.1f s (%s:%s)",
        failed.attempt,
        failed.route.provider.name,
        failed.route.model,
        error_type,
        following.attempt,
        following.wait,
        following.route.provider.name,
        following.route.model,
    )
