"""A call: what is asked of a model, however many attempts it takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypedDict, cast

from llmkit.caller import NOTHING, Caller, UserId, caller_of
from llmkit.concurrency.abort import AbortSignal
from llmkit.errors import InvalidRequest
from llmkit.kinds import is_number, is_whole, wrong_tags
from llmkit.messages import Message, Prompt, to_messages
from llmkit.outputs.output import MODES, Output, OutputMode, output_of
from llmkit.tools.limits import LoopOptions
from llmkit.tools.tool import Tool, to_choice, to_tools

if TYPE_CHECKING:
    import asyncio

    from llmkit.embeddings import Embedding, EmbedOptions


class Trace:
    """What goes along with a call. Its copies share it.

    Attributes:
        has_row: whether the call has a row in the ledger.
        is_left: whether whoever made it has left it to others, who see to its row.
        counted: the accounts of budgets that have counted it, by their names: its other attempts are part of the same request there.
        tasks: where the work that goes on when the caller is cancelled is kept, and found by whoever ends the loop.
    """

    __slots__ = ("counted", "has_row", "is_left", "tasks")

    def __init__(self, tasks: set[asyncio.Task[Any]] | None = None) -> None:
        self.has_row = False
        self.is_left = False
        self.counted: set[str] = set()
        self.tasks = set() if tasks is None else tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, however many attempts it takes. Middleware may pass on a changed copy (`dataclasses.replace`).

    `model` is an alias from the settings or a `provider:model` id. A field that is None is left to the provider.
    `tool_choice` is "auto", "none", "required" or the name of a tool. `extra` has fields that are added to the provider's request body as they are. `cache` says whether its answer may be kept and given again, or for how many seconds;
    None leaves it to the settings. The call's `repr` does not show the messages.
    """

    call_id: str
    model: str
    messages: tuple[Message, ...] = field(repr=False)
    system: str | None = field(default=None, repr=False)
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = field(default=(), repr=False)
    seed: int | None = None
    extra: Mapping[str, object] = field(default_factory=lambda: NOTHING, repr=False)
    caller: Caller = field(default_factory=Caller)
    run_id: str | None = None
    conversation: str | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    parallel_tool_calls: bool | None = None
    output: Output | None = None
    output_mode: OutputMode | None = None
    cache: bool | float | None = None
    embedding: Embedding | None = None
    streaming: bool = True
    signal: AbortSignal = field(default_factory=AbortSignal, repr=False, compare=False)
    trace: Trace = field(default_factory=Trace, repr=False, compare=False)


class CacheOption(TypedDict):
    """How long the answer of a call is kept, in seconds."""

    ttl: float


class PlainOptions(TypedDict, total=False):
    """The options of `complete()` and `stream()`, but for the type of the answer; see `CallOptions`."""

    model: str
    system: str | None
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    stop: str | Sequence[str]
    seed: int | None
    extra: Mapping[str, object]
    user: UserId | Caller
    tags: Mapping[str, str]
    run_id: str | None
    conversation: str | None
    tools: Sequence[Callable[..., Any] | Tool]
    tool_choice: str | Callable[..., Any] | Tool | None
    parallel_tool_calls: bool | None
    output_mode: OutputMode | None
    repair: int
    cache: bool | CacheOption | None


class CallOptions(PlainOptions, total=False):
    """The options of `complete()` and `stream()`.

    `user` is an id (a string, a number or a UUID), or a `Caller`, which can also have a tenant and tags; None is nobody. `run_id` and
    `conversation` are your app's own ids, which are stored in the row. `tools` are typed functions, or `Tool`s; `tool_choice` is "auto",
    "none", "required", or the one tool that has to be called. `output_type` is what the answer has to be: a pydantic model, a dataclass, a
    TypedDict, a list of those, a Literal; `output_mode` is how the model is held to it, by default as well as it can;
    `repair` is how often it may mend an answer that is not of this type, in calls of `complete` and `run`. `cache` says whether the answer
    may be kept and given again: True, False, or `{"ttl": seconds}`; without it the settings decide.
    """

    output_type: Any


class PlainRunOptions(PlainOptions, LoopOptions, total=False):
    """The options of `run()` and `run_stream()`, but for the type of the answer."""


class RunOptions(CallOptions, LoopOptions, total=False):
    """The options of `run()` and `run_stream()`: those of a call, and those of `Limits`."""


def split(options: RunOptions) -> tuple[LoopOptions, CallOptions]:
    """Part the options of a loop from those of its calls.

    Raises:
        TypeError: an option is not known.
    """
    _known(options, _OPTIONS | _LIMITS, "run()")
    limits = {name: value for name, value in options.items() if name in _LIMITS}
    rest = {name: value for name, value in options.items() if name not in _LIMITS}
    return cast("LoopOptions", limits), cast("CallOptions", rest)


_LIMITS = LoopOptions.__optional_keys__
_OPTIONS = CallOptions.__optional_keys__


def _known(options: Mapping[str, Any], known: frozenset[str], whose: str) -> None:
    unknown = sorted(options.keys() - known)
    if unknown:
        raise TypeError(
            f"{unknown[0]!r} is not an option of {whose}. Known options: {', '.join(sorted(known))}"
        )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_texts(value: object) -> bool:
    if isinstance(value, bytes | Mapping) or not isinstance(value, Collection):
        return False
    return all(map(_is_text, value))


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


