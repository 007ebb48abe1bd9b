"""What a value is, and what a text or tags have to be, in words for errors. No value is shown: it may be a prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite


def kind_of(value: object) -> str:
    """Say of which kind a value is, such as "an int"."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeioAEIO" else f"a {name}"


def is_whole(value: object) -> bool:
    """Whether it is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether it is a number, and not endless."""
    return is_whole(value) or (isinstance(value, float) and isfinite(value))


def wrong_tags(tags: object) -> str | None:
    """Say what is wrong with tags; None if nothing is."""
    if not isinstance(tags, Mapping):
        return f"tags has to be a dict of strings, not {kind_of(tags)}"
    for name, value in tags.items():
        if not isinstance(name, str):
            return f"the names in tags have to be of the type str, not {kind_of(name)}"
        if not isinstance(value, str):
            return f"tags[{json.dumps(name)}] has to be a str, not {kind_of(value)}"
    return None
