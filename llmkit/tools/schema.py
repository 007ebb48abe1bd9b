"""How pydantic writes the schemas that a model reads."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema


class Untitled(GenerateJsonSchema):
    """Makes no titles: they say the name again, and each is paid for."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Say that none should."""
        return False
