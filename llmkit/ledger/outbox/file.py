"""One file of the outbox: append-only, and locked by the process that owns it for as long as it lives."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from llmkit.ledger.outbox.locks import Descriptor, is_at, try_lock

# Read by others than its owner's user, a row could tell who asked which model when.
_MODE = 0o600
_FOLDER_MODE = 0o700
_FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_sync = getattr(os, "fdatasync", os.fsync)


class OutboxFull(OSError):
    """The file has its full size."""


class OutboxFile:
    """Bytes that are on the disk when `append` returns. Threads may share one; it belongs to one process.

    The file is made by the first append and goes with the last byte that is taken out of it.

    Args:
        folder: where it is made. It is created, too.
        new_name: gives its name, another one each time.
        limit: how large it may become, in bytes.
    """

    def __init__(self, folder: Path, new_name: Callable[[], str], *, limit: int) -> None:
        self._folder = folder
        self._new_name = new_name
        self._limit = limit
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._file: Descriptor | None = None
        self._size = 0
        self._taken = 0

    @property
    def place(self) -> Path:
        """The file, or the folder where there will be one."""
        return self._path or self._folder

    @property
    def waiting(self) -> int:
        """How many bytes are in it that were not taken out."""
        return self._size - self._taken

    def append(self, data: bytes) -> None:
        """Write bytes at the end and wait until the disk has them: all or none.

        Raises:
            OutboxFull: there is no room left below the limit.
            OSError: the file cannot be written.
        """
        with self._lock:
            file = self._usable()
            if self._size + len(data) > self._limit:
                raise OutboxFull(f"it has {self._size} of at most {self._limit} bytes")
            try:
                _write(file.number, data)
                _sync(file.number)
            except OSError:
                os.ftruncate(file.number, self._size)
                raise
            self._size += len(data)

    def read(self, size: int) -> bytes:
        """Read the next whole lines that were not taken out, about so many bytes."""
        with self._lock:
            if self._file is None:
                return b""
            return lines_at(self._file.number, self._taken, self._size, size)

    def take(self, count: int) -> None:
        """Take the next so many bytes out: they are safe elsewhere."""
        with self._lock:
            self._taken += count
            if self._taken >= self._size:
                self._remove()

    def close(self) -> None:
        """Let go of the file. What is in it is there for whoever finds its lock free."""
        with self._lock:
            self._forget()

    def _usable(self) -> Descriptor:
        """Return the open file; a new one if there is none, or if somebody deleted it."""
        file, path = self._file, self._path
        if file is not None and path is not None and is_at(file.number, path):
            return file
        rest = b"" if file is None else _read_at(file.number, self._taken, self.waiting)
        self._forget()
        self._path, made = self._make()
        self._file, self._size, self._taken = made, 0, 0
        if rest:
            _write(made.number, rest)
            self._size = len(rest)
        return made

    def _make(self) -> tuple[Path, Descriptor]:
        self._folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        while True:
            path = self._folder / self._new_name()
            file = Descriptor(os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, _MODE))
            # Whoever looks for files without an owner may have taken it for one, between these two lines.
            if try_lock(file.number) and is_at(file.number, path):
                _sync_folder(self._folder)
                return path, file
            file.close()

    def _remove(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self._forget()

    def _forget(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._path = None, None
        self._size = self._taken = 0


def lines_at(number: int, start: int, end: int, size: int) -> bytes:
    """Read whole lines of an open file from `start`, about so many bytes, and none beyond `end`; the last one may be torn."""
    data = b""
    while start + len(data) < end:
        part = _read_at(number, start + len(data), min(size, end - start - len(data)))
        if not part:
            break
        data += part
        whole = data.rfind(b"\n") + 1
        if whole and start + len(data) < end:
            return data[:whole]
    return data


def _read_at(number: int, start: int, size: int) -> bytes:
    os.lseek(number, start, os.SEEK_SET)  # writes go to the end all the same
    return os.read(number, size)


def _write(number: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(number, view) :]


def _sync_folder(folder: Path) -> None:
    """Let the disk know the name of the new file, too."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
