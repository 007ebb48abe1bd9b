"""How many tokens a text has, roughly, where the provider does not say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llmkit.parts import written

if TYPE_CHECKING:
    from llmkit.call import Call

# Alphabets whose letters take three bytes in UTF-8: Indian, South-East Asian, Georgian, Ethiopic
# and others.
_ALPHABETS = re.compile("[\u0800-\u1fff]+")


def estimate_prompt(call: Call) -> int:
    """Estimate the tokens of what a call asks."""
    said = "".join(written(part) for message in call.messages for part in message.parts)
    tools = "".join(tool.described for tool in call.tools)
    output = "" if call.output is None else call.output.described
    return estimate_tokens((call.system or "") + tools + output + said)


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text without a tokenizer.

    Vocabularies differ, but all are learned from text of the same kinds: about 4 ASCII characters
    make a token, 2 letters of other alphabets (é, Cyrillic, Arabic, Hindi, Thai), 1 Chinese,
    Japanese or Korean character; an emoji makes 2 tokens. Prose comes out within a third or so,
    random strings and numbers too low. 0 for no text, at least 1 for any.
    """
    length = len(text)
    if text.isascii():
        return -(-length // 4)
    # Three encodings tell how many characters there are of each kind, without a loop over them.
    ascii_only = len(text.encode("ascii", "ignore"))
    astral = len(text.encode("utf-16-le", "surrogatepass")) // 2 - length
    size = len(
        text.encode("utf-8", "surrogatepass")
    )  # ascii + 2 two_byte + 3 three_byte + 4 astral
    three_byte = size - 2 * length + ascii_only - 2 * astral
    two_byte = length - ascii_only - three_byte - astral
    alphabetic = two_byte + (length - len(_ALPHABETS.sub("", text)) if three_byte else 0)
    dense = two_byte + three_byte - alphabetic
    return -(-(ascii_only + 2 * alphabetic + 4 * dense + 8 * astral) // 4)
