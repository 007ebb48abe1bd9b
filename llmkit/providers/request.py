"""What every wire needs to say a request: a sound address, sound headers, a JSON body."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from llmkit.errors import ConfigError, InvalidRequest
from llmkit.providers.base import HTTPRequest
from llmkit.providers.fields import field_name, field_value
from llmkit.providers.host_names import is_host_name
from llmkit.providers.vendors import key_place


def checked_base_url(provider: str, value: str) -> str:
    """Return the base URL without a slash at its end.

    Raises:
        ConfigError: it is not an http or https URL, carries a password, a query or a fragment, or its host cannot be looked up.
    """
    value = value.strip()
    try:
        parts = urlsplit(value)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or " " in value or not value.isprintable():
        raise ConfigError(
            f"the base URL of {provider} is not an http or https URL",
            hint='Write it in full, such as "https://api.example.com/v1".',
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            f"the base URL of {provider} contains a password, a query or a fragment",
            hint="Put credentials into api_key or headers.",
        )
    host = parts.hostname or ""
    if ":" not in host and not is_host_name(host):
        raise ConfigError(
            f"the base URL of {provider} contains a host name that cannot exist",
            hint=f"Check providers.{provider}.base_url or its environment variable: the parts of a name have 1 to 63 letters, digits and "
            "hyphens, with a dot between them.",
        )
    return value.rstrip("/")


def checked_api_key(provider: str, value: str) -> str:
    """Return the key without the white space around it, which files and shells like to add.

    Raises:
        ConfigError: it is empty, or cannot stand in an HTTP header.
    """
    try:
        key = field_value(value)
        fault = None if key else "is empty"
    except ValueError:
        key, fault = "", "is not printable ASCII"
    if fault is None:
        return key
    raise ConfigError(
        f"the API key of {provider} {fault}",
        hint=f"Check {key_place(provider)}.",
    )


def checked_headers(provider: str, headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return further headers, names in lower case.

    Raises:
        ConfigError: one of them cannot be sent.
    """
    checked: dict[str, str] = {}
    fault = None
    for name, value in (headers or {}).items():
        try:
            checked[field_name(name)] = field_value(value)
        except ValueError as error:
            fault = f"the header {name!r} of {provider} cannot be sent: {error}"
    if fault is not None:
        raise ConfigError(fault, hint=f"Check providers.{provider}.headers.")
    return checked


def arguments_json(arguments: Mapping[str, object]) -> str:
    """Write the arguments of a tool's call as JSON, as a text.

    Raises:
        InvalidRequest: they cannot be said in JSON.
    """
    try:
        return msgspec.json.encode(arguments).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(
            "the arguments of a tool's call cannot be written as JSON",
            hint="Use strings, numbers, booleans, None, lists and dicts.",
        ) from error


def _joined(ours: object, theirs: object) -> object:
    if isinstance(ours, list) and isinstance(theirs, list | tuple):
        return [*ours, *(each for each in theirs if each not in ours)]
    return _merged(ours, theirs)


def _merged(ours: object, theirs: object) -> object:
    if not (isinstance(ours, Mapping) and isinstance(theirs, Mapping)):
        return theirs
    return {**ours, **{name: _merged(ours.get(name), value) for name, value in theirs.items()}}


def to_request(
    url: str,
    headers: Mapping[str, str],
    body: dict[str, object],
    extra: Mapping[str, object],
    *,
    joined: tuple[str, ...] = (),
) -> HTTPRequest:
    """Build the POST. Fields in `extra` take the place of those in `body`.

    Objects of the names in `joined` are joined, field by field; lists are put together, and always those of tools.

    Raises:
        InvalidRequest: `extra` holds `stream`, or something cannot be said in JSON.
    """
    if "stream" in extra:
        raise InvalidRequest(
            "extra contains the field stream", hint="Call stream() or complete(), which set it."
        )
    given = {
        name: _joined(body.get(name), value) if name in ("tools", *joined) else value
        for name, value in extra.items()
    }
    try:
        content = msgspec.json.encode({**body, **given})
    except UnicodeEncodeError:
        raise InvalidRequest(
            "a text contains half of a surrogate pair, which cannot be encoded as UTF-8",
            hint='Replace it: text.encode("utf-8", "replace").decode().',
        ) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(
            "extra, or what a tool is called with, contains a value that cannot be written as JSON",
            hint="Use strings, numbers, booleans, None, lists and dicts.",
        ) from error
    return HTTPRequest("POST", url, headers, content)
