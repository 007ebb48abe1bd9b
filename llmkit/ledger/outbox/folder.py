"""Where the files of the outbox are, how they are called, and which of them have no owner any more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import blake2s
from pathlib import Path

from llmkit.ledger.outbox.locks import Descriptor, is_at, try_lock

_ENDING = ".outbox"
# What goes with the machine's memory, or with a container.
_FLEETING = ("tmpfs", "ramfs", "overlay", "aufs")
_MOUNTS = Path("/proc/self/mounts")


def default_folder(database_file: Path | None) -> Path:
    """Return where the outbox is by default: beside a database that is a file, else in the system's folder for an app's state."""
    if database_file is not None:
        return database_file.parent
    import platformdirs  # noqa: PLC0415  # for those who have a database server

    return platformdirs.user_state_path("llmkit", appauthor=False)


def prefix_of(database: str) -> str:
    """Return how the names of the files begin that hold rows of one database, so that several apps may share a folder.

    Args:
        database: what tells it from others, without a password.
    """
    return f"llmkit-{blake2s(database.encode(), digest_size=6).hexdigest()}-"


def name_of(prefix: str, worker: str) -> str:
    """Return the name of a file of a process's."""
    return f"{prefix}{worker}{_ENDING}"


def has_files(folder: Path) -> bool:
    """Say whether rows of any database wait in a folder."""
    return any(folder.glob(f"llmkit-*{_ENDING}"))


def abandoned(folder: Path, prefix: str) -> Iterator[tuple[Path, Descriptor]]:
    """Find the files of processes that have ended, each locked for whoever takes it; close it after use."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:  # it is made with the first file
        return
    for path in paths:
        if not (path.name.startswith(prefix) and path.name.endswith(_ENDING)):
            continue
        try:
            file = Descriptor(os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0)))
        except OSError:  # gone meanwhile, or another user's
            continue
        try:
            # Whoever had the lock until now may have written its rows, and deleted it.
            if try_lock(file.number) and is_at(file.number, path):
                yield path, file
        finally:
            file.close()


def fleeting(folder: Path, mounts: Path = _MOUNTS) -> str | None:
    """Name the kind of file system that a folder is on, if what is in it goes with the machine or the container; else None."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return None
    place = _existing(folder)
    kinds = {parts[1]: parts[2] for parts in (line.split() for line in lines) if len(parts) > 2}
    for parent in (place, *place.parents):
        kind = kinds.get(str(parent).replace(" ", "\\040"))
        if kind is not None:
            return kind if kind in _FLEETING else None
    return None


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists()).resolve()


def is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which may not be there yet."""
    return os.access(_existing(folder), os.W_OK | os.X_OK)
