"""The chat page and the browser's client, as files to serve."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files

from llmkit.caller import Caller
from llmkit.relay.answer import Answer

_SCRIPT = "text/javascript; charset=utf-8"
PAGES = {
    "/": ("chat.html", "text/html; charset=utf-8"),
    "/chat.css": ("chat.css", "text/css; charset=utf-8"),
    "/chat.js": ("chat.js", _SCRIPT),
    "/inline.js": ("inline.js", _SCRIPT),
    "/llmkit.js": ("llmkit.js", _SCRIPT),
    "/markdown.js": ("markdown.js", _SCRIPT),
    "/nodes.js": ("nodes.js", _SCRIPT),
}
# Nothing but the page's own files runs, whatever a model writes.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


@cache
def page(path: str) -> Answer:
    """Return one of `PAGES` as it stands."""
    name, content_type = PAGES[path]
    headers = {
        "content-type": content_type,
        "cache-control": "no-cache",
        "x-content-type-options": "nosniff",
    }
    if path == "/":
        headers["content-security-policy"] = _POLICY
    return Answer.of(200, headers, files("llmkit").joinpath("static", name).read_bytes())


def chat_page(
    *,
    user: Caller,
    token: str | None = None,
    header: str = "",
    login_url: str | None = None,
) -> Answer:
    """Return the chat page, with what its script has to know of the host.

    Args:
        user: who is logged in. The page gets a hash of it, so that the browser shows a kept conversation to nobody else.
        token: this visitor's CSRF token, if the host checks one.
        header: the header in which the host wants it.
        login_url: where to log in, if the host has such a page.
    """
    tags = []
    if user.user is not None:
        tags.append(f'<meta name="visitor" content="{_hash(user)}">')
    if token is not None:
        tags.append(
            f'<meta name="csrf-token" content="{escape(token)}" data-header="{escape(header)}">'
        )
    if login_url is not None:
        tags.append(f'<meta name="login-url" content="{escape(login_url)}">')
    head = "".join(f"  {tag}\n" for tag in tags) + "</head>"
    blank = page("/")
    headers = {**blank.headers, "cache-control": "private, no-cache", "vary": "Cookie"}
    return Answer.of(blank.status, headers, blank.body.replace(b"</head>", head.encode(), 1))


def _hash(caller: Caller) -> str:
    """Tell callers apart without saying who they are."""
    said = repr((caller.tenant, caller.user)).encode("utf-8", "backslashreplace")
    return sha256(said).hexdigest()[:16]
