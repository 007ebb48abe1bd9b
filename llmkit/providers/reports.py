"""What the body of a failure says, in the forms that providers use."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from llmkit.providers.head import sound_id

# A word with a hyphen, or a very long one, might be a key or an id of somebody's.
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}|[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Report:
    """What an error body says: its words, and its sentence, which is read and never shown."""

    words: tuple[str, ...] = ()
    sentence: str = ""
    request_id: str | None = None

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
    )


def _words(error: dict[str, object]) -> tuple[str, ...]:
    details = error.get("details")
    found = [error.get("code"), error.get("type"), error.get("status")]
    if isinstance(details, dict):
        found.insert(0, details.get("error_code"))
    words = [str(word) for word in found if type(word) in (str, int)]
    sound = [word for word in words if _WORD.fullmatch(word) and word != "error"]
    return tuple(sorted(sound, key=str.isdigit))
