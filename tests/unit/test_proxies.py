"""Which proxy leads where, by the environment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit import ConfigError
from llmkit.transport.httpx import proxy_url
from llmkit.transport.proxies import Proxies, proxy_for

PROXY = "http://proxy.example:3128"
NAMES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def asked(origin: str, **environ: str) -> str | None:
    """Return the URL of the proxy."""
    found = proxy_for(origin, environ)
    return None if found is None else found.url


@pytest.mark.parametrize(
    ("origin", "environ", "variable"),
    [
        ("http://a.example", {}, None),
        ("http://a.example", {"HTTP_PROXY": PROXY}, "HTTP_PROXY"),
        ("http://a.example", {"http_proxy": PROXY, "HTTP_PROXY": "http://b"}, "http_proxy"),
        ("http://a.example", {"http_proxy": "", "HTTP_PROXY": PROXY}, None),
        ("http://a.example", {"http_proxy": " ", "ALL_PROXY": PROXY}, None),
        ("http://a.example", {"HTTPS_PROXY": PROXY}, None),
        ("https://a.example", {"HTTPS_PROXY": PROXY}, "HTTPS_PROXY"),
        ("https://a.example", {"HTTP_PROXY": PROXY}, None),
        ("https://a.example", {"ALL_PROXY": PROXY}, "ALL_PROXY"),
        ("https://a.example", {"all_proxy": PROXY, "https_proxy": PROXY}, "https_proxy"),
        ("https://a.example", {"FTP_PROXY": PROXY}, None),
        # Under CGI it may be a header of the browser's.
        ("http://a.example", {"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, None),
        ("http://a.example", {"http_proxy": PROXY, "REQUEST_METHOD": "GET"}, "http_proxy"),
        ("http://a.example:x", {"HTTP_PROXY": PROXY}, None),
        ("http://", {"HTTP_PROXY": PROXY}, None),
    ],
)
def test_which_variable_says_it(origin: str, environ: dict[str, str], variable: str | None) -> None:
    """The lower case comes first, then what is for all; an empty one says that there is none."""
    found = proxy_for(origin, environ)
    assert (None if found is None else found.variable) == variable


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("proxy.example:3128", PROXY),
        (f" {PROXY} ", PROXY),
        ("https://proxy.example", "https://proxy.example"),
        ("socks5://127.0.0.1:1080", "socks5://127.0.0.1:1080"),
        ("socks5h://[::1]:1080/", "socks5h://[::1]:1080/"),
        ("http://user:p%23ss@proxy_1:3128", "http://user:p%23ss@proxy_1:3128"),
    ],
)
def test_what_is_a_proxy(value: str, url: str) -> None:
    """A URL, or a host and port alone."""
    assert asked("http://a.example", HTTP_PROXY=value) == url


@pytest.mark.parametrize(
    "value",
    [
        "http://",
        "://",
        "http://proxy.example:port",
        "http://proxy.example:0",
        "http://proxy.example:99999",
        "http://secret@",
        "http://user:sec#ret@proxy.example:3128",
        "http://user:1/secret@proxy.example:3128",
        "http://sec ret.example",
        "http://[::secret]:1",
        "http://-secret-.example",
        "http://sec..ret.example",
        "http://secr\u00e9t.example",
        "http://user:sec ret@proxy.example:3128",
        "http://user:sec\tret@proxy.example:3128",
        "http://user:sec\x00ret@proxy.example:3128",
        "http://user:sec\x1bret@proxy.example:3128",
        "http://user:sec\x7fret@proxy.example:3128",
        "http://proxy.example:31\n28",
    ],
)
@pytest.mark.parametrize("name", ["https_proxy", "ALL_PROXY"])
def test_what_is_none(value: str, name: str) -> None:
    """It is an error of the settings that names the variable, and shows nothing of it."""
    with pytest.raises(ConfigError, match=f"^{name} is not the URL of a proxy") as raised:
        asked("https://a.example", **{name: value})
    assert "sec" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_kind_that_nobody_knows() -> None:
    """It is named, with those that are known."""
    with pytest.raises(ConfigError, match="ALL_PROXY names a 'socks4' proxy.*socks5h"):
        asked("http://a.example", ALL_PROXY="socks4://127.0.0.1:1080")


EXCEPTED = [
    # a name, and all below it
    ("http://api.example", "api.example", True),
    ("http://eu.api.example", "api.example", True),
    ("http://api.example", ".api.example", True),
    ("http://eu.api.example", ".api.example", True),
    ("http://eu.api.example", "*.api.example", True),
    ("http://api.example", "*.api.example", False),
    ("http://myapi.example", "api.example", False),
    ("http://api.example", "eu.api.example", False),
    ("http://api.example", "example", True),
    ("http://API.Example", "Api.EXAMPLE", True),
    ("http://api.example.", "api.example", True),
    ("http://api.example", "api.example.", True),
    ("http://localhost:8080", "localhost", True),
    # everything
    ("http://api.example", "*", True),
    ("http://[::1]", "other.example, *", True),
    # lists
    ("http://api.example", "a.example,api.example,b.example", True),
    ("http://api.example", " a.example , api.example ", True),
    ("http://api.example", "a.example api.example", True),
    ("http://api.example", "", False),
    ("http://api.example", ",, ,", False),
    # ports
    ("http://api.example:8080", "api.example:8080", True),
    ("http://api.example:8080", "api.example:80", False),
    ("http://api.example", "api.example:80", True),
    ("https://api.example", "api.example:443", True),
    ("https://api.example", "api.example:80", False),
    ("http://api.example:8080", ".example:8080", True),
    # addresses
    ("http://127.0.0.1:8080", "127.0.0.1", True),
    ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
    ("http://127.0.0.1:8080", "127.0.0.1:80", False),
    ("http://127.0.0.1", "0.0.1", False),
    ("http://127.0.0.1", "7.0.0.1", False),
    ("http://[::1]:8080", "::1", True),
    ("http://[::1]:8080", "[::1]", True),
    ("http://[::1]:8080", "[::1]:8080", True),
    ("http://[::1]:8080", "[::1]:80", False),
    ("http://[fd07:0:0::1]", "FD07::1", True),
    ("http://[::ffff:10.0.0.1]", "10.0.0.1", True),
    ("http://[::1]", "127.0.0.1", False),
    # networks
    ("http://10.1.2.3", "10.0.0.0/8", True),
    ("http://10.1.2.3:8080", "10.1.2.3/8", True),
    ("http://11.1.2.3", "10.0.0.0/8", False),
    ("http://[fd07:b51a:cc66:f0::7]", "fd07:b51a:cc66:f0::/64", True),
    ("http://[fd07:b51a:cc66:f0::7]", "[fd07:b51a:cc66:f0::]/64", True),
    ("http://[fd07:b51a:cc66:f1::7]", "fd07:b51a:cc66:f0::/64", False),
    ("http://10.1.2.3", "fd07:b51a:cc66:f0::/64", False),
    # an IPv4 address that is written as one of IPv6, and networks of either kind
    ("http://[::ffff:10.1.2.3]", "10.0.0.0/8", True),
    ("http://[::ffff:11.1.2.3]", "10.0.0.0/8", False),
    ("http://[::ffff:10.1.2.3]", "::ffff:10.0.0.0/104", True),
    ("http://[::ffff:11.1.2.3]", "::ffff:10.0.0.0/104", False),
    ("http://[::ffff:10.1.2.3]", "::ffff:0:0/96", True),
    ("http://[::ffff:10.1.2.3]", "::ffff:0:0/95", True),
    ("http://[::ffff:10.1.2.3]", "::/0", True),
    ("http://10.1.2.3", "::ffff:10.0.0.0/104", True),
    ("http://11.1.2.3", "::ffff:10.0.0.0/104", False),
    ("http://10.1.2.3", "::ffff:0:0/95", False),
    ("http://10.1.2.3", "::/0", False),
    ("http://api.example", "10.0.0.0/8", False),
    # schemes
    ("http://api.example", "http://api.example", True),
    ("https://api.example", "http://api.example", False),
    ("https://api.example", "all://api.example", True),
    # what means nothing
    ("http://api.example", ".", False),
    ("http://api.example", "*.", False),
    ("http://api.example", "*.*", False),
    ("http://api.example", "[", False),
    ("http://10.1.2.3", "10.0.0.0/99", False),
    ("http://10.1.2.3", "/", False),
]


@pytest.mark.parametrize(("origin", "no_proxy", "is_excepted"), EXCEPTED)
def test_what_needs_none(origin: str, no_proxy: str, is_excepted: bool) -> None:
    """NO_PROXY, as curl and Go read it."""
    for name in ("NO_PROXY", "no_proxy"):
        found = asked(origin, ALL_PROXY=PROXY, **{name: no_proxy})
        assert found == (None if is_excepted else PROXY)


def test_the_lower_case_of_no_proxy_comes_first() -> None:
    """As with the others."""
    assert asked("http://a.example", ALL_PROXY=PROXY, no_proxy="", NO_PROXY="*") == PROXY


def test_each_address_is_looked_up_once() -> None:
    """What changes in the environment later changes nothing for an address that is known."""
    environ = {"HTTP_PROXY": PROXY}
    proxies = Proxies(environ)
    first = proxies.of("http://a.example")
    assert first is not None
    environ.clear()
    assert proxies.of("http://a.example") is first
    assert proxies.of("http://b.example") is None


def test_a_password_is_not_shown() -> None:
    """The repr of a proxy holds no URL."""
    found = proxy_for("http://a.example", {"HTTP_PROXY": "http://user:secret@proxy.example"})
    assert "secret" not in repr(found)


NAME = st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9]{1,8}){0,2}\.[a-z]{2,5}", fullmatch=True)


@given(st.dictionaries(st.sampled_from((*NAMES, "NO_PROXY", "no_proxy")), st.text()), st.text())
def test_whatever_the_environment_says(environ: dict[str, str], rest: str) -> None:
    """There is a proxy, or none, or an error of the settings."""
    for origin in ("http://a.example", "https://[::1]:8080", f"http://{rest}"):
        try:
            proxy_for(origin, environ)
        except ConfigError as error:
            assert error.hint


@given(NAME, NAME, st.sampled_from(["", "."]))
def test_a_name_means_itself_and_what_is_below(name: str, other: str, dot: str) -> None:
    """And nothing that only ends in the same letters."""
    environ = {"ALL_PROXY": PROXY, "NO_PROXY": dot + name}
    assert proxy_for(f"http://{name}", environ) is None
    assert proxy_for(f"http://{other}.{name}", environ) is None
    assert proxy_for(f"http://x{name}", environ) is not None


@given(st.ip_addresses(), st.integers(0, 32))
def test_an_address_is_in_its_networks(address: object, bits: int) -> None:
    """However it is written."""
    text = str(address)
    host = f"[{text}]" if ":" in text else text
    for entry in (text, host, f"{text}/{bits}"):
        environ = {"ALL_PROXY": PROXY, "NO_PROXY": f"a.example, {entry}"}
        assert proxy_for(f"https://{host}:8443", environ) is None


@pytest.mark.parametrize(
    ("url", "given"),
    [
        ("socks5h://me:secret@a.example:1080", "socks5://me:secret@a.example:1080"),
        ("SOCKS5H://[::1]:1080", "socks5://[::1]:1080"),
        ("socks5://a.example", "socks5://a.example"),
        ("http://a.example:3128", "http://a.example:3128"),
        ("https://a.example:3128", "https://a.example:3128"),
    ],
)
def test_what_httpx_is_given(url: str, given: str) -> None:
    """With socks5, httpx leaves names to the proxy already; its 0.27 does not know socks5h."""
    proxy = proxy_for("https://api.example", {"ALL_PROXY": url})
    assert proxy is not None
    assert proxy_url(proxy) == given
