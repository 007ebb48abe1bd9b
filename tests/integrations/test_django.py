"""llmkit in a Django project, through Django's own test clients, inside its tests."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.management import CommandError, call_command
from django.db import connection, models, transaction
from django.http import HttpRequest, HttpResponseForbidden
from django.test import AsyncClient, Client, TestCase
from django.test.utils import override_script_prefix
from django.urls import reverse

from llmkit import BudgetWarning, Caller, ConfigError, Kit
from llmkit.ledger.columns import (
    COLUMNS,
    DECIMAL_DIGITS,
    DECIMAL_PLACES,
    INDEXES,
    TABLE,
    UNIQUE,
)
from llmkit.ledger.selection import Selection
from llmkit.sse import SSEDecoder
from llmkit.testing import Behaviour, Emulator
from llmkit.usage import Usage
from llmkit_django import conf, get_client, get_kit
from llmkit_django.admin_list import add_up
from llmkit_django.models import UsageRecord, Worker
from llmkit_django.signals import budget_warning
from llmkit_django.store import DjangoStore
from llmkit_django.views import LLMKitView
from support.browser import SAY_HI
from support.canary import leaks
from support.kits import settings as llmkit_settings
from support.ledger import closing, opening

JSON = "application/json"


@pytest.fixture
def project(settings: Any, db: None, emulator: Emulator) -> Any:
    """Give the project's settings, with the emulator for a provider."""
    config = llmkit_settings(emulator)
    del config["ledger"]
    settings.LLMKIT = config
    return settings


def change(project: Any, **more: Any) -> None:
    """Change the project's settings of llmkit."""
    project.LLMKIT = {**project.LLMKIT, **more}


