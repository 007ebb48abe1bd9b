"""What has happened in the accounts of budgets is told to whoever listens, once it is certain."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmkit.policy.budgets.accounts import Crossing

Listener = Callable[[Sequence[Crossing]], None]


class Bell:
    """Tells of limits that come near. The stores of a ledger share one."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens. What nobody hears is told later, by another process."""
        return bool(self._listeners)

    def listen(self, listener: Listener) -> None:
        """Let something be told. It must not wait."""
        self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Tell it no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def ring(self, crossings: Sequence[Crossing]) -> None:
        """Tell of them."""
        for listener in list(self._listeners):
            listener(crossings)
