"""Where OpenAI's formats are spoken: at its own address, a compatible server's, or Azure's.

Source: learn.microsoft.com/azure/ai-foundry/openai/reference and /api-version-lifecycle.
"""

from __future__ import annotations

from typing import NamedTuple, Self
from urllib.parse import quote, urlsplit

_AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")


class Address(NamedTuple):
    """An address.

    Attributes:
        base: without what is asked for there; `{model}` stands for the name of the model, which is Azure's name of a deployment.
        query: behind it.
        is_azure: whether the key has another header.
        has_path: whether the base URL had any path.
    """

    base: str
    query: str
    is_azure: bool
    has_path: bool

    @classmethod
    def of(cls, base_url: str, api_version: str | None, *, deploys: bool) -> Self:
        """Make it of a base URL.

        Args:
            base_url: as it is set.
            api_version: Azure's; its newer API needs none.
            deploys: whether the deployment stands in the address, where there is a version.
        """
        parts = urlsplit(base_url)
        is_azure = (parts.hostname or "").endswith(_AZURE)
        query = "" if api_version is None else f"?api-version={quote(api_version)}"
        if is_azure and parts.path in ("", "/openai"):
            root = base_url.removesuffix("/openai") + "/openai"
            if api_version is None:
                root += "/v1"
            elif deploys:
                root += "/deployments/{model}"
            return cls(root, query, is_azure, has_path=True)
        return cls(base_url, query, is_azure, bool(parts.path))

    @property
    def is_classic(self) -> bool:
        """Whether the deployment stands in it."""
        return "/deployments/" in self.base

    def url(self, what: str, model: str) -> str:
        """Return the URL for something that is asked for there."""
        return f"{self.base.replace('{model}', quote(model, safe=''))}/{what}{self.query}"
