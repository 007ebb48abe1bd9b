"""Flask-SQLAlchemy's session: its connections are given back before a model is waited for."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, SessionTransaction, SessionTransactionOrigin


def give_back(host: Any) -> None:  # a SQLAlchemy of flask_sqlalchemy, which need not be installed
    """Let the app context's session go of its connections, if it has done no more than read.

    It is rolled back and not closed: what the app has loaded stays in the session, and is read again where it is used again.
    Nobody can ask PostgreSQL for a transaction's settings (`SET LOCAL`, `set_config`, `SET TRANSACTION`), so they are lost, unless the app
    has begun the transaction itself, with `session.begin()`.
    """
    if host.session.registry.has():
        session: Session = host.session()
        transaction = session.get_transaction()
        if transaction is not None and _has_only_read(session, transaction):
            session.rollback()


def _has_only_read(session: Session, transaction: SessionTransaction) -> bool:
    """Whether a transaction began by itself, at a first query, and nothing is lost with it."""
    if transaction.origin is not SessionTransactionOrigin.AUTOBEGIN:
        return False
    if session.in_nested_transaction() or session.new or session.dirty or session.deleted:
        return False
    # The one way to know its connections that does not take another from the pool.
    opened: dict[Any, Any] = getattr(transaction, "_connections", {None: (None,)})
    return not any(_may_have_written(connection) for connection, *_ in opened.values())


# Besides what it has written, whether it holds what others may wait for. To read takes an AccessShareLock, and an SIReadLock where all is
# serializable, which nobody waits for; a transaction's own number is locked in any case.
_HAS_WRITTEN_OR_LOCKED = """
SELECT txid_current_if_assigned() IS NOT NULL OR EXISTS (
    SELECT FROM pg_locks
    WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid'
        AND mode NOT IN ('AccessShareLock', 'SIReadLock')
)
"""


def _may_have_written(connection: Connection | None) -> bool:
    """Ask the database whether this transaction has written, or locked anything; where it cannot tell, it may have."""
    if connection is None:
        return True
    if connection.dialect.name == "postgresql":
        try:
            return bool(connection.exec_driver_sql(_HAS_WRITTEN_OR_LOCKED).scalar())
        except DBAPIError:  # the transaction has failed, which is the app's to see
            return True
    if connection.dialect.name == "sqlite":
        # The driver begins one at the first statement that writes.
        return bool(getattr(connection.connection.driver_connection, "in_transaction", True))
    return True
