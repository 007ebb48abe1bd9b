"""`llmkit emulate`: a provider without a model, on a local port."""

from __future__ import annotations

import os
import signal

import click

from llmkit.testing import Behaviour, Emulator


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8200, show_default=True, help="Port to listen on; 0 chooses a free one."
)
@click.option("--tokens", default=40, show_default=True, help="Number of tokens in an answer.")
@click.option("--delay", default=0.02, show_default=True, help="Seconds between two tokens.")
@click.option("--ttft", default=0.0, show_default=True, help="Seconds until the first token.")
def emulate(host: str, port: int, tokens: int, delay: float, ttft: float) -> None:
    """Answer as the vendors would, without a model. Any API key is accepted.

    To get faults, POST a list of behaviours to /_emulator/script. GET /_emulator/requests shows
    the requests received.
    """
    try:
        behaviour = Behaviour(tokens=tokens, delay=delay, ttft=ttft)
        emulator = Emulator(behaviour=behaviour, host=host, port=port)
        emulator.start()
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
        raise click.ClickException(
            f"cannot listen on {host}:{port}: {reason}. "
            f"Choose another port: llmkit emulate --port {port + 1 if port else 8200}."
        ) from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        click.echo(f"Anthropic   {emulator.base_url}")
        click.echo(f"OpenAI      {emulator.openai_base_url}")
        click.echo(f"Gemini      {emulator.base_url}")
        click.echo(f"Ollama      {emulator.base_url}")
        click.echo(f"Controls    {emulator.base_url}/_emulator/requests")
        click.echo("Any API key will do. Stop with Ctrl-C.")
        emulator.serve_forever()
    except KeyboardInterrupt:
        click.echo("Stopped.")
    finally:
        emulator.stop()
