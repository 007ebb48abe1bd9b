"""The outbox's file: what is in it survives, whoever is killed, and nobody else reads it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.outbox import file as file_module
from llmkit.ledger.outbox.drain import drain, drain_abandoned
from llmkit.ledger.outbox.file import OutboxFile
from llmkit.ledger.outbox.folder import abandoned, default_folder, fleeting, is_writable, prefix_of
from llmkit.ledger.outbox.records import decode, encode
from llmkit.ledger.outbox.store import Outbox
from llmkit.ledger.row import Closing, Opening, RowRejected
from support.forks import needs_fork
from support.ledger import closing, opening
from support.memory_store import Down, MemoryStore
from support.processes import environ

WRITER = """
import os, sys, time
from pathlib import Path
from types import MappingProxyType
from llmkit.ledger.outbox.store import Outbox
from support.forks import needs_fork
from support.ledger import closing, opening
outbox = Outbox(Path(sys.argv[1]), database="db", worker=lambda: f"other-{os.getpid()}")
outbox.write([opening("one")], [])
outbox.write([], [closing("one")])
print(outbox.file.place, flush=True)
sys.stdin.read()
"""


def box(folder: Path, **options: int) -> Outbox:
    """Make an outbox."""
    return Outbox(folder, database="db", worker=lambda: "me", **options)


def files(folder: Path) -> list[Path]:
    """List what is in a folder."""
    return sorted(folder.iterdir())


def rows_in(path: Path) -> list[Opening | Closing | None]:
    """Read a file."""
    return list(decode(path.read_bytes()))


@given(text=st.text(), tag=st.text())
def test_any_row_comes_back(text: str, tag: str) -> None:
    """Whatever is in its strings: line ends, quotes, any letter."""
    row = opening(text, user_key=text, tags=MappingProxyType({tag: text}))
    assert list(decode(encode(row))) == [row]
    end = closing(text, error_code=text)
    assert list(decode(encode(row) + encode(end))) == [row, end]


def test_half_a_letter_is_made_to_fit() -> None:
    """As a database's column would have it."""
    (row,) = decode(encode(opening(user_key="a\ud800", tags={"b\udfff": "c"})))
    assert isinstance(row, Opening)
    assert (row.user_key, row.tags) == ("a?", {"b?": "c"})


