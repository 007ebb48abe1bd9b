"""How a provider's failure becomes an error, from status, headers and body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from llmkit.errors import (
    AuthenticationFailed,
    Overloaded,
    PromptTooLong,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
)
from llmkit.providers.failures import Origin, from_report, from_status
from llmkit.providers.head import request_id
from llmkit.providers.waits import retry_after
from support.decoding import PROVIDERS

NOW = 1_762_000_000.0
SECRET = "sk-ant-secret and the whole prompt"


def fail(
    status: int, body: object = b"", headers: Mapping[str, str] | None = None
) -> ProviderError:
    """Make the error for an answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    origin = Origin.of("anthropic", "m", headers or {}, status)
    return from_status(origin, headers or {}, content, now=NOW)


def report(**error: object) -> dict[str, object]:
    """Build an error body of the usual form, with a sentence that may not be shown."""
    return {"type": "error", "error": {"message": SECRET, **error}}


@pytest.mark.parametrize(
    ("status", "kind", "can_retry"),
    [
        (302, ProviderError, False),
        (400, RequestRejected, False),
        (401, AuthenticationFailed, False),
        (402, QuotaExhausted, False),
        (403, AuthenticationFailed, False),
        (404, RequestRejected, False),
        (405, RequestRejected, False),
        (408, ProviderError, True),
        (409, ProviderError, True),
        (413, PromptTooLong, False),
        (422, RequestRejected, False),
        (425, ProviderError, True),
        (429, RateLimited, True),
        (500, ServerFailed, True),
        (502, ServerFailed, True),
        (503, ServerFailed, True),
        (504, ServerFailed, True),
        (529, Overloaded, True),
        (599, ServerFailed, True),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>nginx</html>", b'"text"', b"[]", b'{"error":null}'])
def test_status_decides(
    status: int, body: bytes, kind: type[ProviderError], *, can_retry: bool
) -> None:
    """The class and whether to retry follow from the status alone when the body says nothing."""
    error = fail(status, body)
    assert type(error) is kind
    assert error.can_retry == can_retry
    assert error.message == f"anthropic answered {status}"
    assert error.hint
    assert (error.provider, error.model, error.status_code) == ("anthropic", "m", status)
    assert (error.code, error.request_id, error.retry_after) == (None, None, None)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (429, report(type="insufficient_quota", code="insufficient_quota"), "insufficient_quota"),
        (
            429,
            report(type="insufficient_quota", code="credit_balance_exhausted"),
            "credit_balance_exhausted",
        ),
        (429, report(code="project_spend_limit_exceeded"), "project_spend_limit_exceeded"),
        (
            429,
            report(type="rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
            "enforced_spend_limit_reached",
        ),
        (403, report(type="billing_error"), "billing_error"),
        (
            400,
            {
                "error": {
                    "type": "invalid_request_error",
                    "message": "Your credit balance is too low to",
                }
            },
            "invalid_request_error",
        ),
        (
            400,
            {
                "error": {
                    "type": "x",
                    "message": "You have reached your specified API usage limits.",
                }
            },
            "x",
        ),
    ],
)
def test_spent_quota_is_told_from_a_rate_limit(
    status: int, body: dict[str, object], code: str
) -> None:
    """An account without money is its own class, and waiting does not help it."""
    error = fail(status, body)
    assert type(error) is QuotaExhausted
    assert not error.can_retry
    assert error.code == code


def test_a_quota_word_does_not_excuse_a_server() -> None:
    """A server's own failure stays one."""
    assert type(fail(500, report(type="insufficient_quota"))) is ServerFailed


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (report(type="rate_limit_error"), "rate_limit_error"),
        (report(type="requests", code="rate_limit_exceeded"), "rate_limit_exceeded"),
        (report(type="rate_limit_error", code=None), "rate_limit_error"),
        (report(type="rate_limit_error", code=429), "rate_limit_error"),
        (report(code=1302), "1302"),
        ([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}], "RESOURCE_EXHAUSTED"),
        ({"object": "error", "type": "too_many", "code": "1300", "message": SECRET}, "too_many"),
        ({"error": SECRET}, None),
        ({"detail": [{"msg": SECRET}]}, None),
        (report(type=SECRET, code="sk-proj-abc"), None),
        (report(type="x" * 65, code={"a": 1}), None),
        (report(code=True), None),
        ([], None),
    ],
)
def test_code_is_one_harmless_word(body: object, code: str | None) -> None:
    """The code is the narrowest word of the body; sentences and keys never get into the error."""
    error = fail(429, body)
    assert error.code == code
    assert str(error).startswith(
        f"anthropic answered 429 ({code}). " if code else "anthropic answered 429. "
    )
    assert "secret" not in f"{error} {error!r} {error.args} {vars(error)}"


