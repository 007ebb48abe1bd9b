"""`llmkit cache clear`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmkit import ResponseCache
from llmkit.cache.redis import RedisCache
from llmkit.cli import main

ONE = {"models": {"default": "openai:gpt-5-mini"}}


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, settings: object, *args: str) -> Result:
    """Run it with an app's settings."""
    (folder / "settings_of_clear.py").write_text(f"LLMKIT = {settings!r}\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(__import__("sys").modules, "settings_of_clear", raising=False)
    return CliRunner().invoke(
        main, ["cache", "clear", "--settings", "settings_of_clear.LLMKIT", *args]
    )


def test_what_is_cleared_in_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All, or what is of a user or of a model."""
    pytest.importorskip("redis", minversion="6")
    from llmkit.redis.room import RedisRoom
    from support.redis_server import any_redis_url, wait_long

    wait_long(monkeypatch)
    room = RedisRoom(any_redis_url())
    cache = ResponseCache(RedisCache(room, namespace=tmp_path.name))
    for user in (1, 2):
        for model in ("a", "b"):
            cache.set("question", "answer", user=user, model=model)
    settings = {**ONE, "redis": any_redis_url(), "namespace": tmp_path.name, "cache": {}}
    for args, said in (
        (["--user", "1", "--model", "a"], "1 answer is deleted."),
        (["--user", "3"], "No answers are deleted."),
        (["--model", "b"], "2 answers are deleted."),
        ([], "1 answer is deleted."),
    ):
        done = run(tmp_path, monkeypatch, settings, *args)
        assert (done.exit_code, done.output) == (0, f"{said}\n")
    assert cache.get("question", user=2, model="a") is None
    room.close()


@pytest.mark.parametrize(
    ("settings", "args", "code", "said"),
    [
        (ONE, (), 1, "has no cache. Add"),
        ({**ONE, "cache": {}}, (), 1, "in the memory of each process"),
        ({**ONE, "cache": {"store": "host"}}, (), 1, "Use manage.py llmkit_cache clear, or flask"),
        (
            {**ONE, "redis": "redis://127.0.0.1:1/0", "cache": {"scope": "all"}},
            ("--user", "1"),
            2,
            "answers are kept for all",
        ),
        (
            {**ONE, "redis": "redis://127.0.0.1:1/0", "cache": {}},
            ("--tenant", "a"),
            2,
            "name the user, and the tenant",
        ),
        ({**ONE, "redis": "redis://127.0.0.1:1/0", "cache": {}}, (), 1, "Redis does not serve"),
    ],
)
def test_what_cannot_be_cleared(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: object,
    args: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    """It is said in a line, and how to mend it."""
    done = run(tmp_path, monkeypatch, settings, *args)
    assert (done.exit_code, said in done.output) == (code, True), done.output
    assert done.output.count("\n") == 1


def test_without_settings() -> None:
    """Nobody knows where answers are."""
    done = CliRunner().invoke(main, ["cache", "clear"])
    assert done.exit_code == 1
    assert "Name the app's settings with --settings" in done.output