def test_what_was_appended_is_on_the_disk(tmp_path: Path) -> None:
    """In order, readable by its owner alone, in a folder of the owner's."""
    outbox = box(tmp_path / "state" / "llmkit")
    outbox.write([opening("one"), opening("two")], [closing("one")])
    outbox.write([], [closing("two")])
    (path,) = files(tmp_path / "state" / "llmkit")
    assert rows_in(path) == [opening("one"), opening("two"), closing("one"), closing("two")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    outbox.close()


def test_a_file_goes_when_its_rows_are_safe(tmp_path: Path) -> None:
    """And the next row makes another one."""
    outbox, store = box(tmp_path), MemoryStore()
    outbox.write([opening("one")], [closing("one")])
    safe: list[Opening | Closing] = []
    assert drain(outbox.file, store, safe.extend) is None
    assert store.groups == [([opening("one")], [closing("one")])]
    assert safe == [opening("one"), closing("one")]
    assert files(tmp_path) == []
    outbox.write([opening("two")], [])
    assert [rows_in(path) for path in files(tmp_path)] == [[opening("two")]]
    outbox.close()


def test_a_store_that_fails_in_the_midst_gets_the_rest_later(tmp_path: Path) -> None:
    """Nothing is taken out before it is safe, and the order is kept."""
    outbox, down = box(tmp_path), Down()
    store = MemoryStore(down)
    for number in range(2000):
        outbox.write([opening(f"call-{number}")], [])
    down.down.set()
    assert isinstance(drain(outbox.file, store), LedgerUnavailable)
    down.down.clear()
    taken = 0

    def fail_once(rows: Sequence[Opening | Closing]) -> None:
        nonlocal taken
        taken += 1
        if taken == 2:
            down.down.set()

    assert isinstance(drain(outbox.file, store, fail_once), LedgerUnavailable)
    outbox.write([opening("last")], [])
    down.down.clear()
    assert drain(outbox.file, store) is None
    written = [row.call_id for openings, _ in store.groups for row in openings]
    assert written == [*(f"call-{number}" for number in range(2000)), "last"]
    assert len(store.groups) > 3
    outbox.close()


def test_a_row_at_fault_harms_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said and left out; nothing waits for it for ever."""

    def refuse(call_ids: Sequence[str]) -> None:
        if "bad" in call_ids:
            raise RowRejected("the row does not fit")

    outbox, store = box(tmp_path), MemoryStore(refuse)
    outbox.write([opening("one"), opening("bad"), opening("two")], [])
    assert drain(outbox.file, store) is None
    assert [row.call_id for openings, _ in store.groups for row in openings] == ["one", "two"]
    assert "a row of the outbox could not be written: the row does not fit" in caplog.text
    assert files(tmp_path) == []


def test_a_row_that_cannot_be_said_is_rejected(tmp_path: Path) -> None:
    """By itself, so that the others of its group can go."""
    outbox = box(tmp_path)
    odd = replace(opening("odd"), user_key=object())  # type: ignore[arg-type]
    with pytest.raises(RowRejected, match="cannot be written to the outbox"):
        outbox.write([opening("one"), odd], [])
    assert files(tmp_path) == []


@pytest.mark.parametrize("cut", range(2, 60, 7))
def test_a_torn_last_line_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, cut: int
) -> None:
    """A process that was killed as it wrote loses no other row."""
    lines = encode(opening("one")) + encode(opening("two"))
    path = tmp_path / f"{prefix_of('db')}dead.outbox"
    path.write_bytes(lines[:-cut])
    store = MemoryStore()
    assert drain_abandoned(tmp_path, prefix_of("db"), store) is None
    assert [row.call_id for openings, _ in store.groups for row in openings] == ["one"]
    assert f"the last line of the outbox {path} is left out" in caplog.text
    assert files(tmp_path) == []


def test_a_spoilt_line_harms_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Zeros that a power cut left, a letter that a disk changed, or what another version says: the file is kept aside."""
    lines = [encode(opening("one")), encode(opening("two")), encode(opening("three"))]
    lines[1] = lines[1].replace(b"two", b"tvo")
    path = tmp_path / f"{prefix_of('db')}dead.outbox"
    whole = lines[0] + lines[1] + b"\0" * 50 + b"\n" + lines[2]
    path.write_bytes(whole)
    store = MemoryStore()
    assert drain_abandoned(tmp_path, prefix_of("db"), store) is None
    assert [row.call_id for openings, _ in store.groups for row in openings] == ["one", "three"]
    assert f"2 lines of the outbox {path} cannot be read" in caplog.text
    (aside,) = files(tmp_path)
    assert (aside.name, aside.read_bytes()) == (f"{path.name}.unreadable", whole)
    assert drain_abandoned(tmp_path, prefix_of("db"), store) is None
    assert len(store.groups) == 1


def test_a_living_process_keeps_a_spoilt_file_aside(tmp_path: Path) -> None:
    """And goes on with another one."""
    outbox, store = box(tmp_path), MemoryStore()
    outbox.write([opening("one")], [])
    outbox.file.append(b"nonsense\n")
    assert drain(outbox.file, store) is None
    outbox.write([opening("two")], [])
    names = [path.name for path in files(tmp_path)]
    assert [name.endswith(".unreadable") for name in names] == [True, False]
    assert drain(outbox.file, store) is None
    assert [path.name for path in files(tmp_path)] == names[:1]
    assert [row.call_id for openings, _ in store.groups for row in openings] == ["one", "two"]


def test_a_file_that_cannot_be_deleted_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A process's own, and that of a dead one: nothing is written twice, and nothing stops for it."""
    outbox, store = box(tmp_path), MemoryStore()
    outbox.write([opening("one")], [])
    dead = tmp_path / f"{prefix_of('db')}dead.outbox"
    dead.write_bytes(encode(opening("two")))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)
    for _ in range(2):
        assert drain(outbox.file, store) is None
        assert drain_abandoned(tmp_path, prefix_of("db"), store) is None
    assert [row.call_id for openings, _ in store.groups for row in openings] == ["one", "two"]
    assert [path.stat().st_size for path in files(tmp_path)] == [0, 0]
    assert f"{dead} is empty, but cannot be deleted: Operation not permitted" in caplog.text
    outbox.write([opening("three")], [])
    assert drain(outbox.file, store) is None
    assert store.groups[-1] == ([opening("three")], [])