def as_django_does(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test as Django's own test cases do: what it does in threads it does in the test's own, in its transaction."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async_to_sync(test)(*args, **kwargs)

    return run


def post(browser: Client, path: str = "/llm/complete", **headers: str) -> Any:
    """Post a message as user 7."""
    return browser.post(path, SAY_HI, content_type=JSON, headers={"x-user": "7", **headers})


async def apost(browser: AsyncClient, path: str = "/llm/complete", **headers: str) -> Any:
    """Post a message as user 7, to the project under ASGI."""
    return await browser.post(path, SAY_HI, content_type=JSON, headers={"x-user": "7", **headers})


def last(body: bytes) -> str:
    """Return the data of the last frame."""
    return SSEDecoder().feed(body)[-1].data


def test_a_stream_under_wsgi(project: Any, client: Client) -> None:
    """A sync iterator; the row is in the test's own transaction, with the user."""
    answer = post(client, "/llm/stream")
    assert not answer.is_async
    assert answer["content-type"] == "text/event-stream; charset=utf-8"
    assert last(b"".join(answer.streaming_content)) == "[DONE]"
    answer.close()
    (row,) = UsageRecord.objects.all()
    assert (row.status, row.user_key, row.user_id, row.streamed) == ("finished", "7", 7, True)
    assert row.cost_usd > 0
    assert row.finished_at >= row.started_at


@as_django_does
async def test_a_stream_under_asgi(project: Any, async_client: AsyncClient) -> None:
    """An async iterator; the row is in the test's own transaction here too."""
    answer = await apost(async_client, "/llm/stream")
    assert answer.is_async
    assert last(b"".join([part async for part in answer.streaming_content])) == "[DONE]"
    assert [row.status async for row in UsageRecord.objects.all()] == ["finished"]


def test_whole_answers_under_wsgi(project: Any, client: Client) -> None:
    """The whole answer, with its cost."""
    answer = post(client)
    assert set(answer.json()) == {"text", "stop_reason", "usage", "cost_usd"}
    assert UsageRecord.objects.get().status == "finished"


@as_django_does
async def test_whole_answers_under_asgi(project: Any, async_client: AsyncClient) -> None:
    """The same in the event loop."""
    answer = await apost(async_client)
    assert answer.json()["usage"]["output_tokens"] == 6
    assert (await UsageRecord.objects.aget()).status == "finished"


class RowsGoWithTheTest(TestCase):
    """What one test writes the next does not see."""

    def setUp(self) -> None:
        """Start a provider."""
        self.emulator = self.enterContext(Emulator(behaviour=Behaviour(tokens=2, delay=0)))
        config = llmkit_settings(self.emulator)
        del config["ledger"]
        self.enterContext(self.settings(LLMKIT=config))

    def _call(self) -> None:
        assert UsageRecord.objects.count() == 0
        with transaction.atomic():
            assert get_client().complete("Say hi", user="7").text
        post(Client(), "/llm/stream").getvalue()
        assert UsageRecord.objects.filter(status="finished").count() == 2

    def test_one(self) -> None:
        """Write two rows."""
        self._call()

    def test_two(self) -> None:
        """Find none, and write two rows."""
        self._call()


def test_a_view_for_both_kinds_of_server() -> None:
    """Django runs it in its event loop where there is one, and in a thread where there is none."""
    view = LLMKitView("/stream")

    async def is_async() -> bool:
        return bool(iscoroutinefunction(view))

    assert not iscoroutinefunction(view)
    assert asyncio.run(is_async())


def test_the_pages(project: Any, client: Client) -> None:
    """The pages have names; the chat page carries the token its script needs, and HEAD says how long it is."""
    assert reverse("llmkit:stream") == "/llm/stream"
    assert reverse("llmkit:llmkit_js") == "/llm/llmkit.js"
    page = client.get(reverse("llmkit:page"))
    assert b'<meta name="csrf-token" content="' in page.content
    assert "Cookie" in page["vary"]
    assert "csrftoken" in page.cookies
    head = client.head("/llm/")
    assert (head.content, int(head["content-length"])) == (b"", len(page.content))
    script = files("llmkit").joinpath("static", "llmkit.js").read_bytes()
    assert client.get("/llm/llmkit.js").content == script  # without anybody's token
    refused = client.get("/llm/stream")
    assert (refused.status_code, refused["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ("admin:login", "/admin/login/"),
        ("/admin/login/?a=1&b", "/admin/login/?a=1&amp;b"),
        ("https://login.example/", "https://login.example/"),
        ("/accounts/login/", None),
        ("no-such-view", None),
    ],
)
def test_the_page_knows_where_to_log_in(
    project: Any, client: Client, setting: str, url: str | None
) -> None:
    """LOGIN_URL is in the page, unless there is no such page in the project: Django's default is set in all."""
    project.LOGIN_URL = setting
    page = client.get("/llm/").content.decode()
    tag = None if url is None else f'<meta name="login-url" content="{url}">'
    assert ("login-url" in page) == (tag is not None)
    assert tag is None or tag in page


def test_a_project_under_a_prefix_knows_where_to_log_in(project: Any, client: Client) -> None:
    """The address has the prefix that the server puts before the project's."""
    project.LOGIN_URL = "admin:login"
    with override_script_prefix("/app/"):
        page = client.get("/llm/").content.decode()
    assert 'content="/app/admin/login/"' in page


@pytest.mark.parametrize("path", ["/llm/stream", "/llm/complete"])
def test_nobody_logged_in_is_401(project: Any, client: Client, path: str) -> None:
    """Our JSON, and no redirect to a login page, also under LoginRequiredMiddleware."""
    middleware = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    project.MIDDLEWARE = [*project.MIDDLEWARE, middleware]
    answer = client.post(path, SAY_HI, content_type=JSON)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "not_logged_in"


def test_a_real_login(project: Any, client: Client) -> None:
    """Whoever Django has logged in is who calls."""
    user = get_user_model().objects.create_user("ann")
    client.force_login(user)
    assert client.post("/llm/complete", SAY_HI, content_type=JSON).status_code == 200
    row = UsageRecord.objects.select_related("user").get()
    assert (row.user, row.user_key) == (user, str(user.pk))
    user.delete()
    assert UsageRecord.objects.get().user_key == row.user_key


@as_django_does
async def test_a_real_login_under_asgi(project: Any, async_client: AsyncClient) -> None:
    """The session is read without blocking the event loop."""
    user = await get_user_model().objects.acreate_user("ann")
    await async_client.aforce_login(user)
    answer = await async_client.post("/llm/complete", SAY_HI, content_type=JSON)
    assert answer.status_code == 200
    assert (await UsageRecord.objects.aget()).user_id == user.pk


@pytest.mark.parametrize("sessions", [False, True])
def test_djangos_csrf_check(project: Any, sessions: bool) -> None:
    """A POST with cookies needs the token, wherever the project keeps it; one without acts in nobody's name."""
    project.CSRF_USE_SESSIONS = sessions
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(get_user_model().objects.create_user("ann"))
    refused = browser.post("/llm/complete", SAY_HI, content_type=JSON)
    assert refused.status_code == 403
    assert refused.json()["error"]["type"] == "csrf_failed"
    page = browser.get("/llm/").content.decode()
    token = page.partition('name="csrf-token" content="')[2].partition('"')[0]
    headers = {"x-csrftoken": token}
    answer = browser.post("/llm/complete", SAY_HI, content_type=JSON, headers=headers)
    assert answer.status_code == 200
    browser = Client(enforce_csrf_checks=True)
    assert post(browser).status_code == 200
    page = {"origin": "https://spa.example"}
    assert post(browser, **page, authorization="Bearer x").status_code == 200
    assert post(browser, **page, authorization="Basic YTpi").status_code == 403


@pytest.mark.parametrize("sessions", [False, True])
@as_django_does
async def test_djangos_csrf_check_under_asgi(project: Any, sessions: bool) -> None:
    """The same in the event loop."""
    project.CSRF_USE_SESSIONS = sessions
    browser = AsyncClient(enforce_csrf_checks=True)
    await browser.aforce_login(await get_user_model().objects.acreate_user("ann"))
    refused = await browser.post("/llm/complete", SAY_HI, content_type=JSON)
    assert refused.json()["error"]["type"] == "csrf_failed"


def test_a_project_without_the_csrf_middleware(project: Any, client: Client) -> None:
    """Then the request has to be of the same origin, as under Flask and ASGI, or of one that the project trusts."""
    name = "django.middleware.csrf.CsrfViewMiddleware"
    project.MIDDLEWARE = [path for path in project.MIDDLEWARE if path != name]
    client.cookies["seen"] = "1"
    refused = post(client, **{"sec-fetch-site": "cross-site"})
    assert refused.status_code == 403
    assert "CSRF_TRUSTED_ORIGINS" in refused.json()["error"]["hint"]
    assert post(client, **{"sec-fetch-site": "same-origin"}).status_code == 200
    assert b'name="csrf-token"' not in client.get("/llm/").content


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://spa.example", 200),
        ("HTTPS://SPA.example", 200),
        ("https://spa.example:8443", 403),
        ("http://spa.example", 403),
        ("https://a.spa.example", 403),
        ("https://a.shop.example", 200),
        ("https://a.b.shop.example", 200),
        ("https://badshop.example", 403),
        ("https://a.shop.example:8443", 403),
        ("http://localhost:3000", 200),
        ("null", 403),
        ("", 403),
    ],
)
@pytest.mark.parametrize("login", ["cookie", "basic"])
def test_origins_that_the_project_trusts(
    project: Any, client: Client, origin: str, status: int, login: str
) -> None:
    """Where there is no token to compare, CSRF_TRUSTED_ORIGINS names them, in Django's way."""
    project.CSRF_TRUSTED_ORIGINS = [
        *("https://spa.example", "https://*.shop.example", "http://localhost:3000")
    ]
    page = {"origin": origin, "sec-fetch-site": "cross-site"}
    if login == "cookie":
        name = "django.middleware.csrf.CsrfViewMiddleware"
        project.MIDDLEWARE = [path for path in project.MIDDLEWARE if path != name]
        client.cookies["seen"] = "1"
    else:
        page["authorization"] = "Basic YTpi"
    assert post(client, **page).status_code == status


