"""The schemas that vendors hold a model to: all that is said has to be among what they know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Sources: developers.openai.com/api/docs/guides/structured-outputs ("Supported schemas") and
# platform.claude.com/docs/en/build-with-claude/structured-outputs ("JSON Schema limitations"). What is in both is said as it is; the rest
# goes into the description, so that the model knows it, and is checked when the answer is there.
_SAID = frozenset({"type", "enum", "const", "description", "$ref"})
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
_LEFT_OUT = frozenset({"title", "default", "discriminator"})
# Which are no objects with fields of known names, or have no form at all.
_IMPOSSIBLE = frozenset({"prefixItems", "patternProperties", "propertyNames", "not", "if", "allOf"})


class NotStrict(Exception):
    """The schema cannot be said so that a vendor holds a model to it."""


def strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that a vendor holds a model to: every field has to be there, and no other may be.

    Raises:
        NotStrict: it has fields of any name, or values of any kind.
    """
    if not schema.keys().isdisjoint(_IMPOSSIBLE):
        raise NotStrict
    said: dict[str, Any] = {name: value for name, value in schema.items() if name in _SAID}
    notes = {
        name: value
        for name, value in schema.items()
        if name not in _SAID and name not in _LEFT_OUT and name not in _STRUCTURE
    }
    if "$defs" in schema:
        said["$defs"] = {name: strict(each) for name, each in schema["$defs"].items()}
    if "$ref" in schema:
        # Nothing else may stand beside it.
        return {name: said[name] for name in ("$ref", "$defs") if name in said}
    if variants := schema.get("anyOf") or schema.get("oneOf"):
        said["anyOf"] = [strict(each) for each in variants]
    elif schema.get("type") == "object":
        _fields(schema, said)
    elif schema.get("type") == "array":
        if not isinstance(schema.get("items"), Mapping):
            raise NotStrict
        said["items"] = strict(schema["items"])
    elif not ("type" in said or "enum" in said or "const" in said):
        raise NotStrict
    if (known := schema.get("format")) is not None:
        if known in _FORMATS:
            said["format"] = known
        else:
            notes["format"] = known
    if notes:
        also = ", ".join(f"{name}: {value}" for name, value in notes.items())
        said["description"] = " ".join([*filter(None, [said.get("description")]), f"({also})"])
    return said


_STRUCTURE = frozenset(
    {"$defs", "anyOf", "oneOf", "properties", "required", "additionalProperties", "items", "format"}
)


def _fields(schema: Mapping[str, Any], said: dict[str, Any]) -> None:
    fields = schema.get("properties", {})
    if not fields or schema.get("additionalProperties", False) is not False:
        raise NotStrict
    said["properties"] = {name: strict(each) for name, each in fields.items()}
    said["required"] = list(fields)
    said["additionalProperties"] = False
