"""The kinds of values in the settings."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from llmkit.config.errors import without_provider
from llmkit.providers.fields import field_name, field_value
from llmkit.zones import zone_of

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Dollars = Annotated[Decimal, Field(ge=0)]


def as_list(value: object) -> object:
    """Take a string for a list of one."""
    return [value] if isinstance(value, str) else value


def _http_url(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        raise ValueError("a base URL has to start with http:// or https://")
    return value


def _model_id(value: str) -> str:
    provider, colon, model = value.partition(":")
    if not (provider and colon and model):
        raise ValueError(without_provider(value))
    return value


def _origin(value: object) -> object:
    origin = value.strip().lower() if isinstance(value, str) else ""
    try:
        parts = urlsplit(origin)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or origin != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
        raise ValueError('an origin has to be a scheme and a host, such as "https://app.example"')
    return origin


def _zone(value: Any) -> object:
    zone_of(value)
    return value


_REDIS = ("redis://", "rediss://", "unix://", "redis+cluster://", "rediss+cluster://")


def _redis_url(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(_REDIS):
        raise ValueError(
            'it has to be a URL such as "redis://localhost:6379/0", or "redis+cluster://..." for a cluster'
        )
    return value


TimeZone = Annotated[str, BeforeValidator(_zone)]
RedisURL = Annotated[str, BeforeValidator(_redis_url)]
BaseURL = Annotated[str, BeforeValidator(_http_url)]
ModelId = Annotated[str, AfterValidator(_model_id)]
Origin = Annotated[str, BeforeValidator(_origin)]
FieldName = Annotated[str, AfterValidator(field_name)]
FieldValue = Annotated[str, AfterValidator(field_value)]