def may_not(request: HttpRequest) -> bool:
    """Let nobody in."""
    return False


async def may(request: HttpRequest) -> bool:
    """Let everybody in."""
    return True


def of_acme(request: HttpRequest) -> Caller:
    """Say more than an id."""
    return Caller(user="7", tenant="acme", tags={"plan": "pro"})


@pytest.mark.parametrize(("hook", "status"), [(may_not, 403), (may, 200)])
def test_the_permission_hook(project: Any, client: Client, hook: Any, status: int) -> None:
    """A function or its dotted path, sync or async, decides who may call; nobody at all stays 401."""
    for given in (hook, f"{__name__}.{hook.__name__}"):
        change(project, permission=given)
        assert post(client).status_code == status
    assert client.post("/llm/complete", SAY_HI, content_type=JSON).status_code == 401


@pytest.mark.parametrize(("hook", "status"), [(may_not, 403), (may, 200)])
@as_django_does
async def test_the_permission_hook_under_asgi(
    project: Any, async_client: AsyncClient, hook: Any, status: int
) -> None:
    """The same in the event loop."""
    change(project, permission=hook)
    assert (await apost(async_client)).status_code == status


class Answers:
    """A hook that is no function, and gives something to await."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def __call__(self, request: HttpRequest) -> Any:
        """Give the answer."""
        return self._answer


def styles(answer: Any) -> dict[str, Callable[[HttpRequest], Any]]:
    """Return hooks that give one answer, in all the ways that people write them."""

    async def plain(request: HttpRequest) -> Any:
        return answer

    async def with_more(request: HttpRequest, more: str) -> Any:
        return answer

    async def forgot_to_await(request: HttpRequest) -> Any:
        return plain(request)

    @functools.wraps(plain)
    def decorated(request: HttpRequest) -> Any:
        return plain(request)

    return {
        "sync": lambda request: answer,
        "async": plain,
        "lambda": lambda request: plain(request),
        "partial": functools.partial(with_more, more=""),
        "object": Answers(answer),
        "method": Answers(answer).__call__,
        "decorated": decorated,
        "forgot to await": forgot_to_await,
        "two lambdas": lambda request: forgot_to_await(request),
    }


STYLES = list(styles(None))


@pytest.mark.parametrize("style", STYLES)
def test_hooks_of_every_style(project: Any, client: Client, style: str) -> None:
    """What a hook answers decides, however it is written: a no lets nobody in, and nobody is not logged in."""
    for name, answer, status in HOOKS:
        change(project, permission=None, get_user=None)
        change(project, **{name: styles(answer)[style]})
        assert post(client).status_code == status, (name, answer)
    assert [row.user_key for row in UsageRecord.objects.all()] == ["7", "8"]


@pytest.mark.parametrize("style", STYLES)
@as_django_does
async def test_hooks_of_every_style_under_asgi(
    project: Any, async_client: AsyncClient, style: str
) -> None:
    """The same in the event loop."""
    for name, answer, status in HOOKS:
        change(project, permission=None, get_user=None)
        change(project, **{name: styles(answer)[style]})
        assert (await apost(async_client)).status_code == status, (name, answer)
        await conf.current().kit.aclose()
    assert [row.user_key async for row in UsageRecord.objects.all()] == ["7", "8"]


HOOKS = [
    ("permission", False, 403),
    ("permission", None, 403),
    ("permission", True, 200),
    ("permission", may_not, 503),  # a function that was not called
    ("permission", (yes for yes in "no"), 503),
    ("permission", "no", 503),
    ("permission", HttpResponseForbidden(), 503),  # what a decorator for views makes of a no
    ("get_user", None, 401),
    ("get_user", False, 401),
    ("get_user", "", 401),
    ("get_user", Caller(tenant="acme"), 401),
    ("get_user", True, 503),
    ("get_user", may_not, 503),
    ("get_user", {"id": "8"}, 503),
    ("get_user", "8", 200),
]


def no_directory(request: HttpRequest) -> str:
    """Fail to reach whoever knows the user."""
    raise ConnectionRefusedError("the LDAP server")


class Careless:
    """A middleware of the project's own that stumbles over a file."""

    def handle(self, call: Any, call_next: Any) -> Any:
        """Stumble."""
        raise FileNotFoundError("prompts/summary.txt")

    async def handle_async(self, call: Any, call_next: Any) -> Any:
        """Stumble."""
        raise FileNotFoundError("prompts/summary.txt")


