"""An app is told when the limit of a budget comes near: in a thread of its own, so that no call waits for a mail."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from llmkit.budget.bell import Bell
from llmkit.concurrency.host_threads import Host
from llmkit.concurrency.later import Later
from llmkit.policy.budgets.accounts import Crossing
from llmkit.tracebacks import place_of

log = logging.getLogger("llmkit.budget")


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetWarning:
    """A budget of which so much is used that somebody is to know: it is passed to `on_budget_warning`, once in a period.

    Attributes:
        scope, per, models: which budget, as the settings have it.
        unit: of what: "usd", "tokens" or "requests".
        used: how much is used; dollars are a `Decimal`.
        limit: of how much.
        name: whose it is: the id of the user, tenant or group, the value of the tag, the model or the provider; empty for "all" and for
            what calls without a user or tenant share. None if it is too long to be known.
        tenant: the tenant of the user; None if there is none.
        resets: when the next period begins, in UTC; None if none does.
    """

    scope: str
    per: str
    models: tuple[str, ...]
    unit: str
    used: Decimal | int
    limit: Decimal | int
    name: str | None
    tenant: str | None
    resets: datetime | None


class Warner:
    """Calls hooks, one after the other, in a thread of its own.

    Args:
        read: makes a warning out of what has happened in an account.
        hooks: what is called with it. What they raise is logged.
        host: says within what they are called in a thread of llmkit's, and whether they are called by whoever tells of it, because no
            other thread would see what this one does.
    """

    def __init__(
        self,
        read: Callable[[Crossing], BudgetWarning],
        hooks: Sequence[Callable[[Any], object]],
        *,
        host: Host | None = None,
    ) -> None:
        self._read = read
        self._hooks = hooks
        self._host = Host() if host is None else host
        self._later = Later(self._tell, name="llmkit-warnings", log=log)

    def tell_soon(self, crossings: Sequence[Crossing]) -> None:
        """Call the hooks, without waiting."""
        for crossing in crossings:
            if self._host.at_once():
                self._call(crossing)
            else:
                self._later.put(crossing)

    def listen_to(self, bell: Bell) -> None:
        """Be told by a bell as long as somebody keeps this: threads of the ledger have the bell, and are not to keep an app alive."""
        me = weakref.ref(self)

        def told(crossings: Sequence[Crossing]) -> None:
            warner = me()
            if warner is not None:
                warner.tell_soon(crossings)

        bell.listen(told)
        weakref.finalize(self, bell.unlisten, told).atexit = False

    def flush(self, timeout: float) -> None:
        """Wait until all were called, for at most so many seconds."""
        self._later.flush(timeout)

    def close(self, timeout: float) -> None:
        """Do the same, and end the thread."""
        self._later.close(timeout)

    def _tell(self, crossing: Crossing) -> None:
        with self._host.within():
            self._call(crossing)

    def _call(self, crossing: Crossing) -> None:
        warning = self._read(crossing)
        for hook in self._hooks:
            try:
                hook(warning)
            except BaseException as error:  # noqa: BLE001  # the app's own, whose message may quote what it likes
                log.error("on_budget_warning failed: %s", place_of(error, hook))  # noqa: TRY400
