"""What the body of a failure says, in the forms that providers use."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from llmkit.providers.head import sound_id

# A word with a hyphen, or a very long one, might be a key or an id of somebody's.
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}|[0-9]{1,6}")

_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")


@dataclass(frozen=True, slots=True)
class Report:
    """What an error body says.

    Attributes:
        words: one-word codes, the narrowest first.
        sentence: is read and never shown.
        request_id: the provider's.
        retry_after: how many seconds to wait.
        is_for_today: whether it is the quota of the day that is used up: waiting a little does not help.
    """

    words: tuple[str, ...] = ()
    sentence: str = ""
    request_id: str | None = None
    retry_after: float | None = None
    is_for_today: bool = False

    @property
    def code(self) -> str | None:
        """The word that says most."""
        return self.words[0] if self.words else None


def is_report(document: object) -> bool:
    """Tell whether a decoded JSON value reports an error, in one of the forms in use."""
    if isinstance(document, list) and document:
        document = document[0]
    return isinstance(document, dict) and (
        bool(document.get("error")) or "error" in (document.get("object"), document.get("type"))
    )


def is_report_text(text: str) -> bool:
    """Tell whether a text of JSON reports an error."""
    try:
        return is_report(msgspec.json.decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def read_report(body: str | bytes) -> Report:
    """Find the words in the error forms that are in use.

    `{"error": {"type", "code", "message", "details"?}}` (Anthropic, OpenAI), the same in an array
    (Google), `{"error": "text"}` (Ollama), and `{"object": "error", "type", "code", "message"}`
    (Mistral, vLLM). The code comes before the type, because it is the narrower word; a number comes
    last.
    """
    if isinstance(body, bytes):
        body = body.decode("utf-8-sig", "replace")
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return Report()
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        return Report()
    error, own_id = document.get("error", document), document.get("request_id")
    if isinstance(error, str):
        return Report(sentence=error.lower())
    if not isinstance(error, dict):
        return Report()
    sentence = error.get("message")
    return Report(
        _words(error),
        sentence.lower() if isinstance(sentence, str) else "",
        sound_id(own_id),
        _delay(error),
        any(map(_is_of_the_day, _details(error))),
    )


def _details(error: dict[str, object]) -> list[dict[str, object]]:
    """Return the details of an error of Google's (google.rpc.Status): why it is one, how long to wait, which quota is used up."""
    details = error.get("details")
    return [each for each in details if isinstance(each, dict)] if isinstance(details, list) else []


def _delay(error: dict[str, object]) -> float | None:
    """Read how long to wait, such as "34s" or "1.5s" (google.rpc.RetryInfo)."""
    for detail in _details(error):
        match = _SECONDS.fullmatch(str(detail.get("retryDelay")))
        if match is not None:
            return float(match[1])
    return None


def _is_of_the_day(detail: dict[str, object]) -> bool:
    """Whether it is a quota of the day that is used up (google.rpc.QuotaFailure)."""
    violations = detail.get("violations")
    return isinstance(violations, list) and any(
        isinstance(each, dict) and "perday" in str(each.get("quotaId")).lower()
        for each in violations
    )


def _words(error: dict[str, object]) -> tuple[str, ...]:
    details = error.get("details")
    found = [error.get("code"), error.get("type"), error.get("status")]
    if isinstance(details, dict):
        found.insert(0, details.get("error_code"))
    for detail in _details(error):
        found.insert(0, detail.get("reason"))
    words = [str(word) for word in found if type(word) in (str, int)]
    sound = [word for word in words if _WORD.fullmatch(word) and word != "error"]
    return tuple(sorted(sound, key=str.isdigit))
