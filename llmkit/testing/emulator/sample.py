"""What a model might say where a schema is asked for: the first value that fits, of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_VALUES: dict[str, Any] = {
    "string": "An example.",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "null": None,
}
_FORMATS = {
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "date-time": "2026-01-31T12:00:00Z",
    "duration": "PT1H",
    "email": "somebody@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
# A tree has an end: so deep, a list is empty.
_DEEP = 4


def sample(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """Make a value of a schema. What its words do not say, such as a pattern, it does not follow."""
    root = schema if root is None else root
    if depth > 10 * _DEEP:
        return None  # no value fits
    if "$ref" in schema:
        found: Any = root
        for name in filter(None, schema["$ref"].removeprefix("#").split("/")):
            found = found[name]
        return sample(found, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    if variants := schema.get("anyOf") or schema.get("oneOf"):
        return sample(variants[-1] if depth > _DEEP else variants[0], root, depth + 1)
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        fields = schema.get("properties", {})
        return {name: sample(each, root, depth + 1) for name, each in fields.items()}
    if kind == "array":
        return [] if depth > _DEEP else [sample(schema.get("items") or {}, root, depth + 1)]
    if kind == "string":
        return _FORMATS.get(schema.get("format", ""), _VALUES["string"])
    return _VALUES.get(str(kind))
