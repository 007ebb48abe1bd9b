"""The plan: which attempt comes next, and when none does."""

from __future__ import annotations

import pytest

from llmkit.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    InvalidRequest,
    LLMKitError,
    ProviderTimeout,
    RateLimited,
    ServerFailed,
)
from llmkit.policy.backoff import RetryPolicy
from llmkit.policy.plan import GiveUp, Plan, Route, Try
from llmkit.providers.openai import OpenAI


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def route(name: str) -> Route:
    return Route(OpenAI(name, api_key=None), "m")


def make_plan(
    *names: str, time: Time | None = None, attempts: int = 4, deadline: float = 700.0
) -> Plan:
    return Plan(
        [route(name) for name in names],
        RetryPolicy(attempts=attempts, wait_initial=1, wait_max=8, wait_jitter=0.5),
        deadline=deadline,
        clock=time or Time(),
        chance=lambda: 0.5,
    )


def go(plan: Plan, *errors: LLMKitError) -> list[tuple[str, float] | str]:
    """Let the attempts fail one by one; list what the plan says."""
    said: list[tuple[str, float] | str] = []
    for error in errors:
        step = plan.next()
        assert isinstance(step, Try)
        said.append((step.route.provider.name, step.wait))
        plan.failed(error)
    step = plan.next()
    if isinstance(step, GiveUp):
        said.append(type(step.error).__name__)
    else:
        said.append((step.route.provider.name, step.wait))
    return said


def test_first_attempt_is_made_at_once() -> None:
    """The preferred route is tried first, without a wait, as attempt 1."""
    step = make_plan("a", "b").next()
    assert isinstance(step, Try)
    assert (step.route.provider.name, step.attempt, step.wait) == ("a", 1, 0.0)


def test_waits_grow_and_attempts_end() -> None:
    """One route is tried again after 1, 2 and 4 seconds, four times in all."""
    time = Time()
    plan = make_plan("a", time=time)
    waits = []
    for _ in range(4):
        step = plan.next()
        assert isinstance(step, Try)
        waits.append(step.wait)
        time.now += step.wait
        plan.failed(ServerFailed("no"))
    assert waits == [0.0, 1.0, 2.0, 4.0]
    assert isinstance(plan.next(), GiveUp)


def test_next_route_is_tried_at_once() -> None:
    """A failure moves on to the next route without a wait; when all have failed, the wait begins."""
    assert go(make_plan("a", "b"), ServerFailed("no"), ServerFailed("no")) == [
        ("a", 0.0),
        ("b", 0.0),
        ("a", 1.0),
    ]


def test_what_cannot_mend_is_not_repeated() -> None:
    """A refused key ends its route; with no other route it ends the call, with that error."""
    assert go(make_plan("a"), AuthenticationFailed("no")) == [("a", 0.0), "AuthenticationFailed"]
    assert go(make_plan("a", "b"), AuthenticationFailed("no"), ServerFailed("no")) == [
        ("a", 0.0),
        ("b", 0.0),
        ("b", 1.0),
    ]


def test_retry_after_is_honoured() -> None:
    """What a provider asks for is waited for, jitter added; a route that asks for too long is left."""
    slow, too_slow = RateLimited("slow", retry_after=4.0), RateLimited("slow", retry_after=9.0)
    assert go(make_plan("a"), slow) == [("a", 0.0), ("a", 5.0)]
    assert go(make_plan("a"), too_slow) == [("a", 0.0), "RateLimited"]
    assert go(make_plan("a", "b"), too_slow, ServerFailed("no")) == [
        ("a", 0.0),
        ("b", 0.0),
        ("b", 1.0),
    ]


def test_wait_beyond_the_deadline_gives_up_at_once() -> None:
    """A wait that the call has no time for is not begun."""
    error = RateLimited("slow", retry_after=5.0)
    assert go(make_plan("a", deadline=105.0), error) == [("a", 0.0), "RateLimited"]


def test_silence_is_answered_with_one_more_attempt() -> None:
    """A first-content timeout may be on the bill, so there is one more attempt and not three."""
    silence = ProviderTimeout("first_content", 1)
    assert go(make_plan("a"), silence, silence) == [("a", 0.0), ("a", 1.0), "ProviderTimeout"]


def test_past_the_deadline_nothing_is_tried() -> None:
    """When the call's time is over the last error is raised."""
    time = Time()
    plan = make_plan("a", "b", time=time, deadline=110.0)
    plan.next()
    time.now = 111.0
    plan.failed(ServerFailed("no"))
    assert isinstance(plan.next(), GiveUp)


