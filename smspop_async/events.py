"""Frozen facts that an observer may listen to: ``SmsPop(on_event=…)``, plain or async.

An event names runs and campaigns, and counts. It never holds a token, a message text or a phone number. `listen` is
for instruments that watch every client of the program; ``on_event`` is for one client.

A name is the user's own text, and may hold a number all the same: "Reminder for 0772 345 678". An event has it as it
is, because an observer may look for it; the event's ``repr``, and so the log, shows it with the number masked.
"""

import logging
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from typing import ParamSpec

from attrs import field, frozen

from smspop_async.mask import mask_name

_log = logging.getLogger("smspop_async.events")

_P = ParamSpec("_P")


@frozen(kw_only=True)
class RunStarted:
    """A send, a stream or a resume begins."""

    run: str
    """The token in the names of its campaigns."""
    name: str = field(repr=mask_name)
    """What its campaigns are called."""
    resumed: bool = False
    """Whether it goes on with what a journal holds."""


@frozen(kw_only=True)
class CampaignPlanned:
    """Contacts were put together to be one campaign; with a journal, they are about to be written down."""

    name: str = field(repr=mask_name)
    contacts: int
    run: str = ""


@frozen(kw_only=True)
class CampaignSubmitted:
    """A campaign is about to be posted: told once for each request, so again after a `CampaignRetried`."""

    name: str = field(repr=mask_name)
    contacts: int
    run: str = ""
    """The run that it is part of; "" for ``campaigns.create``, as in all events of campaigns."""
    server: str = ""
    """The host that it is posted to."""


@frozen(kw_only=True)
class CampaignRetried:
    """A campaign that is proven unsent, or was turned away by a rate limit, will be tried again."""

    name: str = field(repr=mask_name)
    attempt: int
    """The number of the attempt that failed, from 1."""
    delay: float
    """Seconds until the next one."""
    reason: str
    run: str = ""


@frozen(kw_only=True)
class CampaignSettled:
    """What became of a campaign is known, or known to be unknown."""

    name: str = field(repr=mask_name)
    contacts: int
    outcome: str
    """accepted, rejected, unknown or not_submitted."""
    statuses: Mapping[str, int] = field(factory=dict[str, int], hash=False)
    """How many of its contacts have which status, by the words of `Status`."""
    run: str = ""
    reason: str = ""
    """The class of the error, for one that was not accepted; "" where it is not known any more."""


@frozen(kw_only=True)
class CampaignSplit:
    """The API refused a campaign for some of its contacts; its halves are submitted instead."""

    name: str = field(repr=mask_name)
    contacts: int
    run: str = ""


@frozen(kw_only=True)
class CampaignReconciled:
    """A campaign of unknown outcome was looked for in the list of campaigns."""

    name: str = field(repr=mask_name)
    looks: int
    found: int
    """How many campaigns of this name there are: 0 proves nothing, above 1 it went out more than once."""
    run: str = ""


@frozen(kw_only=True)
class RunStopped:
    """A run dispatches nothing more before its contacts ran out."""

    run: str
    reason: str


@frozen(kw_only=True)
class RunFinished:
    """A run is over, and every row that was read is accounted for."""

    run: str
    total: int
    """Rows read."""
    statuses: Mapping[str, int] = field(hash=False)
    """How many of them have which status, by the words of `Status`; those that none has are left out."""
    elapsed: float
    """Seconds."""
    stopped: bool
    """Whether it ended before its contacts ran out."""


Event = (
    RunStarted
    | CampaignPlanned
    | CampaignSubmitted
    | CampaignRetried
    | CampaignSettled
    | CampaignSplit
    | CampaignReconciled
    | RunStopped
    | RunFinished
)
Observer = Callable[[Event], object]


class _Listener:
    """One that listens; the same function may listen twice."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.complaints: set[str] = set()


_listeners: list[_Listener] = []


def listen(observer: Observer) -> Callable[[], None]:
    """Have `observer` told about the events of every client in this program, in the loop: it must be quick.

    It is called in the task and the context in which the event happens.

    Args:
        observer: Told about each event; whatever it raises is logged and goes no further.

    Returns:
        What ends the listening. It may be called twice.
    """
    listener = _Listener(observer)
    _listeners.append(listener)

    def end() -> None:
        if listener in _listeners:
            _listeners.remove(listener)

    return end


def is_heard(observer: Observer | None) -> bool:
    """Tell whether anybody would learn of an event: where nobody does, it need not be made."""
    return observer is not None or bool(_listeners) or _log.isEnabledFor(logging.DEBUG)


def tell(observer: Observer | None, kind: Callable[_P, Event], *args: _P.args, **facts: _P.kwargs) -> None:
    """Make an event and tell it as `notify` does; where nobody would learn of it, it is not made."""
    if is_heard(observer):
        notify(observer, kind(*args, **facts))


def notify(observer: Observer | None, event: Event) -> None:
    """Tell `observer` and all that listen; whatever they raise is logged and goes no further."""
    _log.debug("%s", event)
    for listener in tuple(_listeners):
        _call(listener.observer, event, listener.complaints)
    if observer is not None:
        _call(observer, event, set())


def _call(observer: Observer, event: Event, complaints: set[str]) -> None:
    try:
        observer(event)
    # An observer must not hurt the run. Nobody can be cancelled in a call that does not wait, so that a CancelledError
    # is what a future of the observer's own held.
    except (Exception, CancelledError) as error:  # noqa: BLE001
        complain(error, event, complaints)


def complain(error: BaseException, event: Event, before: set[str]) -> None:
    """Log what an observer raised. The text is the observer's own and may hold anything, so only its type is told.

    Args:
        error: What it raised.
        event: On what.
        before: What was logged of this observer before. A run has many events, so that each kind is a warning once.
    """
    kind = f"{type(error).__name__} on {type(event).__name__}"
    _log.log(logging.DEBUG if kind in before else logging.WARNING, "The on_event observer raised %s", kind)
    before.add(kind)
