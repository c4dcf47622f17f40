"""Frozen facts that an observer may listen to: ``SmsPop(on_event=…)``, plain or async.

An event names runs and campaigns, and counts. It never holds a token, a message text or a phone number. `listen` is
for instruments that watch every client of the program; ``on_event`` is for one client.
"""

import logging
from collections.abc import Callable, Mapping

from attrs import field, frozen

_log = logging.getLogger("smspop_async")


@frozen(kw_only=True)
class RunStarted:
    """A send, a stream or a resume begins."""

    run: str
    """The token in the names of its campaigns."""
    name: str
    """What its campaigns are called."""
    resumed: bool = False
    """Whether it goes on with what a journal holds."""


@frozen(kw_only=True)
class CampaignPlanned:
    """Contacts were put together to be one campaign; with a journal, they are about to be written down."""

    name: str
    contacts: int
    run: str = ""


@frozen(kw_only=True)
class CampaignSubmitted:
    """A campaign is about to be posted."""

    name: str
    contacts: int
    run: str = ""
    """The run that it is part of; "" for ``campaigns.create``, as in all events of campaigns."""


@frozen(kw_only=True)
class CampaignRetried:
    """A campaign that is proven unsent, or was turned away by a rate limit, will be tried again."""

    name: str
    attempt: int
    """The number of the attempt that failed, from 1."""
    delay: float
    """Seconds until the next one."""
    reason: str
    run: str = ""


@frozen(kw_only=True)
class CampaignSettled:
    """What became of a campaign is known, or known to be unknown."""

    name: str
    contacts: int
    outcome: str
    """accepted, rejected, unknown or not_submitted."""
    statuses: Mapping[str, int] = field(factory=dict[str, int])
    """How many of its contacts have which status, by the words of `Status`."""
    run: str = ""


@frozen(kw_only=True)
class CampaignSplit:
    """The API refused a campaign for some of its contacts; its halves are submitted instead."""

    name: str
    contacts: int
    run: str = ""


@frozen(kw_only=True)
class CampaignReconciled:
    """A campaign of unknown outcome was looked for in the list of campaigns."""

    name: str
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
    statuses: Mapping[str, int]
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

_listeners: list[Observer] = []


def listen(observer: Observer) -> Callable[[], None]:
    """Have `observer` told about the events of every client in this program, in the loop: it must be quick.

    Args:
        observer: Told about each event; whatever it raises is logged and goes no further.

    Returns:
        What ends the listening.
    """
    _listeners.append(observer)

    def end() -> None:
        if observer in _listeners:
            _listeners.remove(observer)

    return end


def is_heard(observer: Observer | None) -> bool:
    """Tell whether anybody would learn of an event: where nobody does, it need not be made."""
    return observer is not None or bool(_listeners) or _log.isEnabledFor(logging.DEBUG)


def notify(observer: Observer | None, event: Event) -> None:
    """Tell `observer` and all that listen; whatever they raise is logged and goes no further."""
    _log.debug("%s", event)
    for each in (*_listeners, observer):
        if each is not None:
            try:
                each(event)
            except Exception as error:  # noqa: BLE001 - an observer must not hurt the run
                complain(error, event)


def complain(error: Exception, event: Event | None = None) -> None:
    """Log what an observer raised. The text is the observer's own and may hold anything, so only its type is told."""
    on = f" on {type(event).__name__}" if event is not None else ""
    _log.warning("The on_event observer raised %s%s", type(error).__name__, on)
