"""The calls in Django's admin: who called, what they cost, and how much of the database that takes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission, UserManager
from django.db.models import QuerySet
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from llmkit_django.admin_list import CallList
from llmkit_django.models import BudgetAccount, UsageRecord

LIST = "/admin/llmkit/usagerecord/"
BUDGET_LIST = "/admin/llmkit/budgetaccount/"


def call(number: int, **more: Any) -> UsageRecord:
    """Make a row."""
    row: dict[str, Any] = {
        "call_id": f"call-{number}",
        "attempt": 1,
        "status": "finished",
        "provider": "anthropic",
        "model": "claude-haiku-4-5",
        "alias": "default",
        "streamed": True,
        "started_at": datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        "input_tokens": 1000,
        "output_tokens": 20,
        "input_source": "reported",
        "output_source": "reported",
        "cost_usd": Decimal("0.1"),
        "worker": "test",
    }
    return UsageRecord(**{**row, **more})


def sums(page: Any) -> str:
    """Return what the list says of all that is listed."""
    text = page.content.decode().partition('id="llmkit-sums">')[2].partition("</p>")[0]
    return " ".join(text.split())


def test_the_columns(admin_client: Client, settings: Any) -> None:
    """When, who, which model, how it ended, tokens and cost stand in the list, in little room; what is unknown is a dash."""
    settings.TIME_ZONE = "Asia/Tokyo"
    call(1, user_key="visitor", cost_usd=None).save()
    page = admin_client.get(LIST).content.decode().partition("<tbody")[2]
    cells = ["2026-03-04 14:06:07", "visitor", "claude-haiku-4-5", "finished", "1000", "20", "-"]
    places = [page.index(f">{cell}<") for cell in cells]
    assert places == sorted(places)


def test_a_small_cost_is_not_nothing(admin_client: Client) -> None:
    """A cost of less than a millionth of a dollar says so in the list, and its digits stand on the call's own page."""
    row = call(1, cost_usd=Decimal("0.000000150"))
    row.save()
    assert ">&lt;$0.000001<" in admin_client.get(LIST).content.decode()
    assert "0.000000150" in admin_client.get(f"{LIST}{row.pk}/change/").content.decode()


def test_a_user_is_shown_by_name_with_a_link(admin_client: Client) -> None:
    """In the list and on the call's own page; of a user that is gone, or none of the project's, the key stays."""
    ann = get_user_model().objects.create_user("ann <b>")
    gone = get_user_model().objects.create_user("gone")
    rows = [
        call(1, user=ann, user_key=str(ann.pk)),
        call(2, user=gone, user_key="gone-key"),
        call(3, user_key="visitor"),
    ]
    for row in rows:
        row.save()
    gone.delete()
    link = f'<a href="/admin/auth/user/{ann.pk}/change/">ann &lt;b&gt;</a>'
    listed = admin_client.get(LIST).content.decode()
    shown = admin_client.get(f"{LIST}{rows[0].pk}/change/").content.decode()
    assert link in listed
    assert link in shown
    assert ">gone-key<" in listed
    assert ">visitor<" in listed
    assert "gone-key" in admin_client.get(f"{LIST}{rows[1].pk}/change/").content.decode()


