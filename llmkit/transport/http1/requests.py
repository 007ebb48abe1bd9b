"""Addresses, and requests as they are written. Pure."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, unquote, urlsplit

from llmkit.providers.base import HTTPRequest
from llmkit.transport.proxies import PORTS, Proxy, origin_of

# Said here, and nowhere else: how the request and its answer are written.
_OURS = frozenset({"accept-encoding", "content-length", "transfer-encoding"})
# What needs no escaping and no look at its host. Anything else is read by httpx, which knows the rules for it.
_PLAIN = re.compile(
    r"https?://([\w.-]+|\[[\da-fA-F:.]+\])(:\d+)?(/[\w./:@!$&'()*+,;=~%-]*)?(\?[\w./:@!$&'()*+,;=~%?-]*)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a request goes.

    Attributes:
        origin: scheme and host, with the port if the URL says one.
        is_tls: whether it goes over TLS.
        host: the name that is looked up, or an IP address, without brackets.
        port: the port.
        authority: the host as a request names it.
        target: the path and the query, escaped.
    """

    origin: str
    is_tls: bool
    host: str
    port: int
    authority: str
    target: str


@lru_cache(maxsize=256)
def address_of(url: str) -> Address:
    """Read an absolute URL.

    Raises:
        ValueError: it is none, or not of http or https.
    """
    if _PLAIN.fullmatch(url) is None:
        url = _escaped(url)
    parts = urlsplit(url)
    host, port = host_of(parts)
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    authority = parts.netloc.rpartition("@")[2]
    if parts.port == PORTS[parts.scheme]:  # goes without saying
        authority = authority.rpartition(":")[0]
    return Address(origin_of(url), parts.scheme == "https", host, port, authority, target)


def host_of(parts: SplitResult) -> tuple[str, int]:
    """Return the host and the port of a URL.

    Raises:
        ValueError: there is none, or it is not of http or https.
    """
    if not parts.hostname or parts.scheme not in PORTS:
        raise ValueError("not an http or https URL")
    return parts.hostname, parts.port or PORTS[parts.scheme]


def _escaped(url: str) -> str:
    import httpx  # noqa: PLC0415  # slow to load, and few URLs need it

    try:
        known = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from None
    return f"{known.scheme}://{known.netloc.decode('ascii')}{known.raw_path.decode('ascii')}"


def credentials(proxy: Proxy) -> str:
    """Return the line that tells a proxy who we are; nothing if its URL does not say it."""
    parts = urlsplit(proxy.url)
    if parts.username is None:
        return ""
    given = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return f"proxy-authorization: Basic {b64encode(given).decode()}\r\n"


def tunnel_to(address: Address, proxy: Proxy) -> bytes:
    """Write the request for a tunnel to an address."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    at = f"{host}:{address.port}"
    return f"CONNECT {at} HTTP/1.1\r\nhost: {at}\r\n{credentials(proxy)}\r\n".encode()


def request_bytes(request: HTTPRequest, address: Address, proxy: Proxy | None = None) -> bytes:
    """Write a request.

    Args:
        request: what to say.
        address: where it goes.
        proxy: which is told all of the address, since it has to pass the request on; None where nobody reads it on its way.

    Raises:
        ValueError: a header holds what would end it.
    """
    target = address.target if proxy is None else f"{address.origin}{address.target}"
    lines = [f"{request.method} {target} HTTP/1.1"]
    if "host" not in request.headers:
        lines.append(f"host: {address.authority}")
    lines += [f"{name}: {value}" for name, value in request.headers.items() if name not in _OURS]
    lines.append("accept-encoding: identity")
    if request.content or request.method != "GET":
        lines.append(f"content-length: {len(request.content)}")
    head = "\r\n".join(lines)
    if not head.count("\r") == head.count("\n") == len(lines) - 1:
        raise ValueError("a header with a line break")
    further = "" if proxy is None else credentials(proxy)
    return f"{head}\r\n{further}\r\n".encode() + request.content
