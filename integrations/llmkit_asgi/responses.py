"""What is sent: answers, and streams that are relayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.relay.answer import Answer
from llmkit.relay.push import PushRelay
from llmkit_asgi.exchange import ASGISink, Receive, Scope, Send, Watch

if TYPE_CHECKING:
    from llmkit._async.stream import AsyncStreamManager
    from llmkit.config import RelayConfig


async def relay(
    manager: AsyncStreamManager, receive: Receive, send: Send, settings: RelayConfig
) -> None:
    """Relay a call to the client as server-sent events, and stop it when the client leaves."""
    push = PushRelay(
        manager,
        ASGISink(send),
        heartbeat=settings.heartbeat,
        tool_details=settings.tool_details,
    )
    with Watch(receive, push.abort):
        await push.run()


async def respond(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    """Send an answer of the door, without its body to a HEAD request."""
    await ASGISink(send).answer(answer.to(scope["method"]))
