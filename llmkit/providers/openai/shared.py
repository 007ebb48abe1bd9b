"""What is asked of OpenAI and of everything compatible besides answers: embeddings, and the list of models; and with what key.

Sources: developers.openai.com/api/docs/api-reference/embeddings and /models.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmkit.call import Call
from llmkit.providers.base import Decoder, HTTPRequest
from llmkit.providers.failures import Origin
from llmkit.providers.openai.address import Address
from llmkit.providers.over_http import HTTPProvider
from llmkit.providers.request import to_request


class OpenAIAddresses(HTTPProvider):
    """What both of OpenAI's wire formats share: where the key stands; embeddings and the list of models have addresses of their own."""

    most_tokens: int | None
    _address: Address

    def _place(self, base_url: str, api_version: str | None) -> None:
        self._address = Address.of(base_url, api_version, deploys=True)
        self.most_texts = self._address.quirks.embed_at_once
        self.most_tokens = self._address.quirks.embed_tokens

    def _key_header(self) -> str:
        return "api-key" if self._address.is_azure else self.key_header

    @property
    def _usual_path(self) -> str | None:
        # Most servers have it; others have none, and know what was asked for.
        return None if self._address.has_path else "/v1"

    def build_listing(self) -> HTTPRequest | None:
        """Ask for the list of models; None where the address is that of one."""
        return None if self._address.is_classic else self._list(self._address.url("models", ""))

    def build_embedding(self, call: Call, model: str) -> HTTPRequest:
        """Write what is to be embedded.

        Raises:
            InvalidRequest: it cannot be written as JSON.
        """
        assert call.embedding is not None  # noqa: S101  # or it would not be asked
        body: dict[str, object] = {"model": model, "input": call.embedding.texts}
        if call.embedding.dimensions is not None:
            body["dimensions"] = call.embedding.dimensions
        return to_request(
            self._address.url("embeddings", model), self._sent(call), body, call.extra
        )

    def embedding_decoder(self, call: Call, model: str, headers: Mapping[str, str]) -> Decoder:
        """Make the decoder for the answer."""
        from llmkit.providers.embedding import OpenAIEmbeddings  # noqa: PLC0415  # for those who embed

        assert call.embedding is not None  # noqa: S101  # or it would not be asked
        origin = Origin.of(self.name, model, headers)
        return OpenAIEmbeddings(origin, len(call.embedding.texts))
