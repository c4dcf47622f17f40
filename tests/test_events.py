"""Events as values, and who is told of them."""

import asyncio
import logging
import pickle
from typing import Any

import attrs
import pytest

from smspop_async import events
from smspop_async.events import (
    CampaignPlanned,
    CampaignReconciled,
    CampaignRetried,
    CampaignSettled,
    CampaignSplit,
    CampaignSubmitted,
    Event,
    RunFinished,
    RunStarted,
    RunStopped,
    is_heard,
    listen,
    notify,
    tell,
)

RUN = "abcdefghij"
NAME = f"Label [{RUN}-0001]"
EVENTS: list[Any] = [
    RunStarted(run=RUN, name="Label", resumed=True),
    CampaignPlanned(name=NAME, contacts=2, run=RUN),
    CampaignSubmitted(name=NAME, contacts=2, run=RUN, server="sms.example"),
    CampaignRetried(name=NAME, attempt=1, delay=0.5, reason="RateLimitError", run=RUN),
    CampaignSettled(name=NAME, contacts=2, outcome="accepted", statuses={"sent": 2}, run=RUN),
    CampaignSplit(name=NAME, contacts=2, run=RUN),
    CampaignReconciled(name=NAME, looks=2, found=1, run=RUN),
    RunStopped(run=RUN, reason="cancelled"),
    RunFinished(run=RUN, total=2, statuses={"sent": 2}, elapsed=1.5, stopped=False),
]
by_kind = pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
SUBMITTED = EVENTS[2]


def test_the_examples_are_complete() -> None:
    """Every kind of event is looked at here."""
    assert {type(event) for event in EVENTS} == set(Event.__args__)


@by_kind
def test_an_event_is_a_frozen_value(event: Any) -> None:
    """An event cannot be changed, has no room for more, is built by keywords, and can be in a set."""
    (first, *_) = attrs.fields(type(event))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(event, first.name, "x")
    with pytest.raises(AttributeError):
        event.extra = 1
    assert not hasattr(event, "__dict__")
    assert all(field.kw_only for field in attrs.fields(type(event)))
    assert {event, attrs.evolve(event)} == {event}


@by_kind
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_event_crosses_a_process(event: Any, protocol: int) -> None:
    """An event pickles, into a queue or to a worker."""
    assert pickle.loads(pickle.dumps(event, protocol)) == event


@by_kind
def test_an_event_is_documented(event: Any) -> None:
    """Each says when it happens."""
    assert vars(type(event))["__doc__"]


# What a log line of it shows.


@pytest.mark.parametrize("number", ["263772345678", "+263 77 234 5678", "0772 345 678", "0772-345-678"])
def test_a_number_in_a_label_is_masked(number: str) -> None:
    """A label is the user's own text: a number in it is kept in the event, and masked in what is logged of it."""
    for kind in (event for event in EVENTS if hasattr(event, "name")):
        event = attrs.evolve(kind, name=f"For {number} [{RUN}-0001]")
        assert number in event.name
        assert number not in repr(event)
        assert f"[{RUN}-0001]" in repr(event)


def test_the_token_of_a_campaign_is_shown_whole() -> None:
    """A run's token may hold digits that look like a number; it is what a campaign is found by."""
    name = "Label [a234567723-0001]"
    assert name in repr(CampaignPlanned(name=name, contacts=1))
    assert repr(CampaignPlanned(name="No token", contacts=1)) == (
        "CampaignPlanned(name='No token', contacts=1, run='')"
    )


# Who is told.


@pytest.fixture
def heard() -> list[Event]:
    return []


def test_a_listener_hears_the_events_of_everybody(heard: list[Event]) -> None:
    """`listen` hears what happens on every client, with or without an observer, until it ends."""
    end = listen(heard.append)
    try:
        assert is_heard(None)
        notify(None, SUBMITTED)
        notify(lambda _: None, SUBMITTED)
        tell(None, RunStopped, run=RUN, reason="crash")
    finally:
        end()
    notify(None, SUBMITTED)
    assert heard == [SUBMITTED, SUBMITTED, RunStopped(run=RUN, reason="crash")]
    assert not is_heard(None)