# What each option has to be, besides None.
_KINDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "model": (_is_text, "a string"),
    "system": (_is_text, "a string"),
    "max_tokens": (is_whole, "a whole number"),
    "temperature": (is_number, "a number"),
    "top_p": (is_number, "a number"),
    "stop": (_are_texts, "a string or a list of strings"),
    "seed": (is_whole, "a whole number"),
    "extra": (_is_mapping, "a dict"),
    "run_id": (_is_text, "a string"),
    "conversation": (_is_text, "a string"),
    "parallel_tool_calls": (_is_bool, "True or False"),
    "repair": (is_whole, "a whole number"),
    "output_mode": (MODES.__contains__, " or ".join(map(repr, MODES))),
}


def _check(options: CallOptions) -> None:
    """See that each option is of its kind. Its value is not shown, for it may be a prompt."""
    tags = options.get("tags")
    wrong = None if tags is None else wrong_tags(tags)
    if wrong is not None:
        raise InvalidRequest(wrong, hint='Pass a dict of strings, such as {"feature": "search"}.')
    for name, value in options.items():
        if value is None or name not in _KINDS:
            continue
        fits, kind = _KINDS[name]
        if not fits(value):
            raise InvalidRequest(
                f"{name} is not {kind}",
                hint=f"Pass {kind} as {name}; this is of the type {type(value).__name__}.",
            )


def build_call(
    prompt: Prompt,
    options: CallOptions,
    *,
    call_id: str,
    default_model: str,
    default_max_tokens: int,
    streaming: bool,
    tasks: set[asyncio.Task[Any]] | None = None,
) -> Call:
    """Make the call out of what a caller passed.

    Raises:
        InvalidRequest: a message or an option is wrong.
        TypeError: an option is not known, or the user is no id.
    """
    _known(options, _OPTIONS, "a call")
    _check(options)
    max_tokens = options.get("max_tokens")
    if max_tokens is not None and max_tokens < 1:
        raise InvalidRequest(f"max_tokens is {max_tokens}", hint="Ask for at least 1 token.")
    if streaming and options.get("repair"):
        raise InvalidRequest(
            "a stream cannot be repaired: what was said is said",
            hint="Leave repair out, or call complete().",
        )
    if options.get("output_mode") is not None and options.get("output_type") is None:
        raise InvalidRequest(
            "output_mode is set, and there is no output_type",
            hint="Pass output_type=..., or leave it out.",
        )
    stop = options.get("stop") or ()
    tools = to_tools(options.get("tools") or ())
    return Call(
        call_id=call_id,
        model=options.get("model") or default_model,
        messages=to_messages(prompt),
        system=options.get("system"),
        max_tokens=max_tokens or default_max_tokens,
        temperature=options.get("temperature"),
        top_p=options.get("top_p"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        seed=options.get("seed"),
        extra=options.get("extra") or NOTHING,
        caller=caller_of(options.get("user"), options.get("tags") or NOTHING),
        run_id=options.get("run_id"),
        conversation=options.get("conversation"),
        tools=tools,
        tool_choice=to_choice(options.get("tool_choice"), tools),
        parallel_tool_calls=options.get("parallel_tool_calls"),
        output=_to_output(options.get("output_type")),
        output_mode=options.get("output_mode"),
        cache=_to_cache(options.get("cache")),
        streaming=streaming,
        trace=Trace(tasks),
    )


def build_embedding(
    texts: Sequence[str],
    options: EmbedOptions,
    *,
    call_id: str,
    default_model: str,
    tasks: set[asyncio.Task[Any]] | None = None,
) -> Call:
    """Make the call of one request for embeddings.

    Raises:
        InvalidRequest: an option is wrong.
        TypeError: an option is not known, or the user is no id.
    """
    from llmkit.embeddings import Embedding, EmbedOptions, dimensions_of  # noqa: PLC0415  # for those who embed

    _known(options, EmbedOptions.__optional_keys__, "embed()")
    dimensions = dimensions_of(options.get("dimensions"))
    rest = {name: value for name, value in options.items() if name != "dimensions"}
    call = build_call(
        [Message.user(text) for text in texts],
        cast("CallOptions", rest),
        call_id=call_id,
        default_model=default_model,
        default_max_tokens=1,
        streaming=False,
        tasks=tasks,
    )
    return replace(call, max_tokens=None, embedding=Embedding(tuple(texts), dimensions))


# In seconds: thirty years.
_LONGEST = 10**9


def _to_cache(given: object) -> bool | float | None:
    """Return whether an answer may be kept, or for how many seconds.

    Raises:
        InvalidRequest: it is neither.
    """
    if given is None or isinstance(given, bool):
        return given
    if isinstance(given, Mapping) and set(given) == {"ttl"}:
        ttl = given["ttl"]
        if is_number(ttl) and 0 < ttl <= _LONGEST:
            return float(ttl)
    raise InvalidRequest(
        "cache is neither True nor False, nor a time to live",
        hint='Pass cache=True, cache=False or cache={"ttl": 60}, in seconds.',
    )


def _to_output(kind: Any) -> Output | None:
    if kind is None:
        return None
    try:
        hash(kind)
    except TypeError:
        return Output(kind)
    return output_of(kind)