@pytest.mark.parametrize(
    ("failures", "retry_after", "chance", "wait"),
    [
        (1, None, 0.5, 1.0),
        (3, None, 0.5, 4.0),
        (10, None, 0.5, 8.0),
        (1, None, 0.0, 0.5),
        (1, None, 1.0, 1.5),
        (1, 6.0, 0.0, 6.0),
        (1, 6.0, 1.0, 9.0),
        (1, 8.0, 0.0, 8.0),
        (1, 8.001, 0.0, None),
        (1, 0.0, 0.5, 1.0),
        (4, 2.0, 0.5, 8.0),
        (10_000, None, 0.5, 8.0),
    ],
)
def test_delay(failures: int, retry_after: float | None, chance: float, wait: float | None) -> None:
    """The wait doubles up to its limit and jitters both ways; it never undercuts Retry-After, and ends at the limit."""
    policy = RetryPolicy(wait_initial=1, wait_max=8, wait_jitter=0.5)
    assert policy.delay(failures, retry_after=retry_after, chance=chance) == wait


def test_an_untried_route_comes_before_one_that_failed() -> None:
    """Also when the wait of the failed one is over, for its failure took longer than that: each route is asked once first."""
    time = Time()
    plan = make_plan("a", "b", "c", time=time)
    asked = []
    for _ in range(3):
        step = plan.next()
        assert isinstance(step, Try)
        asked.append((step.route.provider.name, step.wait))
        time.now += 1.5  # how long each of them takes to fail
        plan.failed(ServerFailed("x"))
    assert asked == [("a", 0.0), ("b", 0.0), ("c", 0.0)]
    step = plan.next()
    assert isinstance(step, Try)
    assert step.route.provider.name == "a"


def test_a_route_that_cannot_say_the_call_is_passed_over() -> None:
    """It is no attempt, and its error is the call's only if nothing else went wrong."""
    plan = make_plan("a", "b", attempts=2)
    plan.next()
    plan.failed(ServerFailed("x"))
    plan.next()
    plan.passed_over(InvalidRequest("b does not know seed"))
    step = plan.next()
    assert isinstance(step, Try)
    assert (step.route.provider.name, step.attempt) == ("a", 2)
    plan.failed(ServerFailed("y"))
    step = plan.next()
    assert isinstance(step, GiveUp)
    assert isinstance(step.error, ServerFailed)
    alone = make_plan("a")
    alone.next()
    alone.passed_over(InvalidRequest("a does not know seed"))
    step = alone.next()
    assert isinstance(step, GiveUp)
    assert isinstance(step.error, InvalidRequest)


def test_a_stale_connection_is_no_failure_of_the_provider() -> None:
    """The same route is asked again at once, as another attempt; the next failure waits as a first one."""
    stale = ConnectionFailed("x")
    stale.stale = True
    assert go(make_plan("a", "b"), stale, ServerFailed("x"), ServerFailed("x")) == [
        ("a", 0.0),
        ("a", 0.0),
        ("b", 0.0),
        ("a", 1.0),
    ]
    assert go(make_plan("a", attempts=2), stale, stale) == [
        ("a", 0.0),
        ("a", 0.0),
        "ConnectionFailed",
    ]


def test_only_one_stale_connection_is_made_up_for_at_once() -> None:
    """Each attempt after one goes over a new connection; a second one in the same call waits as any failure does."""
    stale = ConnectionFailed("x")
    stale.stale = True
    plan = make_plan("a", "b")
    steps = []
    for error in (stale, ServerFailed("x"), stale):
        step = plan.next()
        assert isinstance(step, Try)
        steps.append((step.route.provider.name, step.wait, step.fresh))
        plan.failed(error)
    step = plan.next()
    assert isinstance(step, Try)
    steps.append((step.route.provider.name, step.wait, step.fresh))
    assert steps == [
        ("a", 0.0, False),
        ("a", 0.0, True),
        ("b", 0.0, False),
        ("a", 1.0, False),
    ]
    plan = make_plan("a")
    waits = []
    for _ in range(4):
        step = plan.next()
        assert isinstance(step, Try)
        waits.append((step.wait, step.fresh))
        plan.failed(stale)
    assert waits == [(0.0, False), (0.0, True), (1.0, True), (2.0, True)]