def test_the_same_function_may_listen_twice(heard: list[Event]) -> None:
    """Each listening ends by itself, and ending one of them twice leaves the other alone."""
    first, second = listen(heard.append), listen(heard.append)
    try:
        first()
        first()
        notify(None, SUBMITTED)
        assert heard == [SUBMITTED]
    finally:
        second()


def test_who_begins_to_listen_meanwhile(heard: list[Event]) -> None:
    """An event goes to those who listened when it happened, and not to who was added on hearing it."""
    ends: list[Any] = []
    ends.append(listen(lambda _: ends.append(listen(heard.append))))
    try:
        notify(None, SUBMITTED)
        assert heard == []
        notify(None, SUBMITTED)
        assert heard == [SUBMITTED]
    finally:
        for end in ends:
            end()


def test_who_ends_to_listen_meanwhile(heard: list[Event]) -> None:
    """Who ends on hearing an event does not take it from the next."""
    end = listen(lambda _: end())
    other = listen(heard.append)
    try:
        notify(None, SUBMITTED)
        assert heard == [SUBMITTED]
    finally:
        end()
        other()


@pytest.mark.parametrize("error", [ValueError("263770000001"), asyncio.CancelledError("263770000001")])
def test_what_an_observer_raises_goes_no_further(
    error: BaseException, heard: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a listener nor an observer that raises keeps others from hearing; the log has the type alone.

    A CancelledError is no cancellation there: it is what a cancelled future of the observer's own raises.
    """

    def broken(event: Event) -> None:
        raise error

    ends = [listen(broken), listen(heard.append)]
    try:
        notify(broken, SUBMITTED)
    finally:
        for end in ends:
            end()
    assert heard == [SUBMITTED]
    assert caplog.text.count(f"raised {type(error).__name__} on CampaignSubmitted") == 2
    assert "263770000001" not in caplog.text


def test_an_interrupt_goes_its_way() -> None:
    """Ctrl-C in the middle of an observer is the user's, and ends the program."""

    def interrupted(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        notify(interrupted, SUBMITTED)


def test_a_listener_that_always_raises_is_logged_once_for_each_kind(caplog: pytest.LogCaptureFixture) -> None:
    """A run has thousands of events: the second complaint of a kind is not a warning any more."""

    def broken(event: Event) -> None:
        raise ValueError

    end = listen(broken)
    try:
        for _ in range(5):
            notify(None, SUBMITTED)
        notify(None, EVENTS[0])
    finally:
        end()
    assert len(caplog.records) == 2
    with caplog.at_level(logging.DEBUG, "smspop_async"):
        caplog.clear()
        end = listen(broken)
        notify(None, SUBMITTED)
        notify(None, SUBMITTED)
        end()
    levels = [record.levelname for record in caplog.records if "raised" in record.message]
    assert levels == ["WARNING", "DEBUG"]


# What is logged.


def test_events_are_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """Every event is a line of the logger ``smspop_async.events`` at DEBUG, and nothing is above that."""
    notify(None, SUBMITTED)
    assert not caplog.records
    assert not is_heard(None)
    with caplog.at_level(logging.DEBUG, "smspop_async"):
        assert is_heard(None)
        notify(None, SUBMITTED)
    assert [(record.name, record.levelname, record.message) for record in caplog.records] == [
        ("smspop_async.events", "DEBUG", str(SUBMITTED))
    ]
    with caplog.at_level(logging.DEBUG, "smspop_async"), caplog.at_level(logging.INFO, "smspop_async.events"):
        assert not is_heard(None)


def test_what_nobody_hears_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """`tell` makes no event where nobody would learn of it."""
    made: list[object] = []

    def make(**facts: Any) -> Event:
        made.append(facts)
        return RunStopped(**facts)

    tell(None, make, run=RUN, reason="crash")
    assert made == []
    tell(made.append, make, run=RUN, reason="crash")
    assert len(made) == 2


def test_there_is_one_list_of_listeners() -> None:
    """Nobody of this program listens unasked."""
    assert events._listeners == []