def test_rows_whose_file_was_deleted_wait_for_a_new_one(tmp_path: Path) -> None:
    """Though none can be made for a while: they are still there, and written when there is one, or the store is back."""
    folder = tmp_path / "box"
    outbox, store = box(folder), MemoryStore()
    outbox.write([opening("one")], [])
    for path in files(folder):
        path.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    with pytest.raises(LedgerUnavailable, match="cannot be written"):
        outbox.write([opening("two")], [])
    folder.unlink()
    outbox.write([opening("three")], [])
    assert drain(outbox.file, store) is None
    assert store.groups == [([opening("one"), opening("three")], [])]


def test_it_is_bounded(tmp_path: Path) -> None:
    """Beyond its size a row is refused with the path, and what is in it stays sound."""
    line = len(encode(opening("one")))
    outbox = box(tmp_path, limit=line + 10)
    outbox.write([opening("one")], [])
    with pytest.raises(LedgerUnavailable, match=r"the outbox .*me-1\.outbox is full") as raised:
        outbox.write([opening("two")], [])
    assert str(tmp_path) in str(raised.value)
    store = MemoryStore()
    assert drain(outbox.file, store) is None
    outbox.write([opening("two")], [])
    outbox.close()


def test_a_file_that_somebody_deleted_is_written_again(tmp_path: Path) -> None:
    """With what was still in it."""
    outbox, store = box(tmp_path), MemoryStore()
    outbox.write([opening("one")], [])
    assert outbox.file.read(1000)
    for path in files(tmp_path):
        path.unlink()
    outbox.write([opening("two")], [])
    (path,) = files(tmp_path)
    assert rows_in(path) == [opening("one"), opening("two")]
    assert drain(outbox.file, store) is None
    assert store.groups == [([opening("one"), opening("two")], [])]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """With what to do about it."""
    (tmp_path / "file").write_text("")
    outbox = box(tmp_path / "file")
    with pytest.raises(LedgerUnavailable, match="Set ledger.outbox to a folder") as raised:
        outbox.write([opening("one")], [])
    assert str(tmp_path / "file") in str(raised.value)


@pytest.mark.skipif(
    sys.platform == "win32", reason="Windows cannot limit how large a file a process may write"
)
def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a group is not written: the rows before it are still read."""
    outbox = box(tmp_path)
    outbox.write([opening("one")], [])
    (path,) = files(tmp_path)
    before = path.read_bytes()
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
    try:
        with pytest.raises(LedgerUnavailable, match="cannot be written"):
            outbox.write([opening("two")], [])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert path.read_bytes() == before
    outbox.write([opening("three")], [])
    assert rows_in(path) == [opening("one"), opening("three")]
    outbox.close()


def test_a_living_process_keeps_its_file(tmp_path: Path) -> None:
    """Nobody else takes it; when its process is killed, whoever looks does."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environ(),
        text=True,
    ) as other:
        assert other.stdout is not None
        path = Path(other.stdout.readline().strip())
        assert list(abandoned(tmp_path, prefix_of("db"))) == []
        assert list(abandoned(tmp_path, prefix_of("another database"))) == []
        other.kill()
        other.wait(30)
    store = MemoryStore()
    assert drain_abandoned(tmp_path, prefix_of("another database"), store) is None
    assert path.exists()
    assert drain_abandoned(tmp_path, prefix_of("db"), store) is None
    assert store.groups == [([opening("one")], [closing("one")])]
    assert not path.exists()


@needs_fork
def test_a_child_does_not_hold_on_to_its_parents_file(tmp_path: Path) -> None:
    """It has a file of its own, and the parent's is free when the parent has died."""
    program = WRITER.replace(
        "print(",
        "pid = os.fork()\nif pid == 0:\n    outbox.write([opening('child')], [])\n    sys.stdout.close(); time.sleep(60)\nprint(pid, flush=True)\nprint(",
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environ(),
        text=True,
    ) as other:
        assert other.stdout is not None
        child = int(other.stdout.readline())
        path = Path(other.stdout.readline().strip())
        other.kill()
        other.wait(30)
        try:
            deadline = threading.Event()
            # With a row in it: it is made a moment before it is locked.
            while sum(file.stat().st_size > 0 for file in files(tmp_path)) < 2:
                assert not deadline.wait(0.01)
            assert [found for found, _ in abandoned(tmp_path, prefix_of("db"))] == [path]
        finally:
            os.kill(child, signal.SIGKILL)


