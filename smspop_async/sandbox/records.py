"""What the sandbox remembers, as frozen values whose ``repr`` tells neither a text nor a whole number.

A campaign keeps its recipients as the one comma-joined string they arrived in (13 bytes a contact) and
its messages are made when they are asked for. Searching a number is a substring search over those
strings, which is faster than any index at the sizes a sandbox sees and costs a POST nothing.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from attrs import field, frozen

from smspop_async.mask import mask_name

SENT = "sent"
FAILED = "failed"


def mask_number(number: str) -> str:
    """Return the last four digits of ``number`` behind an ellipsis: enough to tell two test numbers apart."""
    return f"…{number[-4:]}"


def mask_text(text: str) -> str:
    """Return the length of ``text`` in its place."""
    return f"<{len(text)} characters>"


@frozen(kw_only=True)
class Message:
    """One text to one recipient, as the sandbox would have handed it to the network.

    A number that stands twice in a campaign, or in two campaigns, makes two messages: that is how a
    double send shows.
    """

    to: str = field(repr=mask_number)
    """The recipient, digits only."""
    text: str = field(repr=mask_text)
    """The text, trimmed as Laravel trims every string (assumed)."""
    sender_id: str
    campaign: str = field(repr=mask_name)
    """The name of the campaign it belongs to."""
    campaign_id: int
    status: str
    """``sent``, ``failed``, or the word of a magic recipient."""
    at: datetime
    """When the campaign was accepted, in UTC."""
    segments: int
    """How many SMS the text takes, which is what it costs in credits."""


@frozen(kw_only=True)
class Campaign:
    """One accepted campaign."""

    id: int
    name: str = field(repr=mask_name)
    message: str = field(repr=mask_text)
    sender_id: str
    status: str = "approved"
    """``approved``, as in the document's sample reply."""
    created_at: datetime
    segments: int
    """How many SMS the text takes."""
    numbers: str = field(repr=False)
    """The recipients in the order given: digits, joined by commas."""
    total: int
    """How many recipients, repetitions counted."""
    failed: int = 0
    """How many recipients have the status ``failed``."""
    odd: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    """The status of each recipient that is not plainly ``sent``, by number."""

    @property
    def sent(self) -> int:
        """How many recipients were sent the text."""
        return self.total - self.failed

    @property
    def credits(self) -> int:
        """What the campaign cost: one credit per segment per recipient sent to (assumed)."""
        return self.sent * self.segments

    @property
    def contacts(self) -> tuple[str, ...]:
        """The recipients in the order given, repetitions kept."""
        return tuple(self.numbers.split(","))

    def status_of(self, number: str) -> str:
        """Return the status of one of its recipients."""
        return self.odd.get(number, SENT)

    def count(self, to: str | None = None) -> int:
        """How many messages `messages` has."""
        if to is None:
            return self.total
        return self.numbers.split(",").count(to) if to in self.numbers else 0

    def messages(self, to: str | None = None) -> Iterator[Message]:
        """Yield its messages, in the order of the recipients.

        Args:
            to: Only those to this number, digits only. None for all.
        """
        if to is not None and to not in self.numbers:
            return
        for number in self.numbers.split(","):
            if to is None or number == to:
                yield self._message(number)

    def _message(self, number: str) -> Message:
        return Message(
            to=number,
            text=self.message,
            sender_id=self.sender_id,
            campaign=self.name,
            campaign_id=self.id,
            status=self.status_of(number),
            at=self.created_at,
            segments=self.segments,
        )


@frozen(kw_only=True)
class CreditEntry:
    """One line of the credit statement."""

    at: datetime
    change: int
    """Credits added, or spent where negative."""
    balance: int
    """Credits left after it."""
    campaign_id: int | None = None
    """The campaign that spent them; None where the balance was set by hand."""
