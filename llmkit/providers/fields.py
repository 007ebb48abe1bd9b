"""What may stand in a header field of a request."""

from __future__ import annotations

import re

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# They say where the body ends, which the HTTP library does.
_FRAMING = ("content-length", "transfer-encoding")


def field_name(name: str) -> str:
    """Return the name of a header, in lower case.

    Raises:
        ValueError: no header can have it.
    """
    name = name.strip().lower()
    if not _NAME.fullmatch(name):
        raise ValueError("a header name has only ASCII letters, digits and !#$%&'*+-.^_`|~")
    if name in _FRAMING:
        raise ValueError(f"{name} is set by the HTTP library")
    return name


def field_value(value: str) -> str:
    """Return the value of a header without the white space around it, which files and shells like to add.

    Raises:
        ValueError: it cannot stand in a header.
    """
    value = value.strip()
    if not (value.isascii() and value.replace("\t", " ").isprintable()):
        raise ValueError(
            "a header value has to be printable ASCII, without line breaks or accented letters"
        )
    return value
