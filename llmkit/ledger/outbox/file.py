"""One file of the outbox: append-only, and locked by the process that owns it for as long as it lives."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from llmkit.ledger.outbox.locks import Descriptor, is_at, try_lock

logger = logging.getLogger("llmkit.ledger")

# Read by others than its owner's user, a row could tell who asked which model when.
_MODE = 0o600
_FOLDER_MODE = 0o700
# What is added to the name of a file with lines that cannot be read.
ASIDE = ".unreadable"
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
        self._spoilt = False

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
                try:
                    os.ftruncate(file.number, self._size)
                except OSError:  # half a line stays, and is left out when it is read
                    self._size = os.fstat(file.number).st_size
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

    def spoil(self) -> None:
        """Keep the file aside when it is taken out, because some of its lines cannot be read."""
        self._spoilt = True

    def close(self) -> None:
        """Let go of the file. What is in it is there for whoever finds its lock free."""
        with self._lock:
            self._forget()

    def _usable(self) -> Descriptor:
        """Return the open file; a new one if there is none, or if somebody deleted it."""
        file, path = self._file, self._path
        if file is not None and path is not None and is_at(file.number, path):
            return file
        # The new one has everything before the old one is let go: that may be all there is of these rows.
        rest = b"" if file is None else _read_at(file.number, self._taken, self.waiting)
        new_path, made = self._make()
        try:
            if rest:
                _write(made.number, rest)
                _sync(made.number)
        except OSError:
            made.close()
            new_path.unlink(missing_ok=True)
            raise
        self._forget()
        self._path, self._file, self._size = new_path, made, len(rest)
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
        if (
            self._file is None
            or self._path is None
            or remove(self._path, self._file, aside=self._spoilt)
        ):
            self._forget()
        self._size = self._taken = 0
        self._spoilt = False

    def _forget(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._path = None, None
        self._size = self._taken = 0


def remove(path: Path, file: Descriptor, *, aside: bool) -> bool:
    """Delete a file whose lock we have, or keep it aside under another name; empty it where neither may be done. Say whether it is gone."""
    try:
        if aside:
            path.rename(path.with_name(f"{path.name}{ASIDE}"))
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        os.ftruncate(file.number, 0)
        logger.warning("%s is empty, but cannot be deleted: %s", path, error.strerror)
        return False
    return True


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
