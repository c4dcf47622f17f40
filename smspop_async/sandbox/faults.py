"""What can be made to go wrong, and when.

Pure: a `FaultBook` decides, from its queue and its seeded dice, which fault meets a request. Playing the
fault is left to the socket side.

Whether the texts went out is what matters about a fault, so the kinds are named by it. "Before": nothing is
processed, nobody is texted. "After": the campaign is accepted, the texts count as sent and are billed,
and only the answer suffers. A request that the API refuses anyway is refused in either case.
"""

import random
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal, TypedDict, Unpack

from attrs import frozen

from smspop_async.config import is_number
from smspop_async.errors import ConfigurationError

Endpoint = Literal["POST", "GET"]

_LONGEST = 86_400
_HEADER_VALUE = re.compile(r"[ -~]*")
_LOWEST_STATUS, _HIGHEST_STATUS = 200, 999


class FaultKind(StrEnum):
    """The kinds of faults. ``fail_next(503)`` is short for ``fail_next(FaultKind.STATUS, status=503)``."""

    STATUS = "status"
    """Before: the given status, with the document's words where it has some.
    Takes ``status`` (default 503), ``retry_after``, ``message``, ``errors``, ``category``, ``location``."""
    REDIRECT = "redirect"
    """Before: 301 to the same address over https. Takes ``status`` and ``location``."""
    SUCCESS_FALSE = "success_false"
    """Before: 200 with ``{"success":false,…}``. Takes ``message``."""
    HANG_BEFORE = "hang_before"
    """Before: reads everything and never answers, until the sandbox closes."""
    RESET_BEFORE = "reset_before"
    """Before: reads everything and resets the connection (TCP RST)."""
    DISCONNECT_BEFORE = "disconnect_before"
    """Before: reads everything and closes the connection without a word (TCP FIN)."""
    NO_CREDITS = "no_credits"
    """The balance drops to 0 and stays there; this and the following requests meet that."""
    REVOKE_TOKEN = "revoke_token"  # noqa: S105 - the name of a fault
    """The token of the request is revoked; this and the following requests meet that."""
    LATENCY = "latency"
    """Waits ``seconds`` (default 1), then goes on as if nothing had happened."""
    HANG = "hang"
    """After: never answers, until the sandbox closes. The texts went out."""
    RESET_AFTER = "reset_after"
    """After: resets the connection (TCP RST). The texts went out."""
    DISCONNECT_AFTER = "disconnect_after"
    """After: closes the connection without a word (TCP FIN). The texts went out."""
    TRUNCATED = "truncated"
    """After: half of the body under the ``Content-Length`` of the whole, then the connection closes."""
    TRUNCATED_CHUNKED = "truncated_chunked"
    """After: half of the body in chunks without the last chunk, then the connection closes."""
    MALFORMED = "malformed"
    """After: the whole reply, with the stray commas of the document's own sample: not JSON."""
    HTML = "html"
    """After: status 200 and PHP's HTML page of a fatal error."""
    EMPTY = "empty"
    """After: status 200 and an empty body."""
    ERROR_AFTER = "error_after"
    """After: an error status as if the script had died. Takes ``status`` (default 500), ``retry_after``,
    ``message``."""
    CLOSE_AFTER_REPLY = "close_after_reply"
    """After: a good reply that promises keep-alive, then the connection closes."""


_SILENT = frozenset(
    {
        FaultKind.HANG,
        FaultKind.HANG_BEFORE,
        FaultKind.RESET_BEFORE,
        FaultKind.RESET_AFTER,
        FaultKind.DISCONNECT_BEFORE,
        FaultKind.DISCONNECT_AFTER,
    }
)
_SAYING = frozenset({"status", "message", "retry_after"})
_TAKES: Mapping[FaultKind, frozenset[str]] = {
    FaultKind.STATUS: _SAYING | {"errors", "category", "location"},
    FaultKind.REDIRECT: frozenset({"status", "location"}),
    FaultKind.SUCCESS_FALSE: frozenset({"message"}),
    FaultKind.LATENCY: frozenset({"seconds"}),
    FaultKind.ERROR_AFTER: _SAYING,
}
_DEFAULT_STATUS = {FaultKind.STATUS: 503, FaultKind.REDIRECT: 301, FaultKind.ERROR_AFTER: 500}


class FaultParameters(TypedDict, total=False):
    """What a fault may be told beyond its kind; each kind takes only what it can use."""

    status: int
    """An HTTP status from 200 to 999."""
    message: str
    """The words of the reply instead of the usual ones."""
    retry_after: float | str
    """The ``Retry-After`` header: seconds, or a text sent as it is."""
    errors: Mapping[str, Sequence[str]]
    """Field errors of a 422."""
    category: str
    """The category of a 403 for classified content."""
    location: str
    """Where a redirect leads."""
    seconds: float
    """How long to wait."""


@frozen(kw_only=True)
class Fault:
    """One fault, ready to meet a request. `fault` makes it and checks its parameters."""

    kind: FaultKind
    endpoint: Endpoint | None = "POST"
    """The method it waits for; None for any."""
    status: int | None = None
    message: str | None = None
    retry_after: float | str | None = None
    errors: Mapping[str, Sequence[str]] | None = None
    category: str | None = None
    location: str | None = None
    seconds: float = 1.0

    @property
    def silent(self) -> bool:
        """Whether it leaves the request without an answer."""
        return self.kind in _SILENT

    @property
    def label(self) -> str:
        """What it is in a word or two, for the request journal."""
        return f"{self.kind} {self.status}" if self.status else str(self.kind)


