"""Messages: what a caller may pass, and what is said of what is not one."""

from __future__ import annotations

import re
from decimal import Decimal
from types import NoneType
from typing import Any, get_args, get_type_hints
from uuid import UUID

import pytest

from llmkit import InvalidRequest, Message
from llmkit.call import CallOptions, build_call
from llmkit.caller import Caller
from llmkit.messages import to_messages


def test_a_text_is_a_user_message() -> None:
    """A bare text is what the user says."""
    assert to_messages("hi") == (Message.user("hi"),)


def test_a_conversation_of_mappings() -> None:
    """Mappings are read as the browser sends them, with text or with parts."""
    messages = to_messages(
        [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": [{"type": "text", "text": "b"}, "c"]},
            Message.user("d", "e"),
        ]
    )
    assert [(message.role, message.text) for message in messages] == [
        ("user", "a"),
        ("assistant", "bc"),
        ("user", "de"),
    ]


def test_empty_parts_are_left_out() -> None:
    """Vendors refuse them; a message of nothing else is one empty text."""
    (message,) = to_messages([{"role": "user", "content": ["", "a", {"type": "text", "text": ""}]}])
    assert message == Message.user("a") == Message.user("", "a")
    assert to_messages([{"role": "user", "content": ["", ""]}]) == (Message.user(""),)
    assert Message.user("").text == ""


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ([], "no messages"),
        (None, "the messages are of the type NoneType"),
        (7, "the messages are of the type int"),
        (b"hi", "the messages are of the type bytes"),
        ({"role": "user", "content": "hi"}, "the messages are of the type dict"),
        (Message("user", "hi"), "messages[0].parts is not a tuple"),  # type: ignore[arg-type]
        ([Message("system", ())], "messages[0].role must be one of"),  # type: ignore[arg-type]
        ([3], "messages[0] is an int"),
        ([{"role": "system", "content": "x"}], "messages[0] has the role system"),
        ([{"role": "wizard", "content": "x"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": []}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "image"}]}], "not text"),
        ([{"role": "user", "content": "x", "name": "y"}], "unknown key 'name'"),
    ],
)
def test_what_is_not_a_message(prompt: Any, said: str) -> None:
    """What is wrong is named by its place, with a hint, and without quoting the text."""
    with pytest.raises(InvalidRequest) as caught:
        to_messages(prompt)
    assert said in caught.value.message
    assert caught.value.hint


def build(**options: Any) -> Any:
    return build_call(
        "secret words",
        options,  # type: ignore[arg-type]
        call_id="1",
        default_model="default",
        default_max_tokens=10,
        streaming=True,
    )


def test_unknown_option_is_a_type_error() -> None:
    """A misspelt option is refused by name, as Python does."""
    with pytest.raises(TypeError, match="'max_token' is not an option"):
        build(max_token=3)


@pytest.mark.parametrize(
    "make",
    [
        lambda part: to_messages([{"role": "user", "content": ["What is it?", part]}]),
        lambda part: Message.user("What is it?", part),
    ],
)
@pytest.mark.parametrize("kind", ["image", "image_url", "input_image", "document", "file"])
def test_images_and_documents(kind: str, make: Any) -> None:
    """Are refused, and it is said that there are none; nothing of them is quoted."""
    with pytest.raises(InvalidRequest) as caught:
        make({"type": kind, kind: {"url": "https://canary"}})
    assert "Images and documents are not supported." in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_message_is_made_of_texts() -> None:
    """What is neither a text nor a part is refused where the message is made."""
    with pytest.raises(InvalidRequest, match="a part of a message is an int"):
        Message.user(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "value", "kind"),
    [
        ("max_tokens", "5", "a whole number"),
        ("max_tokens", 5.0, "a whole number"),
        ("max_tokens", True, "a whole number"),
        ("temperature", "hot", "a number"),
        ("temperature", float("nan"), "a number"),
        ("top_p", Decimal("0.5"), "a number"),
        ("seed", "7", "a whole number"),
        ("stop", 5, "a string or a list of strings"),
        ("stop", ["a", 5], "a string or a list of strings"),
        ("stop", b"a", "a string or a list of strings"),
        ("system", 3, "a string"),
        ("model", 3, "a string"),
        ("extra", [], "a dict"),
        ("run_id", 3, "a string"),
        ("conversation", UUID(int=3), "a string"),
    ],
)
def test_an_option_of_another_kind(option: str, value: Any, kind: str) -> None:
    """It is refused by name before anything is sent; its value is not shown."""
    with pytest.raises(InvalidRequest, match=f"{option} is not {kind}") as caught:
        build(**{option: value})
    assert f"type {type(value).__name__}" in str(caught.value)


@pytest.mark.parametrize("option", ["max_tokens", "stop", "extra", "tags", "model", "system"])
def test_none_is_nothing(option: str) -> None:
    """An option that is None is as good as left out."""
    assert build(**{option: None}) == build()


def test_user_may_be_an_id_or_a_caller() -> None:
    """An id becomes text, and the types say so; tags of the call are added to a caller's own."""
    uuid = UUID(int=7)
    assert build(user=7).caller == Caller(user="7")
    assert build(user=uuid).caller == Caller(user=str(uuid))
    assert build(user=None).caller == Caller()
    takes = get_type_hints(CallOptions)["user"]
    assert set(get_args(takes)) == {str, int, UUID, Caller, NoneType}
    caller = Caller(user="7", tenant="t", tags={"a": "1"})
    assert build(user=caller, tags={"b": "2"}).caller == Caller(
        user="7", tenant="t", tags={"a": "1", "b": "2"}
    )


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"feature": 5}, 'tags["feature"] has to be a str, not an int'),
        ({"feature": None}, 'tags["feature"] has to be a str, not None'),
        ({"feature": ["a"]}, 'tags["feature"] has to be a str, not a list'),
        ({5: "a"}, "the names in tags have to be of the type str, not an int"),
        ([("feature", "a")], "tags has to be a dict of strings, not a list"),
        ("x", "tags has to be a dict of strings, not a str"),
    ],
)
def test_tags_of_another_kind(tags: Any, said: str) -> None:
    """They are refused where they are given: the ledger, later, would not know whose they are."""
    with pytest.raises(TypeError, match=re.escape(said)):
        Caller(user=1, tags=tags)
    with pytest.raises(InvalidRequest, match=re.escape(said)):
        build(tags=tags)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([1], "groups[0] has to be a str, not an int"),
        (("a", None), "groups[1] has to be a str, not None"),
        ("staff", 'groups has to be a tuple of names, such as ("staff",), not one text'),
        (None, 'groups has to be a tuple of names, such as ("staff",), not None'),
        ({"staff": 1}, 'groups has to be a tuple of names, such as ("staff",), not a dict'),
    ],
)
def test_groups_of_another_kind(groups: Any, said: str) -> None:
    """They are refused where they are given. Other lists of names are as good as a tuple."""
    with pytest.raises(TypeError, match=re.escape(said)):
        Caller(user=1, groups=groups)
    names: Any = (name for name in ["a", "b"])
    assert Caller(groups=names).groups == ("a", "b")


def test_max_tokens_is_always_said() -> None:
    """The settings' default stands where the call says nothing; 0 is refused."""
    assert build().max_tokens == 10
    assert build(max_tokens=3).max_tokens == 3
    with pytest.raises(InvalidRequest):
        build(max_tokens=0)
