"""The kinds of values in the settings."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from llmkit.config.errors import without_provider
from llmkit.providers.fields import field_name, field_value
from llmkit.zones import zone_of

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Dollars = Annotated[Decimal, Field(ge=0)]


def as_list(value: object) -> object:
    """Take a string for a list of one."""
    return [value] if isinstance(value, str) else value


def _http_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("a base URL has to start with http:// or https://")
    return value


def _model_id(value: str) -> str:
    provider, colon, model = value.partition(":")
    if not (provider and colon and model):
        raise ValueError(without_provider(value))
    return value


def _origin(value: str) -> str:
    value = value.strip().lower()
    try:
        parts = urlsplit(value)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or value != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
        raise ValueError('an origin has to be a scheme and a host, such as "https://app.example"')
    return value


def _zone(value: str) -> str:
    zone_of(value)
    return value


_REDIS = ("redis://", "rediss://", "unix://", "redis+cluster://", "rediss+cluster://")


def _redis_url(value: str) -> str:
    if not value.startswith(_REDIS):
        raise ValueError(
            'it has to be a URL such as "redis://localhost:6379/0", or "redis+cluster://..." for a cluster'
        )
    return value


TimeZone = Annotated[str, AfterValidator(_zone)]
RedisURL = Annotated[str, AfterValidator(_redis_url)]
BaseURL = Annotated[str, AfterValidator(_http_url)]
ModelId = Annotated[str, AfterValidator(_model_id)]
Origin = Annotated[str, AfterValidator(_origin)]
FieldName = Annotated[str, AfterValidator(field_name)]
FieldValue = Annotated[str, AfterValidator(field_value)]