@frozen(kw_only=True)
class PendingFault:
    """A fault that waits: in the queue, or for its dice."""

    fault: Fault
    times: int | None = None
    """How many more requests it will meet; None for a fault of chance."""
    probability: float | None = None
    """Its chance per request; None for a fault of the queue."""


def make_fault(
    kind: int | str, *, endpoint: str | None = "POST", **parameters: Unpack[FaultParameters]
) -> Fault:
    """Return a fault.

    Args:
        kind: A `FaultKind`, its word, or an HTTP status, which stands for the kind ``status``.
        endpoint: The method it waits for, ``POST`` or ``GET``; None for any.
        **parameters: What the kind takes.

    Raises:
        ConfigurationError: There is no such kind or endpoint, or the kind takes no such parameter.
    """
    if isinstance(kind, int):
        kind, parameters = FaultKind.STATUS, {**parameters, "status": int(kind)}
    known = _known_kind(kind)
    _check(known, parameters)
    if endpoint not in ("POST", "GET", None):
        raise ConfigurationError('The endpoint of a fault is "POST", "GET" or None (both).')
    status = parameters.get("status", _DEFAULT_STATUS.get(known))
    values: dict[str, Any] = {**parameters, "endpoint": endpoint, "status": status}
    return Fault(kind=known, **values)


def _known_kind(kind: str) -> FaultKind:
    try:
        return FaultKind(kind)
    except ValueError:
        kinds = ", ".join(FaultKind)
        raise ConfigurationError(
            f"There is no such kind of fault. Use an HTTP status or one of: {kinds}."
        ) from None


def _check(kind: FaultKind, parameters: Mapping[str, Any]) -> None:
    takes = _TAKES.get(kind, frozenset())
    if unknown := sorted(parameters.keys() - takes):
        words = ", ".join(sorted(takes)) or "no parameters"
        raise ConfigurationError(f"The fault {kind} does not take {', '.join(unknown)}; it takes {words}.")
    status, seconds = parameters.get("status", _LOWEST_STATUS), parameters.get("seconds", 0.0)
    if not _LOWEST_STATUS <= status <= _HIGHEST_STATUS:
        raise ConfigurationError(f"The status of a fault is {_LOWEST_STATUS} to {_HIGHEST_STATUS}.")
    if not 0 <= seconds <= _LONGEST:
        raise ConfigurationError(f"The seconds of a fault are 0 to {_LONGEST}.")
    wait = parameters.get("retry_after")
    if not (wait is None or isinstance(wait, str) or is_number(wait)):
        raise ConfigurationError("The retry_after of a fault is a number of seconds, or a text.")
    for name in ("retry_after", "location"):
        if not _HEADER_VALUE.fullmatch(str(parameters.get(name, ""))):
            raise ConfigurationError(f"The {name} of a fault goes into a header: use visible ASCII.")


class FaultBook:
    """The faults that wait. Queued ones come first, in the order they were put in; then the dice are cast."""

    def __init__(self) -> None:
        self._queue: list[PendingFault] = []
        self._chances: list[tuple[PendingFault, random.Random]] = []

    def put(self, fault: Fault, *, times: int) -> None:
        """Let ``fault`` meet the next ``times`` requests of its endpoint.

        Raises:
            ConfigurationError: ``times`` is less than 1.
        """
        if times < 1:
            raise ConfigurationError("A fault is to happen at least once.")
        self._queue.append(PendingFault(fault=fault, times=times))

    def put_chance(self, fault: Fault, *, probability: float, dice: random.Random) -> None:
        """Let ``fault`` meet each request of its endpoint with a probability, by its own dice.

        Raises:
            ConfigurationError: ``probability`` is not within 0 and 1.
        """
        if not 0 <= probability <= 1:
            raise ConfigurationError("The probability of a fault is within 0 and 1.")
        self._chances.append((PendingFault(fault=fault, probability=probability), dice))

    def pending(self) -> list[PendingFault]:
        """Return the faults that wait, in the order they are considered."""
        return self._queue + [pending for pending, _ in self._chances]

    def clear(self) -> None:
        """Forget every fault."""
        self._queue.clear()
        self._chances.clear()

    def take(self, method: str) -> Fault | None:
        """Return the fault that meets a request, and use it up."""
        for position, pending in enumerate(self._queue):
            if pending.fault.endpoint in (method, None):
                self._use_up(position, pending)
                return pending.fault
        # Every die is cast even when an earlier one has hit, so that one fault's luck never shifts another's.
        hits = [
            pending.fault
            for pending, dice in self._chances
            if pending.fault.endpoint in (method, None) and dice.random() < (pending.probability or 0.0)
        ]
        return hits[0] if hits else None

    def _use_up(self, position: int, pending: PendingFault) -> None:
        left = (pending.times or 1) - 1
        if left:
            self._queue[position] = PendingFault(fault=pending.fault, times=left)
        else:
            del self._queue[position]
