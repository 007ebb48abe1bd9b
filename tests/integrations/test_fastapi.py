"""llmkit in a FastAPI app with bearer tokens, as the README has it."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import OAuth2PasswordBearer

from llmkit import InvalidRequest
from llmkit.config import RelayConfig
from llmkit.relay.payload import parse
from llmkit.relay.rules import CALLS
from llmkit.testing import Emulator
from llmkit_asgi import LLMKitMiddleware, openapi_paths
from support.browser import SAY_HI
from support.hosts import asgi_host
from support.kits import settings
from support.rows import database, rows

oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token")


async def get_current_user(token: Annotated[str, Depends(oauth2_scheme)]) -> str:
    """Know one token."""
    if token != "of-ann":
        raise HTTPException(401)
    return "ann"


async def who(scope: Any) -> str | None:
    """Say who calls, by what the app's own views depend on."""
    try:
        token = await oauth2_scheme(Request(scope))
        return await get_current_user(token or "")
    except HTTPException:
        return None


def make_app(config: dict[str, Any]) -> FastAPI:
    """Make an app with a login by bearer token, and llmkit's routes in its document."""
    app = FastAPI()
    app.add_middleware(LLMKitMiddleware, config=config, get_user=who)

    @app.get("/me")
    async def me(user: Annotated[str, Depends(get_current_user)]) -> str:
        return user

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            security = [{"OAuth2PasswordBearer": []}]
            FastAPI.openapi(app)["paths"].update(openapi_paths("/llm", security=security))
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def test_a_bearer_token(emulator: Emulator, tmp_path: Path) -> None:
    """Who the app's own dependency knows may call, from a page of any origin, and is on the books."""
    config = settings(emulator, ledger={"database": database(tmp_path)})
    with asgi_host(make_app(config)) as url:
        for said, status in (("Bearer of-ann", 200), ("Bearer wrong", 401), (None, 401)):
            headers = {"origin": "http://localhost:3000"}
            answer = httpx.post(
                f"{url}/llm/complete",
                json=SAY_HI,
                headers=headers if said is None else {**headers, "authorization": said},
            )
            assert answer.status_code == status
    assert [row["user_key"] for row in rows(tmp_path)] == ["ann"]


def test_the_routes_are_in_the_document(emulator: Emulator) -> None:
    """Beside the app's own, with what they take and give and the same login; they are there on the page that shows it, too."""
    with asgi_host(make_app(settings(emulator))) as url:
        document = httpx.get(f"{url}/openapi.json").json()
        assert httpx.get(f"{url}/docs").status_code == 200
    assert set(document["paths"]) == {"/me", "/llm/stream", "/llm/complete", "/llm/usage"}
    for path in CALLS:
        operation = document["paths"][f"/llm{path}"]["post"]
        assert {"200", "401", "429", "503"} <= operation["responses"].keys()
        assert "messages" in str(operation["requestBody"])
        assert operation["security"] == document["paths"]["/me"]["get"]["security"]
        (scheme,) = (name for each in operation["security"] for name in each)
        assert scheme in document["components"]["securitySchemes"]
    usage = document["paths"]["/llm/usage"]["get"]
    assert {"200", "401", "404"} <= usage["responses"].keys()
    assert "requestBody" not in usage
    assert set(openapi_paths("/ai/")) == {"/ai/stream", "/ai/complete", "/ai/usage"}


def test_without_security_the_documents_own_applies() -> None:
    """A route says nothing of a login unless it is told to, and an empty list says that there is none."""
    for path in openapi_paths().values():
        assert all("security" not in operation for operation in path.values())
    for path in openapi_paths(security=[]).values():
        assert all(operation["security"] == [] for operation in path.values())


def fits(value: object, schema: dict[str, Any]) -> bool:
    """Tell whether a value is as a schema says, as far as this document's go."""
    if "anyOf" in schema:
        return any(fits(value, each) for each in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    names = {str: "string", list: "array", dict: "object", type(None): "null"}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if names.get(type(value)) not in kinds:
        return False
    if isinstance(value, list):
        return len(value) >= schema["minItems"] and all(
            fits(item, schema["items"]) for item in value
        )
    if isinstance(value, dict):
        known = schema["properties"]
        return (
            all(name in value for name in schema["required"])
            and (schema.get("additionalProperties", True) or value.keys() <= known.keys())
            and all(fits(item, known[name]) for name, item in value.items() if name in known)
        )
    return True


@pytest.mark.parametrize(
    ("body", "right"),
    [
        ({"messages": [{"role": "user", "content": "Hi"}]}, True),
        ({"messages": [{"role": "user", "content": "Hi"}], "model": None}, True),
        ({"messages": [{"role": "user", "content": "Hi"}], "model": "default"}, True),
        ({"messages": [{"role": "user", "content": ["Say", "hi"]}]}, True),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}, True),
        ({"messages": [{"role": "user", "content": []}]}, False),
        ({"messages": [{"role": "user", "content": [7]}]}, False),
        ({"messages": [{"role": "user", "content": [{"type": "image", "text": "Hi"}]}]}, False),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, False),
        ({"messages": [{"role": "user", "content": None}]}, False),
        ({"messages": [{"role": "user", "content": "Hi", "name": "Ann"}]}, False),
        ({"messages": [{"role": "system", "content": "Hi"}]}, False),
        ({"messages": [{"role": "user"}]}, False),
        ({"messages": []}, False),
        ({"messages": [{"role": "user", "content": "Hi"}], "stream": True}, False),
    ],
)
def test_the_document_says_what_is_taken(body: dict[str, Any], right: bool) -> None:
    """A body fits its schema if the relay takes it, and only then."""
    operation = openapi_paths()["/llm/complete"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert fits(body, schema) is right
    with nullcontext() if right else pytest.raises(InvalidRequest):
        parse(json.dumps(body).encode(), RelayConfig())
