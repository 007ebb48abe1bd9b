"""Whose transaction a thread is in: the host's, or the one that a test case rolls back."""

from __future__ import annotations

from typing import Literal

from django.core import mail
from django.db.backends.base.base import BaseDatabaseWrapper

Transaction = Literal["none", "host", "test"]


def transaction_of(connection: BaseDatabaseWrapper) -> Transaction:
    """Say which transaction this thread's connection is in. Asked for each call, since it differs from call to call.

    Inside a test case of Django's nothing but its own connection sees its data, whatever transactions the host begins within.
    """
    if is_testing() and any(
        getattr(block, "_from_testcase", False) for block in connection.atomic_blocks
    ):
        return "test"
    return "host" if connection.in_atomic_block else "none"


def is_testing() -> bool:
    """Whether Django's test environment is set up, so that a transaction may be a test's. True in all threads."""
    return hasattr(mail, "outbox")
