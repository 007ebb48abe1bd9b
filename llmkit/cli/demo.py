"""`llmkit demo`: a small app with llmkit in it, with a model or without."""

from __future__ import annotations

import contextlib
import os
import socket
import webbrowser
from collections.abc import Iterator
from typing import Any

import click

from llmkit import Kit
from llmkit.cli.books import DEMO_DATABASE
from llmkit.errors import ConfigError, LLMKitError, MissingExtra
from llmkit.testing.local_names import LocalNames

# The models that are called when a key is set and no model is named, the first key found first.
MODELS = {
    "ANTHROPIC_API_KEY": "anthropic:claude-haiku-4-5",
    "OPENAI_API_KEY": "openai:gpt-5-mini",
}
# What the emulator is called as, so that its answers have a price.
EMULATED = "anthropic:claude-haiku-4-5"
# What the emulator says, word by word.
ANSWER = """\
## Hello from the emulator

There is **no model and no key** behind this answer: llmkit's emulator speaks the provider's own wire format, one word at a time. The \
rest is real:

1. Each word is on the page as soon as it has come.
2. The stop button stops the model, and so does a closed tab.
3. The call is a row in a database, with its tokens and its cost. `llmkit usage` shows it.

To hear a real model, set a key and start again:

```sh
export ANTHROPIC_API_KEY=...
llmkit demo
```"""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8000, show_default=True, help="Port to listen on; 0 chooses a free one."
)
@click.option("--model", help="The model to call, as provider:model.")
@click.option("--base-url", help="The provider's base URL, if not its usual one.")
@click.option("--api-key-env", metavar="NAME", help="The environment variable that holds its key.")
@click.option(
    "--database",
    default=DEMO_DATABASE,
    show_default=True,
    envvar="LLMKIT_DATABASE",
    help="URL of the database in which the calls are recorded.",
)
@click.option("--no-browser", is_flag=True, help="Do not open the chat page.")
def demo(
    host: str,
    port: int,
    model: str | None,
    base_url: str | None,
    api_key_env: str | None,
    database: str,
    *,
    no_browser: bool,
) -> None:
    """Run a small app with a chat page.

    With a key in ANTHROPIC_API_KEY or OPENAI_API_KEY it calls that provider; without one an emulator answers, and nothing
    leaves this computer. Every call is recorded in the database; `llmkit usage` shows them.
    """
    try:
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(_listen(host, port))
            providers, model_id, what = stack.enter_context(_model(model, base_url, api_key_env))
            names = LocalNames(host)
            _serve(listener, names, providers, model_id, what, database, browse=not no_browser)
    except LLMKitError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        click.echo("Stopped.")


def _serve(
    listener: socket.socket,
    names: LocalNames,
    providers: dict[str, Any],
    model: str,
    what: str,
    database: str,
    *,
    browse: bool,
) -> None:
    try:
        import uvicorn  # noqa: PLC0415  # an extra

        from llmkit.cli.demo_app import build_app, settings  # noqa: PLC0415  # needs Starlette
    except ImportError as error:
        raise MissingExtra(f"{error.name}, which the demo needs,", "demo") from None
    config = settings(providers, model, database)
    with contextlib.closing(Kit(config)) as kit:
        kit.runtime.routes.of("default")  # what is wrong is said here, before the server starts
    app = build_app(config, database, names)
    address, port = listener.getsockname()[:2]
    url = f"http://{f'[{address}]' if ':' in address else address}:{port}"
    click.echo(f"Chat    {url}/llm/")
    click.echo(f"Model   {what}")
    click.echo(f"Ledger  {_without_password(database)}   (show it: llmkit usage)")
    click.echo("Stop    Ctrl-C")
    if browse:
        webbrowser.open(f"{url}/llm/")
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3, lifespan="on")
    )
    server.run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise ConfigError(f"{port} is not a port", hint="A port is 0 to 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0).lower()}",
            hint=f"Choose another port: llmkit demo --port {port + 1 if port else 8001}.",
        ) from None


@contextlib.contextmanager
def _model(
    model: str | None, base_url: str | None, api_key_env: str | None
) -> Iterator[tuple[dict[str, Any], str, str]]:
    given: dict[str, str] = {}
    if base_url is not None:
        given["base_url"] = base_url
    if api_key_env is not None:
        given["api_key"] = _key(api_key_env)
    if given and model is None:
        option = "--base-url" if base_url is not None else "--api-key-env"
        raise ConfigError(
            f"{option} needs --model", hint="Name the model too: --model openai:smollm2."
        )
    if model is None:
        model = next((MODELS[name] for name in MODELS if os.environ.get(name)), None)
    if model is not None:
        where = f" at {base_url}" if base_url else ""
        if base_url and api_key_env is None:
            where += ", without an API key (--api-key-env NAME sends one)"
        providers = {model.partition(":")[0]: given} if given else {}
        yield providers, model, f"{model}{where}"
        return
    from llmkit.testing import Behaviour, Emulator  # noqa: PLC0415  # only without a key

    with Emulator(behaviour=Behaviour(text=ANSWER, delay=0.03, ttft=0.3)) as emulator:
        yield (
            {"anthropic": {"base_url": emulator.base_url, "api_key": "emulator"}},
            EMULATED,
            "an emulator (no API key is set, so nothing leaves this computer)",
        )


def _key(name: str) -> str:
    key = os.environ.get(name)
    if not key:
        raise ConfigError(
            f"--api-key-env names {name}, which is not set",
            hint=f"Set it: export {name}=... ; or leave --api-key-env out.",
        )
    return key


def _without_password(database: str) -> str:
    database = database.partition("?")[0]  # the options may hold one too
    scheme, at, rest = database.rpartition("@")
    if not at:
        return database
    user = scheme.partition("://")[2].partition(":")[0]
    return f"{scheme.partition('://')[0]}://{user}:***@{rest}"
