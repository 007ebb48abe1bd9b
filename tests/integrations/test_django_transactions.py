"""Whose transaction a thread is in."""

from __future__ import annotations

import pytest

pytest.importorskip("django")

from django.core import mail
from django.db import connection, transaction

from llmkit_django.transactions import is_testing, transaction_of


@pytest.mark.django_db
def test_a_test_is_a_test_whatever_the_host_begins_within() -> None:
    """Django's test case has begun a transaction around all that the host does."""
    assert is_testing()
    assert transaction_of(connection) == "test"
    with transaction.atomic():
        assert transaction_of(connection) == "test"


@pytest.mark.django_db
def test_outside_of_djangos_test_environment_it_is_the_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A test case that another runner runs, whose first calls come before it is set up: all of a call's rows go one way."""
    monkeypatch.delattr(mail, "outbox")
    assert not is_testing()
    assert transaction_of(connection) == "host"


@pytest.mark.django_db(transaction=True)
def test_without_one_the_hosts_is_the_hosts() -> None:
    """A test that commits is like the host."""
    assert transaction_of(connection) == "none"
    with transaction.atomic():
        assert transaction_of(connection) == "host"
        with transaction.atomic():
            assert transaction_of(connection) == "host"
    assert transaction_of(connection) == "none"
