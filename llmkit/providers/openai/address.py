"""Where OpenAI's formats are spoken: at its own address, a compatible server's, or Azure's.

Source: learn.microsoft.com/azure/ai-foundry/openai/reference and /api-version-lifecycle.
"""

from __future__ import annotations

from typing import NamedTuple, Self
from urllib.parse import quote, urlsplit

from llmkit.providers.vendors import AZURE, USUAL, VENDORS, Quirks, quirks_at

# Azure's API for models of all vendors, which is no OpenAI's: learn.microsoft.com/rest/api/aifoundry/model-inference/get-chat-completions.
_OF_ALL_VENDORS = "/models"


class Address(NamedTuple):
    """An address.

    Attributes:
        base: without what is asked for there; `{model}` stands for the name of the model, which is Azure's name of a deployment.
        query: behind it.
        is_azure: whether it is Azure's, or that of what stands in front of it: the key has another header there.
        has_path: whether the base URL had any path, or Azure's is known.
        quirks: what is different there.
    """

    base: str
    query: str
    is_azure: bool
    has_path: bool
    quirks: Quirks

    @classmethod
    def of(cls, base_url: str, api_version: str | None, *, deploys: bool) -> Self:
        """Make it of a base URL.

        Args:
            base_url: as it is set.
            api_version: Azure's, which makes any address one of Azure's: a gateway's, or that of another cloud; its newer API needs none.
            deploys: whether the deployment stands in the address, where there is a version.
        """
        parts = urlsplit(base_url)
        host = parts.hostname or ""
        is_azure = api_version is not None or host.endswith(AZURE)
        if not is_azure:
            return cls(base_url, "", is_azure, bool(parts.path), quirks_at(host))
        query = "" if api_version is None else f"?api-version={quote(api_version)}"
        quirks = USUAL if parts.path == _OF_ALL_VENDORS else VENDORS["openai"].quirks
        # A gateway may have a path before Azure's own; any other one is meant as it stands.
        if not parts.path or parts.path.endswith("/openai"):
            base_url = base_url.removesuffix("/openai") + "/openai"
            if api_version is None:
                base_url += "/v1"
            elif deploys:
                base_url += "/deployments/{model}"
        return cls(base_url, query, is_azure, has_path=True, quirks=quirks)

    @property
    def is_classic(self) -> bool:
        """Whether the deployment stands in it."""
        return "/deployments/" in self.base

    def url(self, what: str, model: str) -> str:
        """Return the URL for something that is asked for there."""
        return f"{self.base.replace('{model}', quote(model, safe=''))}/{what}{self.query}"
