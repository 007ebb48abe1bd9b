"""What all wire formats share: an address, the headers with the key, and how a status becomes an error."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from llmkit.call import Call
from llmkit.errors import ConfigError, ProviderError
from llmkit.providers import failures
from llmkit.providers.base import HTTPRequest
from llmkit.providers.failures import Credential, Origin
from llmkit.providers.request import checked_api_key, checked_base_url, checked_headers
from llmkit.providers.vendors import VENDORS
from llmkit.tracebacks import forgetful
from llmkit.version import __version__

USER_AGENT = f"llmkit/{__version__}"
_KEYS = frozenset({"api-key", "authorization", "x-api-key", "x-goog-api-key"})


class HTTPProvider(ABC):
    """A wire format, with an address and a key."""

    vendor: ClassVar[str]
    """Whose format it is: its name and its address are the usual ones."""
    key_header: ClassVar[str] = "authorization"
    """Where the key stands; behind `Bearer` where the header is `authorization`."""
    own_headers: ClassVar[Mapping[str, str]] = {}
    """What the vendor wants besides."""
    most_texts: int
    """How many texts are embedded in one request, where the vendor has embeddings."""

    @forgetful
    def __init__(
        self,
        name: str | None = None,
        *,
        api_key: str | None,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        api_version: str | None = None,
        token: Callable[[], str] | None = None,
        embed_at_once: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep the address and the key.

        With `api_key=None` no key is sent, for servers that need none. `headers` are added to llmkit's own, or replace them. `api_version` is
        Azure's. `token` returns a token that is sent with each request in place of a key; whoever makes the request calls it. `embed_at_once`
        is how many texts are embedded in one request, where that is less than the vendor's usual number. `clock` returns seconds since the epoch.

        Raises:
            ConfigError: the base URL or the key cannot be used, or there is a setting that the vendor has no use for.
        """
        self.name = name = self.vendor if name is None else name
        self.token = token
        base_url = VENDORS[self.vendor].base_url if base_url is None else base_url
        self._url = self._locate(checked_base_url(name, base_url), api_version)
        if embed_at_once is not None:
            self.most_texts = self._sound_count(embed_at_once)
        self._headers = {
            "user-agent": USER_AGENT,
            **self.own_headers,
            "content-type": "application/json",
        }
        if api_key is not None:
            header, key = self._key_header(), checked_api_key(name, api_key)
            self._headers[header] = f"Bearer {key}" if header == "authorization" else key
        further = checked_headers(name, headers)
        self._headers |= further
        # What tells its answers from those of another with the same name: the key does not.
        self.identity = (
            self._url,
            *(f"{name}: {value}" for name, value in sorted(further.items())),
        )
        self._clock = clock

    @abstractmethod
    def _locate(self, base_url: str, api_version: str | None) -> str:
        """Return the address, as far as it is the same for all calls.

        Raises:
            ConfigError: the vendor has no versions of this kind.
        """

    def _sound_count(self, embed_at_once: int) -> int:
        if hasattr(self, "build_embedding"):
            return embed_at_once
        raise ConfigError(
            f"providers.{self.name}.embed_at_once is set, but its wire has no embeddings",
            hint="Leave it out.",
        )

    def _key_header(self) -> str:
        return self.key_header

    @property
    def _usual_path(self) -> str | None:
        """What the base URL usually ends in, if this one has no path at all."""
        return None

    def _sent(self, call: Call, stream_type: str = "text/event-stream") -> dict[str, str]:
        """Return the headers of a request."""
        accept = stream_type if call.streaming else "application/json"
        return {"accept": accept, **self._headers}

    def _list(self, url: str) -> HTTPRequest:
        """Ask for the list of models."""
        headers = {name: value for name, value in self._headers.items() if name != "content-type"}
        return HTTPRequest("GET", url, {**headers, "accept": "application/json"}, b"")

    def error(
        self, model: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> ProviderError:
        """Turn an answer with an error status into the error to raise."""
        sent: Credential | None = None if _KEYS.isdisjoint(self._headers) else "key"
        if self.token is not None:
            sent = "token"
        origin = Origin.of(
            self.name, model, headers, status, credential=sent, usual_path=self._usual_path
        )
        return failures.from_status(origin, headers, body, now=self._clock())


def without_version(name: str, api_version: str | None) -> None:
    """Refuse a version where the vendor has none.

    Raises:
        ConfigError: there is one.
    """
    if api_version is not None:
        raise ConfigError(
            f"providers.{name}.api_version is set, which is for Azure's addresses alone",
            hint="Leave it out, or set wire to openai.",
        )