def test_two_who_look_take_each_file_once(tmp_path: Path) -> None:
    """Whoever has the lock writes its rows; the other passes it over."""
    for number in range(20):
        name = f"{prefix_of('db')}dead-{number}.outbox"
        (tmp_path / name).write_bytes(encode(opening(f"call-{number}")))
    stores = [MemoryStore(), MemoryStore()]
    threads = [
        threading.Thread(target=drain_abandoned, args=(tmp_path, prefix_of("db"), store))
        for store in stores
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = [row.call_id for store in stores for rows, _ in store.groups for row in rows]
    assert sorted(written) == sorted(f"call-{number}" for number in range(20))
    assert files(tmp_path) == []


def test_where_it_is_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a SQLite file; else where the system keeps the state of apps."""
    assert default_folder(tmp_path / "app.db") == tmp_path
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    if sys.platform == "linux":
        assert default_folder(None) == tmp_path / "state" / "llmkit"


def test_what_does_not_last_is_known(tmp_path: Path) -> None:
    """A folder in memory, or in a container's own file system, by the nearest mount above it."""
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "overlay / overlay rw 0 0\ntmpfs /run tmpfs rw 0 0\n/dev/sda1 /var/lib ext4 rw 0 0\n"
        "/dev/sdb1 /with\\040space ext4 rw 0 0\n"
    )
    assert fleeting(Path("/nowhere/at/all"), mounts) == "overlay"
    assert fleeting(Path("/var/lib/llmkit/outbox"), mounts) is None
    assert fleeting(Path("/run"), mounts) == "tmpfs"
    assert fleeting(Path("/var"), tmp_path / "not there") is None
    assert is_writable(tmp_path / "new" / "folder")


def test_threads_may_share_a_file(tmp_path: Path) -> None:
    """Each append is whole, and so is what another thread takes out meanwhile."""
    file = OutboxFile(tmp_path, iter(f"{n}.outbox" for n in range(10_000)).__next__, limit=10**7)
    store = MemoryStore()

    def fill(name: str) -> None:
        for number in range(50):
            file.append(encode(opening(f"{name}-{number}")))

    threads = [threading.Thread(target=fill, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert drain(file, store) is None
    assert drain(file, store) is None
    written = [row.call_id for rows, _ in store.groups for row in rows]
    assert sorted(written) == sorted(f"{name}-{number}" for name in "abcd" for number in range(50))
    assert file.waiting == 0


def test_a_file_whose_rows_the_store_does_not_take_stays(tmp_path: Path) -> None:
    """It is written when the store is back, and so are the files after it."""
    for name in ("a", "b"):
        path = tmp_path / f"{prefix_of('db')}dead-{name}.outbox"
        path.write_bytes(encode(opening(name)) + encode(closing(name)))
    down = Down()
    store = MemoryStore(down)
    down.down.set()
    error = drain_abandoned(tmp_path, prefix_of("db"), store)
    assert error is not None
    assert "the server is gone" in str(error)
    assert len(files(tmp_path)) == 2
    down.down.clear()
    assert drain_abandoned(tmp_path, prefix_of("db"), store) is None
    assert files(tmp_path) == []
    assert [row.call_id for openings, _ in store.groups for row in openings] == ["a", "b"]


def test_rows_are_on_the_disk_before_a_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each group, and the name of a new file."""
    synced: list[str] = []

    def sync(number: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{number}") if sys.platform == "linux" else "")
        os.fsync(number)

    monkeypatch.setattr(file_module, "_sync", sync)
    folders: list[Path] = []
    sync_folder = file_module._sync_folder
    monkeypatch.setattr(
        file_module, "_sync_folder", lambda path: (folders.append(path), sync_folder(path))
    )
    outbox = box(tmp_path)
    outbox.write([opening("one"), opening("two")], [closing("one")])
    outbox.write([], [closing("two")])
    assert len(synced) == 2
    assert folders == [tmp_path]
    outbox.close()


def test_its_size_by_default(tmp_path: Path) -> None:
    """64 MiB, as the README says."""
    outbox = Outbox(tmp_path, database="db", worker=lambda: "me")
    assert outbox.file._limit == 64 * 1024 * 1024
