"""What every peer is given, and what it gives back."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager

from attrs import frozen

TOKEN = "1|fake-token"  # noqa: S105 - visibly fake
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
CAMPAIGN = {
    "name": "Benchmark",
    "message": "Hello!",
    "sender_id": "BRAND1",
    "contact_import_method": "manual",
}


@frozen(kw_only=True)
class Job:
    """How to send."""

    api: str
    """The base URL."""
    chunk: int
    """Contacts in one campaign."""
    concurrency: int
    """Campaigns under way at once, where the peer can."""

    @property
    def url(self) -> str:
        return f"{self.api}/campaigns"

    def chunks(self, contacts: Sequence[str]) -> list[Sequence[str]]:
        return [contacts[at : at + self.chunk] for at in range(0, len(contacts), self.chunk)]


@frozen(kw_only=True)
class Tally:
    """What a peer says became of the contacts."""

    sent: int
    failed: int


Count = Callable[[], Tally]
Send = Callable[[Sequence[str]], Awaitable[Count]]
Peer = Callable[[Job], AbstractAsyncContextManager[Send]]


def body(chunk: Iterable[str]) -> dict[str, str]:
    """The documented request."""
    return {**CAMPAIGN, "manual_contacts": ", ".join(chunk)}


def tally(statuses: dict[str, str]) -> Tally:
    words = Counter(statuses.values())
    return Tally(sent=words["sent"], failed=words["failed"])