def test_a_user_whom_the_projects_manager_hides_is_named_too(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project may keep users that have left out of `User.objects`: who they were is still what the list is for."""

    def active_only(self: UserManager) -> QuerySet:
        return super(UserManager, self).get_queryset().filter(is_active=True)

    ann = get_user_model().objects.create_user("ann", is_active=False)
    monkeypatch.setattr(UserManager, "get_queryset", active_only)
    assert not get_user_model().objects.filter(pk=ann.pk).exists()
    row = call(1, user=ann, user_key="ann-key")
    row.save()
    for path in (LIST, f"{LIST}{row.pk}/change/"):
        page = admin_client.get(path).content.decode()
        assert f'<a href="/admin/auth/user/{ann.pk}/change/">ann</a>' in page


@pytest.fixture
def no_users_in_the_admin() -> Iterator[None]:
    """Take the users out of the admin."""
    users = get_user_model()
    kind = type(admin.site.get_model_admin(users))
    admin.site.unregister(users)
    yield
    admin.site.register(users, kind)


def show_ann_herself(client: Client, *permissions: str) -> None:
    """See that Ann, with these permissions, reads her name in the list and gets no link."""
    ann = get_user_model().objects.create_user("ann", is_staff=True)
    ann.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    call(1, user=ann, user_key=str(ann.pk)).save()
    client.force_login(ann)
    page = client.get(LIST).content.decode()
    assert "/admin/auth/user/" not in page
    assert ">ann<" in page.partition('id="result_list"')[2]


def test_who_may_not_look_at_users_gets_no_link(client: Client, db: None) -> None:
    """They read the name alone."""
    show_ann_herself(client, "view_usagerecord")


def test_an_admin_without_users_has_no_link(
    client: Client, db: None, no_users_in_the_admin: None
) -> None:
    """There is no page to link to."""
    show_ann_herself(client, "view_usagerecord", "view_user")


def test_what_is_listed_is_added_up(admin_client: Client) -> None:
    """All pages of what is filtered or searched, to the last digit, on SQLite too; an unknown cost is none of 0."""
    rows = [call(number) for number in range(1000)]
    rows.append(call(1000, cost_usd=Decimal("123456.000000001"), input_tokens=5))
    rows.append(call(1001, cost_usd=None, input_tokens=None, output_tokens=None))
    rows.append(call(1002, status="failed", cost_usd=Decimal("0.000000002")))
    rows.append(
        call(1003, status="cached", cost_usd=Decimal(0), saved_usd=Decimal("123456.000000001"))
    )
    rows.append(call(1004, status="cached", cost_usd=Decimal(0), saved_usd=Decimal("0.000000002")))
    UsageRecord.objects.bulk_create(rows)
    assert sums(admin_client.get(f"{LIST}?status__exact=finished")) == (
        "All 1,002 listed: 1,000,005 tokens in, 20,020 out, <strong>$123556.000000001</strong> "
        "(the cost of 1 is unknown)"
    )
    found = admin_client.get(f"{LIST}?q=call-1002")
    assert sums(found) == "All 1 listed: 1,000 tokens in, 20 out, <strong>$0.000000002</strong>"
    assert sums(admin_client.get(f"{LIST}?status__exact=cached")) == (
        "All 2 listed: 2,000 tokens in, 40 out, <strong>$0.000000000</strong> "
        "(answers given again have saved $123456.000000003)"
    )
    assert sums(admin_client.get(f"{LIST}?q=nothing")).endswith("<strong>$0.000000000</strong>")


def test_too_many_rows_are_not_added_up(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the bound the list says how to get a sum, and does not go through the table."""
    monkeypatch.setattr(CallList, "most_summed", 2)
    UsageRecord.objects.bulk_create([call(number) for number in range(3)])
    asked = sums(admin_client.get(LIST))
    assert asked == "More than 2 rows: filter or search to see what they cost."
    assert sums(admin_client.get(f"{LIST}?q=call-1")).startswith("All 1 listed")


def test_a_full_page_takes_as_many_queries_as_one_row(
    admin_client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """Session, user, count, rows, their users, the sums, and one for each filter of names."""
    for number in range(50):
        user = get_user_model().objects.create_user(f"user-{number}")
        call(number, user=user, user_key=str(user.pk)).save()
    with django_assert_num_queries(9):
        assert b"user-49" in admin_client.get(LIST).content


BUDGETS = [
    {"scope": "user", "per": "month", "usd": 5, "requests": 100},
    {"scope": "all", "per": "day", "tokens": 1000, "models": ["default"]},
]


def account(key: str, **more: int) -> None:
    """Make what is used of a budget."""
    units = ("usd", "tokens", "requests")
    nothing = {f"{kind}_{unit}": 0 for kind in ("used", "held") for unit in units}
    BudgetAccount(key=f"{key}@1", account=key, starts=1, **{**nothing, **more}).save()


def test_what_is_used_of_budgets(admin_client: Client, settings: Any) -> None:
    """Which one, whose, how much of how much; of one that the settings have no more what its name says."""
    settings.LLMKIT = {"models": {"default": "anthropic:claude-haiku-4-5"}, "budgets": BUDGETS}
    settings.TIME_ZONE = "Asia/Tokyo"
    account(
        "user:month=acme/7", used_usd=1_250_000_000, used_requests=3, held_requests=1, ends=2**31
    )
    account("tenant:hour=<b>", used_tokens=70)
    page = admin_client.get(BUDGET_LIST).content.decode().partition("<tbody")[2]
    for said in (
        ">user per month<",
        ">acme/7<",
        ">$1.250000 / $5.000000<",
        ">3 / 100<",
        ">1 calls<",
        ">tenant per hour<",
        ">&lt;b&gt;<",
        ">70<",
        ">1970-01-01 09:00<",
    ):
        assert said in page
    row = admin_client.get(f"{BUDGET_LIST}{quote('user:month=acme/7@1')}/change/").content.decode()
    assert "2038-01-19" in row


@pytest.mark.django_db
def test_budgets_can_only_be_looked_at(client: Client) -> None:
    """By those who may see them."""
    account("all:ever=", used_usd=1)
    clerk = get_user_model().objects.create_user("clerk", is_staff=True)
    client.force_login(clerk)
    assert client.get(BUDGET_LIST).status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename="view_budgetaccount"))
    assert client.get(BUDGET_LIST).status_code == 200
    page = f"{BUDGET_LIST}{quote('all:ever=@1')}/"
    assert client.get(f"{BUDGET_LIST}add/").status_code == 403
    assert client.post(f"{page}change/", {"used_usd": 0}).status_code == 403
    assert client.post(f"{page}delete/", {"post": "yes"}).status_code == 403
    assert BudgetAccount.objects.get().used_usd == 1
