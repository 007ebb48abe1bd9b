"""Which proxy leads to an address: one reading of the environment for all transports, which the libraries read each in its own way."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from llmkit.errors import ConfigError, ConnectionFailed
from llmkit.providers.host_names import is_host_name

SOCKS = ("socks5", "socks5h")
SCHEMES = ("http", "https", *SOCKS)
PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the variable that names it. The URL may hold a password."""

    url: str = field(repr=False)
    scheme: str
    variable: str


class Proxies:
    """The proxies of addresses, each looked up once."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._known: dict[str, Proxy | None] = {}

    def of(self, origin: str) -> Proxy | None:
        """Return the proxy for a scheme and host, such as "https://api.example:8443"; None for none.

        Raises:
            ConfigError: a variable names no proxy that can be used.
        """
        try:
            return self._known[origin]
        except KeyError:
            self._known[origin] = proxy_for(origin, self._environ)
            return self._known[origin]


def proxy_for(origin: str, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy that the environment names for a scheme and host.

    The first that is set of http_proxy, HTTP_PROXY, all_proxy and ALL_PROXY decides, by the scheme of the address; an empty one
    says that there is none. NO_PROXY is a list of names, which stand for all below them, too (with or without a dot in front),
    of IPv4 and IPv6 addresses and networks, each with a port if only that is meant, and of `*` for everything.

    Raises:
        ConfigError: the variable names no proxy that can be used.
    """
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return None  # who connects says what is wrong with it
    variable = _variable(parts.scheme, environ)
    if variable is None or host is None:
        return None
    excepted = environ.get("no_proxy", environ.get("NO_PROXY", ""))
    if any(_means(entry, parts.scheme, host, port) for entry in re.split(r"[,\s]+", excepted)):
        return None
    return _read(environ[variable].strip(), variable)


def origin_of(url: str) -> str:
    """Return the scheme and host of an absolute URL, with the port if it says one."""
    return "/".join(url.split("/", 3)[:3])


class UnusableProxy(ConfigError):
    """A proxy is of a kind that a transport does not know."""


def unusable(proxy: Proxy, *, hint: str) -> UnusableProxy:
    """Make the error for such a proxy."""
    return UnusableProxy(
        f"{proxy.variable} names a {proxy.scheme} proxy, which cannot be used here", hint=hint
    )


def no_proxy_url(variable: str) -> ConfigError:
    """Make the error for a variable that names no proxy. Its value is not shown, for it may hold a password."""
    return ConfigError(
        f"{variable} is not the URL of a proxy",
        hint="It has to look like http://proxy.example:3128 or http://user:password@proxy.example:3128, with special characters in "
        "the password percent-encoded (# as %23). Unset it if there is no proxy.",
    )


def refused() -> ConnectionFailed:
    """Make the error for a proxy that was reached, and does not connect to the provider."""
    return ConnectionFailed(
        "the proxy did not connect to the provider",
        hint="Check the URL of the proxy, with the user and password in it (HTTPS_PROXY or ALL_PROXY). Or add the provider's host to NO_PROXY.",
    )


def _variable(scheme: str, environ: Mapping[str, str]) -> str | None:
    """Name the variable that says the proxy for a scheme."""
    for name in _variables(scheme):
        if name == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
            continue  # under CGI it may be a header of the browser's
        if name in environ:
            return name if environ[name].strip() else None
    return None


def _variables(scheme: str) -> Iterator[str]:
    for name in (f"{scheme}_proxy", "all_proxy"):
        yield name
        yield name.upper()


def _read(value: str, variable: str) -> Proxy:
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        sound = _is_sound(parts) and not re.search(r"[\s\x00-\x1f\x7f]", url)
    except ValueError:
        sound = False
    if not sound:
        raise no_proxy_url(variable)
    if parts.scheme not in SCHEMES:
        raise ConfigError(
            f"{variable} names a {parts.scheme!r} proxy, which is not supported",
            hint=f"Supported are {', '.join(SCHEMES)}. Or add the provider's host to NO_PROXY.",
        )
    return Proxy(url, parts.scheme, variable)


def _is_sound(parts: SplitResult) -> bool:
    host, port = parts.hostname, parts.port
    # An @ behind the host is that of a password with a / or a # in it.
    if not host or port == 0 or "@" in parts.path + parts.query + parts.fragment:
        return False
    if _address(host) is not None:
        return True
    return _NAME.fullmatch(host) is not None and is_host_name(host)


def _means(entry: str, scheme: str, host: str, port: int | None) -> bool:
    """Whether an entry of NO_PROXY means a host."""
    if "://" in entry:
        meant, _, entry = entry.partition("://")
        if meant.lower() not in (scheme, "all"):
            return False
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        return address is not None and (_is_in(address, entry) or _is_in(ip_address(host), entry))
    name, wanted = _split(entry.lower())
    if not name or (wanted and wanted != str(port)):
        return False
    if address is not None:
        return _address(name) == address
    return _is_below(host.rstrip("."), name)


def _split(entry: str) -> tuple[str, str]:
    """Part an entry from its port, if it has one."""
    if entry.startswith("["):
        address, _, rest = entry[1:].partition("]")
        return address, rest.removeprefix(":")
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry, ""


def _is_below(host: str, name: str) -> bool:
    below = f".{name.removeprefix('*').strip('.')}"
    if below == ".":
        return False
    return host.endswith(below) or (host == below[1:] and not name.startswith("*"))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return found if mapped is None else mapped


def _is_in(address: IPv4Address | IPv6Address, network: str) -> bool:
    try:
        found = ip_network(network.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return False
    mapped = getattr(found.network_address, "ipv4_mapped", None)
    if mapped is not None:
        # Its prefix has 96 bits or more: with fewer a bit of ffff would be masked.
        found = ip_network((mapped, found.prefixlen - 96))
    return address in found
