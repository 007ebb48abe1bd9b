"""Write the sync half of the drivers and of their tests from the async half.

`python tests/unasync.py` writes it; `--check` changes nothing and fails where a file is out of date. It works on tokens: drops
`async` and `await`, and maps names by one table, in strings and comments too. A rule that nothing used is an error.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tokenize_rt import Token, src_to_tokens, tokens_to_src

ROOT = Path(__file__).parents[1]
FOLDERS = (
    (ROOT / "llmkit" / "_async", ROOT / "llmkit" / "_sync"),
    (ROOT / "llmkit" / "relay" / "_async", ROOT / "llmkit" / "relay" / "_sync"),
    (ROOT / "llmkit" / "transport" / "_async", ROOT / "llmkit" / "transport" / "_sync"),
    (ROOT / "tests" / "_async", ROOT / "tests" / "_sync"),
)
NAMES = {
    "DefaultAsyncHttpxClient": "DefaultHttpxClient",
    "ASYNC_TRANSPORTS": "TRANSPORTS",
    "AsyncIterator": "Iterator",
    "StopAsyncIteration": "StopIteration",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "_async": "_sync",
    "abegin": "begin",
    "aclaims": "claims",
    "akeep": "keep",
    "alook": "look",
    "agive_up": "give_up",
    "aend": "end",
    "aclose": "close",
    "afinish": "finish",
    "aiter_raw": "iter_raw",
    "acharge": "charge",
    "agrant": "grant",
    "aleft": "left",
    "aread": "read",
    "arecord": "record",
    "areport": "report",
    "handle_async": "handle",
}
# Names with a common part: AsyncClient and _AsyncText, async_sleep, the module async_upstream.
PATTERNS = {
    re.compile(r"^(_?)Async([A-Z]\w*)$"): r"\1\2",
    re.compile(r"^async_(\w+)$"): r"\1",
}
# The modules of the waits have other names for threads.
WAITS = re.compile(r"\bllmkit\.concurrency\.(job_)?tasks\b")
WORDS = re.compile(r"[A-Za-z_]\w*")
# In prose: `async with`, and code samples.
PROSE = re.compile(r"\b(?:async|await) (?=with\b|for\b|def\b)")
ANYIO = re.compile(r"^[ \t]*@pytest\.mark\.anyio\n", re.MULTILINE)
AWAITABLE = "Awaitable"


class Rewriter:
    """Rewrites source, and remembers which rules it used."""

    def __init__(self) -> None:
        self.unused: set[object] = {*NAMES, *PATTERNS, WAITS, PROSE, ANYIO, AWAITABLE}

    def rewrite(self, source: str, name: str) -> str:
        """Return the sync form of the source of the file of that name."""
        source = self._sub(ANYIO, "", source)
        source = self._sub(WAITS, r"llmkit.concurrency.\1threads", source)
        tokens = self._without_awaitable(src_to_tokens(source))
        kept: list[Token] = []
        skip_space = False
        for token in tokens:
            if skip_space and token.name == "UNIMPORTANT_WS":
                skip_space = False
                continue
            skip_space = token.src in ("async", "await")
            if not skip_space:
                kept.append(token._replace(src=self._token(token)))
        return f"# Generated from {name}. Do not edit.\n{tokens_to_src(kept)}"

    def _token(self, token: Token) -> str:
        if token.name == "NAME":
            return self._name(token.src)
        if token.name in ("STRING", "FSTRING_MIDDLE", "COMMENT"):
            prose = self._sub(PROSE, "", token.src)
            return WORDS.sub(lambda word: self._name(word.group()), prose)
        return token.src

    def _name(self, name: str) -> str:
        if name in NAMES:
            self.unused.discard(name)
            return NAMES[name]
        for pattern, replacement in PATTERNS.items():
            renamed, count = pattern.subn(replacement, name)
            if count:
                self.unused.discard(pattern)
                return renamed
        return name

    def _sub(self, pattern: re.Pattern[str], replacement: str, source: str) -> str:
        result, count = pattern.subn(replacement, source)
        if count:
            self.unused.discard(pattern)
        return result

    def _without_awaitable(self, tokens: list[Token]) -> list[Token]:
        """`Awaitable[T]` becomes `T`; its import stays, for the linter does not see the generated half."""
        kept: list[Token] = []
        closers: list[int] = []  # the depths of brackets whose closing one goes
        depth = 0
        index = 0
        while index < len(tokens):
            token = tokens[index]
            if token.src == AWAITABLE and tokens[index + 1].src == "[":
                self.unused.discard(AWAITABLE)
                depth += 1
                closers.append(depth)
                index += 2
                continue
            if token.src in ("[", "(", "{"):
                depth += 1
            elif token.src in ("]", ")", "}"):
                if closers and closers[-1] == depth:
                    closers.pop()
                    depth -= 1
                    index += 1
                    continue
                depth -= 1
            kept.append(token)
            index += 1
        return kept


def main() -> int:
    """Write or check all generated files; return the exit code."""
    check = "--check" in sys.argv[1:]
    rewriter = Rewriter()
    stale = []
    for source_folder, target_folder in FOLDERS:
        wanted = {
            target_folder / path.name: rewriter.rewrite(
                path.read_text("utf-8"), path.relative_to(ROOT).as_posix()
            )
            for path in sorted(source_folder.glob("*.py"))
        }
        for path in target_folder.glob("*.py"):
            if path not in wanted:
                stale.append(path)
                if not check:
                    path.unlink()
        for path, text in wanted.items():
            if not path.exists() or path.read_text("utf-8") != text:
                stale.append(path)
                if not check:
                    path.parent.mkdir(exist_ok=True)
                    path.write_text(text, "utf-8")
    for path in stale:
        print(f"{'out of date' if check else 'written'}: {path.relative_to(ROOT)}")
    if rewriter.unused:
        print(f"rules that nothing used: {sorted(map(str, rewriter.unused))}")
    if check and stale:
        print("run: python tests/unasync.py")
    return int(bool(rewriter.unused or (check and stale)))


if __name__ == "__main__":
    raise SystemExit(main())