@pytest.mark.parametrize(
    ("status", "body", "hint"),
    [
        (401, b"", "providers.anthropic.api_key"),
        (404, b"", "Check the model name"),
        (400, report(code="model_not_found"), "Check the model name"),
        (413, b"", "send less"),
        (400, report(code="context_length_exceeded"), "send less"),
        (402, b"", "Add credit"),
        (429, b"", "Wait and try again"),
        (500, b"", "status page"),
        (301, b"", "Redirects are not followed"),
        (422, b"", "options of this call"),
        (408, b"", "gave up waiting"),
        (409, b"", "conflicts with another one"),
        (425, b"", "so early in a connection"),
    ],
)
def test_hint_says_how_to_mend_it(status: int, body: object, hint: str) -> None:
    """Each failure names its remedy."""
    assert hint in str(fail(status, body))


@pytest.mark.parametrize(
    ("word", "status", "can_retry"),
    [
        ("true", 400, True),
        ("false", 500, False),
        (" True ", 401, True),
        ("false", 409, False),
        ("maybe", 500, True),
        ("", 400, False),
    ],
)
def test_x_should_retry_wins(word: str, status: int, *, can_retry: bool) -> None:
    """The provider's word about retrying goes before the rule of the status."""
    assert fail(status, headers={"x-should-retry": word}).can_retry == can_retry


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"request-id": "req_1"}, b"", "req_1"),
        ({"x-request-id": "abc-DEF:1.2"}, b"", "abc-DEF:1.2"),
        ({"request-id": "a", "x-request-id": "b"}, {"request_id": "c"}, "a"),
        ({}, {"request_id": "req_9", "error": {}}, "req_9"),
        ({"request-id": "a b\n"}, {"request_id": 7}, None),
        ({"request-id": "x" * 129}, {"request_id": "<b>"}, None),
    ],
)
def test_request_id(headers: dict[str, str], body: object, expected: str | None) -> None:
    """The id of the request comes from the headers, else from the body, if it is sound."""
    assert fail(500, body, headers).request_id == expected
    if not body:
        assert request_id(headers) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after": "1."}, 1.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "1_0"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "7"}, 7.0),
        ({"x-ms-retry-after-ms": "1500.5"}, 1.5005),
        ({"retry-after-ms": "-1"}, 0.0),
        ({"retry-after": "Sat, 01 Nov 2025 12:26:45 GMT"}, 5.0),
        ({"retry-after": "Sat, 01 Nov 2025 12:26:30 GMT"}, 0.0),
        ({"retry-after": "Sat, 01 Nov 2025 12:26:45 -0000"}, 5.0),
        (
            {
                "retry-after": "Sat, 01 Nov 2025 18:00:30 GMT",
                "date": "Sat, 01 Nov 2025 18:00:00 GMT",
            },
            30.0,
        ),
        ({"retry-after": "Sat, 01 Nov 2025 12:26:45 GMT", "date": "x"}, 5.0),
        ({"retry-after": "1m30s"}, 90.0),
        ({"retry-after": "250ms"}, 0.25),
        ({"retry-after": "6m0s"}, 360.0),
        ({"retry-after": "1h0m0.5s"}, 3600.5),
        ({"retry-after": " 34s "}, 34.0),
        ({"retry-after": "500µs"}, 0.0005),
        ({"retry-after": "1m30"}, None),
        ({"retry-after": "-5s"}, None),
        ({"retry-after": "1.5.5s"}, None),
        ({"retry-after": "2025-11-01T12:26:45Z"}, 5.0),
        ({"retry-after": "2025-11-01T13:26:45.5+01:00"}, 5.5),
        ({"retry-after": "2025-11-01T12:00:00Z"}, 0.0),
        ({"retry-after": "2025-99-01T12:26:45Z"}, None),
        ({"retry-after": "2025-11-01"}, None),
        (
            {"retry-after": "2025-11-01T18:00:30Z", "date": "Sat, 01 Nov 2025 18:00:00 GMT"},
            30.0,
        ),
        ({"x-ratelimit-reset-requests": "1m30s"}, None),
        (
            {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"},
            90.0,
        ),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "12ms",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            360.0,
        ),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "12ms",
                "x-ratelimit-remaining-tokens": "9",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            0.012,
        ),
        (
            {
                "retry-after": "2",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1m30s",
            },
            2.0,
        ),
        ({"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "1s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "0"}, None),
        (
            {
                "anthropic-ratelimit-output-tokens-remaining": "0",
                "anthropic-ratelimit-output-tokens-reset": "2025-11-01T12:27:00Z",
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": "2025-11-01T12:29:00Z",
            },
            20.0,
        ),
        ({"retry-after": "Sat, 99 Nov 2025 12:26:45 GMT"}, None),
        ({"retry-after": "Sat, 01 Nov 99999 12:26:45 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    """The wait is read from every form of the headers; it is never below zero."""
    assert retry_after(headers, NOW) == pytest.approx(expected)
    assert fail(429, headers=headers).retry_after == pytest.approx(expected)


@pytest.mark.parametrize("status", [408, 409, 425])
def test_a_refused_moment_inside_an_answer(status: int) -> None:
    """Reported under status 200 it is tried again as well, and says the same."""
    report = json.dumps({"error": {"code": status, "message": SECRET}})
    inside = from_report(Origin("anthropic", "m"), report)
    assert type(inside) is ProviderError
    assert inside.can_retry
    assert inside.hint == fail(status).hint
    assert inside.hint != "Try again later."


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_providers_turn_an_answer_into_the_error(name: str) -> None:
    """Both wires speak of themselves by their own name, and pass on id, wait and code."""
    error = PROVIDERS[name].error(
        "some-model",
        429,
        {"request-id": "req_1", "retry-after": "3"},
        json.dumps(report(type="rate_limit_error")).encode(),
    )
    assert type(error) is RateLimited
    assert error.message == f"{name} answered 429 (rate_limit_error)"
    assert (error.provider, error.model) == (name, "some-model")
    assert (error.request_id, error.retry_after) == ("req_1", 3.0)


@pytest.mark.parametrize(
    "error",
    [
        {"type": "invalid_request_error", "message": "prompt is too long: 208310 tokens > 200000"},
        {"code": "context_length_exceeded"},
        {"message": "This model's maximum context length is 4096 tokens."},
        {"type": "exceed_context_size_error", "code": 400},
    ],
)
def test_a_prompt_that_is_too_long(error: dict[str, object]) -> None:
    """Vendors say it in words or only in a sentence; it is known apart from other refusals."""
    caught = fail(400, {"error": error})
    assert type(caught) is PromptTooLong
    assert "send less" in (caught.hint or "")


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("399", ServerFailed),
        ("400", RequestRejected),
        ("401", AuthenticationFailed),
        ("429", RateLimited),
        ("599", ServerFailed),
    ],
)
def test_a_status_inside_a_report(word: str, kind: type[ProviderError]) -> None:
    """Where a 200 holds an error whose code is an HTTP status, that status decides."""
    origin = Origin.of("anthropic", "m", {}, 200)
    error = from_report(origin, json.dumps({"error": {"message": SECRET, "code": word}}))
    assert type(error) is kind


@pytest.mark.parametrize(
    ("provider", "credential", "hint"),
    [
        (
            "anthropic",
            None,
            "No API key was sent, because ANTHROPIC_API_KEY is only sent to anthropic's own address: set providers.anthropic.api_key.",
        ),
        ("ollama", None, "No API key was sent: set providers.ollama.api_key."),
        ("mine", None, "No API key was sent: set providers.mine.api_key."),
        (
            "anthropic",
            "key",
            "Check the API key (providers.anthropic.api_key or the environment variable ANTHROPIC_API_KEY), and that it may use this model.",
        ),
        (
            "mine",
            "key",
            "Check the API key (providers.mine.api_key), and that it may use this model.",
        ),
        (
            "azure",
            "token",
            "Check the token that providers.azure.token returns: whether it has run out, and may use this model.",
        ),
    ],
)
def test_a_key_that_is_refused(provider: str, credential: Any, hint: str) -> None:
    """A 401 says what was sent, and where that can be set: only who has an environment variable is sent there."""
    origin = Origin.of(provider, "m", {}, 401, credential=credential)
    assert from_status(origin, {}, b"", now=NOW).hint == hint


@pytest.mark.parametrize(
    ("status", "sentence", "kind", "hint"),
    [
        (
            400,
            "registry.ollama.ai/library/gemma:2b does not support tools",
            RequestRejected,
            "This model cannot call tools: ask it without them, or choose one that can.",
        ),
        (
            400,
            '"gemma:2b" does not support thinking',
            RequestRejected,
            "This model does not think before it answers: leave think out, or choose one that does.",
        ),
        (
            400,
            '"all-minilm" does not support chat',
            RequestRejected,
            "This model gives no answers: choose one that does.",
        ),
        (
            400,
            "this model does not support embeddings",
            RequestRejected,
            "This model has no embeddings: choose one that has them.",
        ),
        (
            400,
            "the input length exceeds the context length",
            PromptTooLong,
            "The prompt is too long for this model: send less, or choose another model.",
        ),
        (
            404,
            'model "secret" not found, try pulling it first',
            RequestRejected,
            "The server does not have this model: check its name, or `ollama pull` it there.",
        ),
    ],
)
@pytest.mark.parametrize("wire", ["ollama", "openai"])
def test_sentences_of_ollamas(
    wire: str, status: int, sentence: str, kind: type[ProviderError], hint: str
) -> None:
    """Which has no codes, at both of its APIs: what they are about is said in our words."""
    body: Any = {"error": sentence if wire == "ollama" else {"message": sentence, "type": "x"}}
    error = PROVIDERS[wire].error("m", status, {}, json.dumps(body).encode())
    assert (type(error), error.hint) == (kind, hint)
    assert "secret" not in str(error)


def test_a_sentence_that_quotes_the_prompt() -> None:
    """Is about something else: only its end tells."""
    error = fail(400, report(message="bad: 'my model does not support tools, why?'"))
    assert "This model cannot call tools" not in str(error)


def test_an_address_that_is_not_there() -> None:
    """A 404 points at the model's name and at the base URL, another refusal does not."""
    assert "base URL" in str(fail(404).hint)
    assert "base URL" not in str(fail(405).hint)


@pytest.mark.parametrize(
    ("message", "provider", "said"),
    [
        ("the connection broke", "openai", "the connection broke (openai)"),
        ("openai answered 500", "openai", "openai answered 500"),
        ("openai: too large", "openai", "openai: too large"),
        ("it is localised", "local", "it is localised (local)"),
        ("the connection broke", None, "the connection broke"),
    ],
)
def test_an_error_names_its_provider_once(message: str, provider: str | None, said: str) -> None:
    """Where the message does not name it, the error adds it."""
    error = ProviderError(message, provider=provider)
    assert str(error) == said
    assert error.message == message
