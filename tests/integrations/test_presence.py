"""Whether a browser that waits for a plain answer is still there, by what a WSGI server puts into the environ."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from flask import Flask

from llmkit.relay.presence import Watch, presence
from llmkit.testing import Behaviour, Emulator
from llmkit_flask import LLMKit
from support.browser import SAY_HI
from support.kits import settings
from support.rows import database, rows
from support.waits import wait_for

Ends = tuple[socket.socket, socket.socket]


def connected() -> Ends:
    """Connect over TCP; return the browser's end and the server's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        browser = socket.create_connection(listener.getsockname())
        return browser, listener.accept()[0]


@pytest.fixture(params=["tcp", "unix"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    """Connect a browser and a server."""
    browser, server = connected() if request.param == "tcp" else socket.socketpair()
    with browser, server:
        yield browser, server


@pytest.mark.parametrize("name", ["gunicorn.socket", "werkzeug.socket"])
def test_a_browser_that_leaves(ends: Ends, name: str) -> None:
    """It is there while its connection is open, and gone when it closes."""
    browser, server = ends
    is_gone = presence({name: server})
    assert is_gone is not None
    assert not is_gone()
    browser.close()
    wait_for(is_gone, wanted=True)


def test_a_browser_that_asks_again(ends: Ends) -> None:
    """Its next request is neither an end nor taken away."""
    browser, server = ends
    browser.sendall(b"POST")
    is_gone = presence({"gunicorn.socket": server})
    assert is_gone is not None
    assert not is_gone()
    assert server.recv(10) == b"POST"
    assert not is_gone()


def test_a_reset() -> None:
    """A connection that was reset has nobody at its other end, from the first look on: that one takes the error, and the next finds an end."""
    browser, server = connected()
    with server:
        is_gone = presence({"gunicorn.socket": server})
        assert is_gone is not None
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        browser.close()
        assert select.select([server], [], [], 60)[0] == [server]
        assert is_gone()
        assert is_gone()


@pytest.mark.parametrize("politely", [True, False])
def test_tls(politely: bool) -> None:
    """What a browser sends at the end of TLS can be read, and is no sign of life; what it sends before is no end."""
    authority = trustme.CA()
    of_server, of_browser = (
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH),
        ssl.create_default_context(),
    )
    authority.issue_cert("localhost").configure_cert(of_server)
    authority.configure_trust(of_browser)
    plain, accepted = connected()
    shaken: list[ssl.SSLSocket] = []
    thread = threading.Thread(
        target=lambda: shaken.append(of_browser.wrap_socket(plain, server_hostname="localhost"))
    )
    thread.start()
    server = of_server.wrap_socket(accepted, server_side=True)
    thread.join()
    (browser,) = shaken
    with server, browser:
        is_gone = presence({"gunicorn.socket": server})
        if is_gone is None:
            pytest.skip("this system does not say in what state a connection is")
        browser.sendall(b"POST")
        assert not is_gone()
        if politely:
            browser.settimeout(0)
            with contextlib.suppress(ssl.SSLWantReadError):  # the server does not answer it
                browser.unwrap()
        browser.close()
        wait_for(is_gone, wanted=True)
    assert is_gone()


def test_servers_that_do_not_tell(ends: Ends) -> None:
    """Without a connection, or with one that would be waited for, nothing is known."""
    assert presence({}) is None
    ends[1].settimeout(5)
    assert presence({"gunicorn.socket": ends[1]}) is None


def test_a_server_that_tells_by_itself() -> None:
    """Waitress has a function for it."""
    is_gone = presence({"waitress.client_disconnected": lambda: True})
    assert is_gone is not None
    assert is_gone()


@pytest.mark.parametrize(("every", "heartbeat"), [(3600, 0.1), (0.05, 3600)])
def test_the_answer_nobody_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: float, heartbeat: float
) -> None:
    """The host's log has a 499, and the row says cancelled; it is looked twice in a heartbeat, and once a second if that is more often."""
    monkeypatch.setattr("llmkit.relay.presence.EVERY", every)
    browser, server = socket.socketpair()
    with Emulator(behaviour=Behaviour(head_delay=60)) as emulator, browser, server:
        app = Flask(__name__)
        app.config["LLMKIT"] = settings(
            emulator,
            ledger={"database": database(tmp_path)},
            relay={"heartbeat": heartbeat},
            timeouts={"first_content": 20},
            retry={"attempts": 1},
        )
        LLMKit(app, get_user=lambda request: "7")
        leaving = threading.Thread(
            target=lambda: (emulator.wait_for_requests(1), browser.close()), daemon=True
        )
        leaving.start()
        answer = app.test_client().post(
            "/llm/complete", json=SAY_HI, environ_overrides={"gunicorn.socket": server}
        )
        leaving.join()
        assert (answer.status_code, answer.data) == (499, b"")
        emulator.wait_until_gone(0)
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]


def test_nobody_is_looked_for_after_the_answer() -> None:
    """A watch that is over calls nobody, whenever its timer comes."""
    called: list[str] = []
    looked = threading.Event()

    def is_gone() -> bool:
        looked.set()
        return False

    watch = Watch(is_gone, lambda: called.append("left"), every=0.001)
    with watch:
        assert looked.wait(5)
    watch._is_gone = lambda: True
    watch._look()
    assert called == []


def test_a_watch_that_is_over_is_let_go() -> None:
    """Its timer may have been an hour off: what would have been asked then, and with it the call, is free at once."""

    class Asked:
        def __call__(self) -> bool:
            raise AssertionError("asked too early")

    asked = Asked()
    kept = weakref.ref(asked)
    with Watch(asked, asked.__call__, every=3600):
        del asked
        assert kept() is not None
    assert kept() is None
