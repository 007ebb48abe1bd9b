"""Which schemas vendors hold an answer to. Each takes a part of JSON Schema, and says what is not in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# developers.openai.com/api/docs/guides/structured-outputs, platform.claude.com/docs/en/build-with-claude/structured-outputs
_OF_BOTH = frozenset(
    {
        *("$defs", "$ref", "type", "enum", "const", "anyOf", "description", "title", "format"),
        *("properties", "required", "additionalProperties", "items"),
    }
)
KEYWORDS = {
    "openai": _OF_BOTH
    | {"pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    | {"minItems", "maxItems"},
    "anthropic": _OF_BOTH | {"allOf", "default", "minItems"},
    # ai.google.dev/api/generate-content, responseJsonSchema: what is not in its list is refused or not heeded; a const is not in it.
    "gemini": (_OF_BOTH - {"const"})
    | {"$id", "$anchor", "oneOf", "prefixItems", "minItems", "maxItems", "minimum", "maximum"}
    | {"propertyOrdering"},
}


def schema_problems(schema: Any, wire: str, at: str = "schema") -> Iterator[str]:
    """Say what a vendor does not take in a schema, and where."""
    if not isinstance(schema, dict):
        yield f"{at}: schema must be an object"
        return
    if at == "schema" and schema.get("type") != "object":
        yield f"{at}: schema must be a JSON Schema of 'type: \"object\"'"
    for keyword in sorted(set(schema) - KEYWORDS[wire]):
        yield f"{at}: '{keyword}' is not permitted"
    if "$ref" in schema and not set(schema) <= {"$ref", "$defs"}:
        yield f"{at}: $ref cannot have keywords beside it"
    if schema.get("type") == "object":
        yield from _object_problems(schema, wire, at)
    if schema.get("type") == "array":
        yield from schema_problems(schema.get("items"), wire, f"{at}.items")
    for name, each in schema.get("$defs", {}).items():
        yield from schema_problems(each, wire, f"{at}.$defs.{name}")
    for number, each in enumerate(schema.get("anyOf", ())):
        yield from schema_problems(each, wire, f"{at}.anyOf.{number}")


def _object_problems(schema: dict[str, Any], wire: str, at: str) -> Iterator[str]:
    fields, others = schema.get("properties", {}), schema.get("additionalProperties")
    if wire != "gemini" and others is not False:
        yield f"{at}: 'additionalProperties' is required to be supplied and to be false"
    if wire == "openai" and sorted(schema.get("required", [])) != sorted(fields):
        yield f"{at}: 'required' is required to be supplied and to be an array including every key in properties"
    for name, each in fields.items():
        yield from schema_problems(each, wire, f"{at}.{name}")
    if isinstance(others, dict):
        yield from schema_problems(others, wire, f"{at}.*")
