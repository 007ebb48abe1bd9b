"""How a JSON schema is said to Gemini, of an answer and of a tool's arguments.

Source: ai.google.dev/api/generate-content, responseJsonSchema, which lists the words that it knows. The google-genai SDK translates them so, too
(`_transformers.process_schema`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Where a word has schemas behind it: one (or several), or one for each name that the app has chosen. All other words have values, which stay.
_SCHEMAS = frozenset(
    {
        *("additionalItems", "additionalProperties", "allOf", "anyOf", "contains", "else", "if"),
        *("items", "not", "oneOf", "prefixItems", "propertyNames", "then"),
        *("unevaluatedItems", "unevaluatedProperties"),
    }
)
_BY_NAME = frozenset(
    {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
)


def said(schema: Any) -> Any:
    """Write a schema in the words that the vendor knows: it has no `const`, which is a choice of one."""
    if isinstance(schema, list | tuple):
        return [said(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {word: _behind(word, each) for word, each in schema.items() if word != "const"}
    return found | ({"enum": [schema["const"]]} if "const" in schema else {})


def _behind(word: str, value: Any) -> Any:
    if word in _BY_NAME and isinstance(value, Mapping):
        return {name: said(each) for name, each in value.items()}
    return said(value) if word in _SCHEMAS else value