@pytest.mark.parametrize("path", ["/llm/stream", "/llm/complete"])
def test_the_projects_own_oserror(
    project: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """It is the project's to handle, and not a browser that left."""
    browser = Client(raise_request_exception=False)
    change(project, get_user=no_directory)
    assert post(browser, path).status_code == 500
    change(project, get_user=None)
    kit = Kit({**llmkit_settings(emulator), "ledger": False}, middleware=[Careless()])
    monkeypatch.setattr(conf.current(), "_kit", kit)
    assert post(browser, path).status_code == 500


@pytest.mark.parametrize("path", ["/llm/stream", "/llm/complete"])
@as_django_does
async def test_the_projects_own_oserror_under_asgi(
    project: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """The same in the event loop: no 499, and no empty 200."""
    browser = AsyncClient(raise_request_exception=False)
    change(project, get_user=no_directory)
    assert (await apost(browser, path)).status_code == 500
    change(project, get_user=None)
    kit = Kit({**llmkit_settings(emulator), "ledger": False}, middleware=[Careless()])
    monkeypatch.setattr(conf.current(), "_kit", kit)
    assert (await apost(browser, path)).status_code == 500


def test_permission_of_nobody(project: Any, client: Client) -> None:
    """Where nobody may call too, the permission is asked all the same."""
    for hook, status in ((may_not, 403), (may, 200)):
        change(project, permission=hook, relay={"anonymous": True})
        assert client.post("/llm/complete", SAY_HI, content_type=JSON).status_code == status


def test_a_permission_that_asks_the_database(project: Any, client: Client) -> None:
    """Django's own async question in a lambda: who has not the permission is not let in, under WSGI."""
    change(project, permission=lambda request: request.user.ahas_perm("llmkit.view_usagerecord"))
    user = get_user_model().objects.create_user("ann")
    client.force_login(user)
    assert client.post("/llm/complete", SAY_HI, content_type=JSON).status_code == 403
    user.is_superuser = True
    user.save()
    assert client.post("/llm/complete", SAY_HI, content_type=JSON).status_code == 200


@as_django_does
async def test_a_permission_that_asks_the_database_under_asgi(
    project: Any, async_client: AsyncClient
) -> None:
    """The same in the event loop."""
    change(project, permission=lambda request: request.user.ahas_perm("llmkit.view_usagerecord"))
    user = await get_user_model().objects.acreate_user("ann")
    await async_client.aforce_login(user)
    path, body = "/llm/complete", SAY_HI
    assert (await async_client.post(path, body, content_type=JSON)).status_code == 403
    user.is_superuser = True
    await user.asave()
    assert (await async_client.post(path, body, content_type=JSON)).status_code == 200


@pytest.mark.parametrize(
    ("hooks", "said"),
    [({"get_user": lambda request: None}, "get_user returned None"), ({}, "set get_user to say")],
)
@pytest.mark.parametrize("path", ["/llm/complete", "/llm/stream"])
def test_the_log_says_why_nobody_is_logged_in(
    project: Any,
    client: Client,
    path: str,
    hooks: dict[str, Any],
    said: str,
    advice: pytest.LogCaptureFixture,
) -> None:
    """A get_user that is set is not told to be set; Django's login is none."""
    change(project, **hooks)
    assert client.post(path, SAY_HI, content_type=JSON).status_code == 401
    assert said in advice.text


def test_get_user(project: Any, client: Client) -> None:
    """A project may say itself who calls, and for whom."""
    change(project, get_user=of_acme)
    assert post(client).status_code == 200
    row = UsageRecord.objects.get()
    assert (row.user_id, row.tenant, row.tags) == (7, "acme", {"plan": "pro"})


@pytest.mark.parametrize("user", ["ann@example.org", "9" * 40, "-1x", "\0", "ü" * 300])
def test_a_user_that_is_no_primary_key(project: Any, user: str) -> None:
    """The key is kept, without a link to a user of the project."""
    get_client().complete("Say hi", user=user)
    row = UsageRecord.objects.get()
    assert row.status == "finished"
    assert row.user_id is None
    assert row.user_key


@pytest.mark.parametrize("use_tz", [True, False])
def test_time_zones(project: Any, use_tz: bool) -> None:
    """With USE_TZ=False the project's own naive times are in the table."""
    project.USE_TZ = use_tz
    get_client().complete("Say hi")
    row = UsageRecord.objects.get()
    assert (row.started_at.tzinfo is not None) is use_tz
    assert row.started_at <= row.finished_at


def test_wrong_settings_name_the_key(project: Any, client: Client) -> None:
    """A wrong key is an error that says which; a hook that is not there, too."""
    for wrong, said in (({"modells": {}}, "modells"), ({"permission": "no.where"}, "permission")):
        change(project, **wrong)
        with pytest.raises(ConfigError, match=said):
            conf.current()
        project.LLMKIT = {key: project.LLMKIT[key] for key in project.LLMKIT if key not in wrong}
    project.LLMKIT = ["not", "a", "dict"]
    with pytest.raises(ConfigError, match="list"):
        conf.current()


def test_views_of_the_projects_own(project: Any, client: Client) -> None:
    """A view may take the client, and return a stream as its response; HEAD asks nobody."""
    assert last(b"".join(client.get("/poem").streaming_content)) == "[DONE]"
    assert len(client.get("/word").json()["word"].split()) == 6
    assert client.head("/poem")["content-type"].startswith("text/event-stream")
    assert UsageRecord.objects.count() == 2


@as_django_does
async def test_views_of_the_projects_own_under_asgi(
    project: Any, async_client: AsyncClient
) -> None:
    """An async view returns an async stream; a sync view may call all the same."""
    answer = await async_client.get("/apoem")
    assert last(b"".join([part async for part in answer.streaming_content])) == "[DONE]"
    assert (await async_client.get("/word")).status_code == 200
    assert [row.status async for row in UsageRecord.objects.all()] == ["finished"] * 2


def test_the_wrong_kind_under_wsgi(project: Any, client: Client) -> None:
    """What would be held back to its end is an error that says what to use."""
    with pytest.raises(TypeError, match="stream_response"):
        client.get("/apoem")
    with pytest.raises(TypeError, match="get_client"):
        client.get("/wrong")


@as_django_does
async def test_the_wrong_kind_under_asgi(project: Any, async_client: AsyncClient) -> None:
    """The same the other way round."""
    with pytest.raises(TypeError, match="astream_response"):
        await async_client.get("/poem")
    with pytest.raises(TypeError, match="aget_client"):
        await async_client.get("/awrong")


def test_a_body_that_is_too_large(project: Any, client: Client) -> None:
    """The body is counted; nothing is sent upstream."""
    change(project, relay={"max_body": 20})
    answer = post(client)
    assert answer.status_code == 413


def test_a_row_of_the_books_without_a_table(project: Any, client: Client) -> None:
    """A call whose row cannot be written is not made; the log says what to run, and the browser is not told."""
    connection.cursor().execute("ALTER TABLE llmkit_usage RENAME TO gone")
    answer = post(client)
    assert answer.status_code == 503
    assert "llmkit_usage" not in answer.content.decode()


@pytest.mark.parametrize("count", [2**31, 2**63, 10**30, -(2**40)])
def test_a_count_that_no_column_takes(project: Any, count: int) -> None:
    """Its row is closed without its figures, inside a transaction of the project's too."""
    ledger = conf.current().kit.ledger
    assert ledger is not None
    with transaction.atomic():
        ledger.begin(opening())
        ledger.finish(closing(usage=Usage(input_tokens=count)))
        assert UsageRecord.objects.get().status == "finished"
    assert connection.vendor != "sqlite" or call_command("llmkit_usage") is None


def test_totals_are_exact(project: Any) -> None:
    """A large cost and many small ones add up to the last place, as floating point would not."""
    ledger = conf.current().kit.ledger
    assert ledger is not None
    costs = [Decimal("999999.999999999"), *[Decimal("0.000000001")] * 30, Decimal("0.1"), None]
    for number, cost in enumerate(costs):
        ledger.record(opening(str(number)), closing(str(number), cost=cost))
    store = DjangoStore(lambda: "test", own=False)
    for found in (store.sums()[()], add_up(UsageRecord.objects.all())):
        assert (found.cost, found.attempts, found.unpriced) == (
            Decimal("1000000.100000029"),
            33,
            1,
        )
        assert (found.calls, found.input_tokens, found.output_tokens) == (33, 3300, 660)
    UsageRecord.objects.all().delete()
    assert store.sums() == {}
    assert add_up(UsageRecord.objects.all()).cost == 0


def test_the_kit_of_the_project(project: Any) -> None:
    """With what its calls cost."""
    get_client().complete("Say hi", user="7")
    assert get_kit().cost_tracker.report("user").groups[0].key == {"user": "7"}
    assert get_kit().totals.calls == 1


def test_the_command(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """`manage.py llmkit_usage` shows the latest rows and the money, as a table or as JSON."""
    get_client().complete("Say hi", user="7")
    call_command("llmkit_usage")
    table = capsys.readouterr().out
    assert "1 call, $0.0" in table
    assert " finished " in table
    call_command("llmkit_usage", "--json", "--limit", "1")
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["user_key"], row["status"]) == ("7", "finished")
    assert Decimal(row["cost_usd"]) > 0
    call_command("llmkit_usage", "--by", "user,status", "--csv")
    assert capsys.readouterr().out.splitlines()[1].startswith("7,finished,1,1,")
    call_command("llmkit_usage", by="user", user="8", json=True)
    assert json.loads(capsys.readouterr().out)["groups"] == []
    with pytest.raises(CommandError, match="calls cannot be grouped by 'usr'; did you mean 'user'"):
        call_command("llmkit_usage", "--by", "usr")


@pytest.mark.parametrize("use_tz", [True, False])
@pytest.mark.parametrize(
    ("home", "ours", "day"),
    [
        ("Europe/Berlin", None, "2026-05-18"),
        ("America/New_York", None, "2026-05-17"),
        ("America/New_York", "Asia/Tokyo", "2026-05-18"),
    ],
)
def test_days_are_the_projects(
    project: Any,
    capsys: pytest.CaptureFixture[str],
    use_tz: bool,
    home: str,
    ours: str | None,
    day: str,
) -> None:
    """They begin as TIME_ZONE says, or as LLMKIT does; rows are found by their moments."""
    project.USE_TZ, project.TIME_ZONE = use_tz, home
    change(project, time_zone=ours)
    late = datetime(2026, 5, 17, 22, 30, tzinfo=UTC)
    store = DjangoStore(lambda: "test", own=False)
    store.write([opening(started_at=late)], [])
    call_command("llmkit_usage", "--by", "day", "--csv")
    assert capsys.readouterr().out.splitlines()[1].startswith(f"{day},1,")
    chosen = Selection(since=late, until=late + timedelta(seconds=1))
    assert store.sums((), chosen)[()].calls == 1
    assert store.sums((), Selection(until=late)) == {}


def test_the_commands_that_look_after_old_rows(
    project: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """`manage.py llmkit_prune` and `llmkit_reprice` do what `llmkit prune` and `llmkit reprice` do."""
    old = opening("old", started_at=datetime.now(UTC) - timedelta(days=91))
    store = DjangoStore(lambda: "test", own=False)
    store.write(
        [old, opening("new", started_at=datetime.now(UTC))],
        [closing("old"), closing("new", cost=None)],
    )
    change(project, prices={"anthropic:claude-sonnet-4-5": {"input": "1", "output": "2"}})
    call_command("llmkit_reprice")
    assert "2 of 2 rows priced anew" in capsys.readouterr().out
    assert {row.cost_usd for row in UsageRecord.objects.all()} == {Decimal("0.00014")}
    call_command("llmkit_prune", "--older-than", "90d", "--dry-run")
    assert capsys.readouterr().out.startswith("1 row from before ")
    call_command("llmkit_prune", older_than="90d")
    assert capsys.readouterr().out.endswith(" UTC is deleted.\n")
    assert UsageRecord.objects.get().call_id == "new"


def test_the_command_that_sweeps(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """`manage.py llmkit_sweep` marks the rows of processes that have died as lost."""
    hour = opening(started_at=datetime.now(UTC) - timedelta(hours=1))
    DjangoStore(lambda: "dead", own=True).write([hour], [])
    Worker.objects.all().delete()
    call_command("llmkit_sweep")
    assert capsys.readouterr().out == "1 row of a process that has died is marked as lost.\n"
    assert UsageRecord.objects.get().status == "lost"
    with pytest.raises(CommandError, match="60 or more"):
        call_command("llmkit_sweep", "--silent", "5")
    change(project, ledger=False)
    with pytest.raises(CommandError, match="does not record its calls"):
        call_command("llmkit_sweep")


def test_the_command_without_books(project: Any) -> None:
    """A project that keeps none is told so, and a limit that is none, too."""
    with pytest.raises(CommandError, match="--limit"):
        call_command("llmkit_usage", "--limit", "-1")
    change(project, ledger=False)
    with pytest.raises(CommandError, match="does not record its calls"):
        call_command("llmkit_usage")


def test_the_admin_shows_and_changes_nothing(project: Any, admin_client: Client) -> None:
    """The rows can be listed, found and looked at; they cannot be added, changed or deleted."""
    get_client().complete("Say hi", user="7")
    row = UsageRecord.objects.get()
    listed = admin_client.get(f"/admin/llmkit/usagerecord/?q={row.call_id}")
    assert b"claude-sonnet-4-5" in listed.content
    page = f"/admin/llmkit/usagerecord/{row.pk}/"
    shown = admin_client.get(f"{page}change/").content.decode()
    assert row.call_id in shown
    assert leaks(shown, listed.content.decode()) == []
    assert admin_client.get("/admin/llmkit/usagerecord/add/").status_code == 403
    assert admin_client.post(f"{page}delete/", {"post": "yes"}).status_code == 403
    assert admin_client.post(f"{page}change/", {"status": "x"}).status_code == 403
    other = Client()
    other.force_login(get_user_model().objects.create_user("ben"))
    assert (
        other.get(f"{page}change/").status_code == 302
    )  # to the login: nobody but the staff reads rows


def test_one_list_of_columns() -> None:
    """Django's model and the table that SQLAlchemy makes have the same columns, but for Django's own user."""
    kinds = {
        models.BigAutoField: "id",
        models.CharField: "string",
        models.IntegerField: "integer",
        models.BooleanField: "boolean",
        models.DecimalField: "decimal",
        models.DateTimeField: "datetime",
        models.JSONField: "json",
    }
    fields = [field for field in UsageRecord._meta.get_fields() if field.name != "user"]
    assert UsageRecord._meta.db_table == TABLE
    assert {
        (field.column, kinds[type(field)], field.max_length, field.null) for field in fields
    } == {(column.name, column.kind, column.size, column.null) for column in COLUMNS}
    (unique,) = UsageRecord._meta.constraints
    assert unique.fields == UNIQUE
    assert {tuple(index.fields) for index in UsageRecord._meta.indexes} == set(INDEXES)
    cost = UsageRecord._meta.get_field("cost_usd")
    assert (cost.max_digits, cost.decimal_places) == (DECIMAL_DIGITS, DECIMAL_PLACES)


def test_the_migrations_are_clean(db: None) -> None:
    """Nothing is left to write down, whatever the project's own kind of primary key is."""
    call_command("makemigrations", "--check", "--dry-run")


def said(*, databases: list[str] | None = None) -> dict[str, str]:
    """Return what the checks say, by id."""
    found = checks.run_checks(tags=["llmkit"], databases=databases)
    assert all(message.hint for message in found)
    return {message.id: message.msg for message in found}


def test_checks_of_a_sound_project(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is what is true of this project: its database is in memory, its Django compresses."""
    monkeypatch.delenv("GUNICORN_CMD_ARGS", raising=False)
    held_back = {"llmkit.W005"} if django.VERSION < (6, 1, 3) else set()
    assert set(said(databases=["default"])) == held_back
    monkeypatch.delattr("django.core.mail.outbox")
    assert "llmkit.W003" in said()


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"modells": {}}, "llmkit.E001"),
        ({"permission": "no.where"}, "llmkit.E001"),
        ({"relay": {"allowed_origins": "https://spa.example"}}, "llmkit.E001"),
        ({"models": {"default": "nobody:x"}}, "llmkit.E002"),
        ({"models": {}}, "llmkit.W001"),
        ({"providers": {}}, "llmkit.W001"),
        ({"permission": lambda: True}, "llmkit.E001"),
        ({"get_user": lambda request, more: 7}, "llmkit.E001"),
        ({"ledger": {"store_content": True, "redact": "no.where"}}, "llmkit.E004"),
        ({"on_budget_warning": print}, "llmkit.W010"),
        ({"ledger": False}, "llmkit.W002"),
        ({"relay": {"tools": ["no.where"]}}, "llmkit.E004"),
        ({"budgets": [{"scope": "user", "per": "day", "usd": "no.where"}]}, "llmkit.E004"),
        (
            {
                "budgets": [{"scope": "user", "per": "day", "usd": 1, "warn_at": 0.8}],
                "on_budget_warning": "support.kits.nothing",
            },
            "llmkit.E004",
        ),
    ],
)
def test_checks_of_settings(
    project: Any, wrong: dict[str, Any], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong key, an unknown provider, no model, no key, no books."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    change(project, **wrong)
    assert word in said()


def test_checks_of_the_rest(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No login, no table, and a worker that is killed in the midst of an answer."""
    name = "django.contrib.auth.middleware.AuthenticationMiddleware"
    project.MIDDLEWARE = [path for path in project.MIDDLEWARE if path != name]
    assert "llmkit.W004" in said()
    for arguments, warned in (
        ("--workers 4", True),
        ("--worker-class=gthread --threads 8", False),
        ("-k gevent", False),
        ("--timeout 0", False),
    ):
        monkeypatch.setenv("GUNICORN_CMD_ARGS", arguments)
        assert ("llmkit.W007" in said()) is warned
    connection.cursor().execute("ALTER TABLE llmkit_usage RENAME TO gone")
    assert "llmkit.W006" in said(databases=["default"])


def test_a_budget_that_is_nearly_used_is_a_signal(project: Any, client: Client) -> None:
    """Its receivers see the test's data, as does the function of the settings; what one of them raises is logged."""
    get_user_model().objects.create_user("ann")
    told: list[Any] = []

    def hook(warning: BudgetWarning) -> None:
        told.append((get_user_model().objects.count(), warning.name))

    def receiver(sender: type, warning: BudgetWarning, **_: Any) -> None:
        told.append((sender, get_user_model().objects.count(), warning.used))
        raise ValueError

    budget = {"scope": "user", "per": "ever", "requests": 2, "warn_at": 0.5}
    change(project, budgets=[budget], on_budget_warning=hook)
    budget_warning.connect(receiver)
    try:
        assert post(client).status_code == 200
    finally:
        budget_warning.disconnect(receiver)
    assert told == [(1, "7"), (BudgetWarning, 1, 1)]
