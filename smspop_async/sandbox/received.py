"""The journal of requests: what the API was asked, what it answered, and a command to ask it again.

Bounded in number and in bytes, so that a sandbox can run for weeks. A token never gets in: headers that
carry secrets are masked before a request is kept.
"""

import shlex
from collections.abc import Callable, Iterable
from datetime import datetime

from attrs import evolve, field, frozen

from smspop_async.sandbox.replies import mask_body

KEPT_REQUESTS = 1_000
KEPT_BYTES = 32 * 1024 * 1024

_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})
_TRANSPORT_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "accept-encoding"}
)


@frozen(kw_only=True)
class RecordedRequest:
    """One request as it was received."""

    id: int
    at: datetime
    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    """Name and value as sent; values of secret headers are masked."""
    body: bytes = field(repr=mask_body)
    status: int | None = None
    """The status answered; None where no answer was given (yet)."""
    fault: str | None = None
    """The fault that met it, in a word or two."""

    @property
    def path(self) -> str:
        """The path with its query."""
        return "/" + self.url.split("/", 3)[3]

    def as_curl(self) -> str:
        """Return a shell command that sends the request again, with the token taken from ``SMSPOP_TOKEN``."""
        words = ["curl", "-X", self.method, shlex.quote(self.url)]
        for name, value in self.headers:
            if name.lower() == "authorization":
                words += ["-H", '"Authorization: Bearer $SMSPOP_TOKEN"']
            elif name.lower() not in _TRANSPORT_HEADERS | _SECRET_HEADERS:
                words += ["-H", shlex.quote(f"{name}: {value}")]
        if self.body:
            words += ["--data-raw", shlex.quote(self.body.decode(errors="replace"))]
        return " ".join(words)


class RequestJournal:
    """The latest requests.

    Args:
        on_request: Is called after every request kept.
    """

    def __init__(self, *, on_request: Callable[[], None]) -> None:
        self._on_request = on_request
        self._requests: dict[int, RecordedRequest] = {}
        self._received = 0
        self._bytes = 0

    def receive(
        self,
        *,
        at: datetime,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        fault: str | None,
    ) -> int:
        """Keep a request and return its number; forget the oldest beyond the bounds."""
        self._received += 1
        self._requests[self._received] = RecordedRequest(
            id=self._received,
            at=at,
            method=method,
            url=url,
            headers=tuple((name, mask_header(name, value)) for name, value in headers),
            body=body,
            fault=fault,
        )
        self._bytes += len(body)
        while len(self._requests) > KEPT_REQUESTS or self._bytes > KEPT_BYTES:
            oldest = self._requests.pop(next(iter(self._requests)))
            self._bytes -= len(oldest.body)
        self._on_request()
        return self._received

    def answer(self, number: int, status: int) -> None:
        """Note what was answered to a request, if it is still kept."""
        if (request := self._requests.get(number)) is not None:
            self._requests[number] = evolve(request, status=status)

    def requests(self) -> list[RecordedRequest]:
        """Return the requests kept, oldest first."""
        return list(self._requests.values())

    def clear(self) -> None:
        """Forget every request; the numbers go on, so that a late answer never meets the wrong one."""
        self._requests.clear()
        self._bytes = 0


def mask_header(name: str, value: str) -> str:
    """Return the value of a header, its secret masked if it carries one."""
    if name.lower() not in _SECRET_HEADERS:
        return value
    scheme, space, _ = value.partition(" ")
    return f"{scheme} ***" if space and scheme.isalpha() else "***"
