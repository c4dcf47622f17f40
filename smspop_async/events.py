"""Frozen facts that an observer may listen to: ``SmsPop(on_event=…)``.

An event names campaigns and counts. It never holds a token, a message text or a phone number.
"""

import logging
from collections.abc import Callable

from attrs import frozen

_log = logging.getLogger("smspop_async")


@frozen(kw_only=True)
class CampaignSubmitted:
    """A campaign is about to be posted."""

    name: str
    contacts: int


@frozen(kw_only=True)
class CampaignRetried:
    """A campaign that is proven unsent, or was turned away by a rate limit, will be tried again."""

    name: str
    attempt: int
    """The number of the attempt that failed, from 1."""
    delay: float
    """Seconds until the next one."""
    reason: str


@frozen(kw_only=True)
class CampaignSettled:
    """What became of a campaign is known, or known to be unknown."""

    name: str
    contacts: int
    outcome: str
    """accepted, rejected, unknown or not_submitted."""


@frozen(kw_only=True)
class CampaignSplit:
    """The API refused a campaign for some of its contacts; its halves are submitted instead."""

    name: str
    contacts: int


@frozen(kw_only=True)
class CampaignReconciled:
    """A campaign of unknown outcome was looked for in the list of campaigns."""

    name: str
    looks: int
    found: int
    """How many campaigns of this name there are: 0 proves nothing, above 1 it went out more than once."""


@frozen(kw_only=True)
class RunStopped:
    """A run dispatches nothing more before its contacts ran out."""

    run: str
    reason: str


Event = (
    CampaignSubmitted | CampaignRetried | CampaignSettled | CampaignSplit | CampaignReconciled | RunStopped
)
Observer = Callable[[Event], object]


def is_heard(observer: Observer | None) -> bool:
    """Tell whether anybody would learn of an event: where nobody does, it need not be made."""
    return observer is not None or _log.isEnabledFor(logging.DEBUG)


def notify(observer: Observer | None, event: Event) -> None:
    """Tell `observer`; whatever it raises is logged and goes no further."""
    _log.debug("%s", event)
    if observer is None:
        return
    try:
        observer(event)
    except Exception as error:  # noqa: BLE001 - an observer must not hurt the run
        # The exception's text is the observer's own and may hold anything, so only its type is told.
        _log.warning("The on_event observer raised %s on %s", type(error).__name__, type(event).__name__)
