"""Pace: the rate limit, adaptive concurrency and the breaker, without a clock of their own."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smspop_async import ConfigurationError, RateLimit
from smspop_async.batch.engine import split_budget
from smspop_async.batch.pace import Aimd, Breaker, Pacer


@given(
    per_contact=st.one_of(st.none(), st.floats(0.1, 1_000)),
    per_request=st.one_of(st.none(), st.floats(0.1, 100)),
    calls=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 500)), min_size=1, max_size=40),
)
def test_no_stretch_of_a_run_exceeds_either_limit(per_contact, per_request, calls):
    """Between any two campaigns there is the time that the first one's contacts, and one request, may take."""
    pacer, now, starts = (
        Pacer(RateLimit(contacts_per_second=per_contact, requests_per_second=per_request)),
        0.0,
        [],
    )
    for pause, contacts in calls:
        now += pause
        wait = pacer.reserve(now, contacts)
        assert wait >= 0
        starts.append((now + wait, contacts))
    for (before, contacts), (after, _) in pairwise(starts):
        if per_contact:
            assert after - before >= contacts / per_contact * (1 - 1e-9) - 1e-9
        if per_request:
            assert after - before >= 1 / per_request * (1 - 1e-9) - 1e-9


def test_without_a_limit_nobody_waits():
    """An empty RateLimit is none."""
    pacer = Pacer(RateLimit())
    assert [pacer.reserve(0, 500) for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), 10**400])
@pytest.mark.parametrize("which", ["contacts_per_second", "requests_per_second"])
def test_a_rate_that_is_not_above_zero_is_refused(which, wrong):
    """The error names the setting."""
    with pytest.raises(ConfigurationError, match=which):
        RateLimit(**{which: wrong})


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 64))
def test_adaptive_concurrency_stays_between_one_and_its_ceiling(overloads, ceiling):
    """Whatever happens, at least one campaign goes and never more than allowed."""
    aimd = Aimd(ceiling)
    for overload in overloads:
        aimd.overload() if overload else aimd.succeed()
        assert 1 <= aimd.limit <= ceiling


def test_one_round_of_refusals_halves_once_and_successes_climb_back():
    """Eight refusals of eight campaigns are one piece of news; then it climbs by one a round."""
    aimd = Aimd(8)
    for _ in range(8):
        aimd.overload()
    assert aimd.limit == 4
    for _ in range(5):
        aimd.succeed()
    assert aimd.limit == 5
    for _ in range(100):
        aimd.succeed()
    assert aimd.limit == 8


def test_the_breaker_opens_after_a_row_and_forgives_on_success():
    """Three unsent or twenty unclear campaigns in a row; an accepted one starts the count anew."""
    breaker = Breaker()
    assert [breaker.fail(unsent=True) for _ in range(2)] == [False, False]
    breaker.accept()
    assert [breaker.fail(unsent=True) for _ in range(3)] == [False, False, True]
    breaker.accept()
    assert [breaker.fail(unsent=False) for _ in range(20)] == [False] * 19 + [True]


@given(st.integers(1, 50_000))
def test_splitting_is_bounded_and_small_chunks_can_be_taken_apart(contacts):
    """Up to 36 contacts the whole tree of halves fits; a large chunk costs a fraction of its contacts."""
    budget = split_budget(contacts)
    assert budget <= 64 + contacts // 4
    if contacts <= 36:
        assert budget >= 2 * contacts - 2
