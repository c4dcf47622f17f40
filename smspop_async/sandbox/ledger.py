"""The state of the one account a sandbox has: tokens, sender IDs, credits and campaigns.

Pure and synchronous: time and randomness are passed in. Every change is also told to ``on_change`` as a
small JSON-able entry, and `Ledger.replay` builds the same state again from those entries; that is all
there is to keeping a sandbox across runs.
"""

import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import accumulate
from typing import Any

from smspop_async.sandbox.magic import MagicTable, magic_among
from smspop_async.sandbox.records import FAILED, SENT, Campaign, CreditEntry, Message
from smspop_async.sandbox.segments import count_segments
from smspop_async.sandbox.validation import Submission

Entry = Mapping[str, Any]
"""One change of the ledger: a mapping with a single key that says what changed."""


class Ledger:
    """One account.

    Args:
        token: The ready token.
        senders: The sender IDs of the account; the API distinguishes upper and lower case (assumed).
        credits: The opening balance.
        clock: Tells the time, with its time zone.
        make_secret: Makes the random part of a token.
        on_change: Is told every change, after it happened.
        magic: The recipients with a fixed fate.
    """

    def __init__(
        self,
        *,
        token: str,
        senders: Iterable[str],
        credits: int,  # noqa: A002 - the word of the field
        clock: Callable[[], datetime],
        make_secret: Callable[[], str],
        on_change: Callable[[Entry], None],
        magic: MagicTable,
    ) -> None:
        self.magic = magic
        self._opening_senders = tuple(senders)
        self._opening_credits = credits
        self._clock = clock
        self._make_secret = make_secret
        self._on_change = on_change
        self.token: str = token
        self._restore()

    def _restore(self) -> None:
        self.campaigns: list[Campaign] = []
        self.tokens: set[str] = {self.token}
        self._tokens_made = 1
        self.senders: dict[str, None] = dict.fromkeys(self._opening_senders)
        self.active: bool = True
        self.credits: int = self._opening_credits
        self.statement: list[CreditEntry] = [
            CreditEntry(at=self._clock(), change=self.credits, balance=self.credits)
        ]

    # --- what the API asks ---

    def knows_token(self, token: str) -> bool:
        """Tell whether ``token`` is valid, in time that does not depend on where it differs."""
        presented = token.encode(errors="surrogateescape")  # a header may hold any bytes
        matches = [hmac.compare_digest(presented, known.encode()) for known in self.tokens]
        return any(matches)

    def accept(self, submission: Submission) -> Campaign | None:
        """Send a campaign and bill it: one credit per segment per recipient sent to (assumed).

        Returns:
            The campaign, or None, and nothing sent, where the credits do not cover all recipients.
        """
        segments = count_segments(submission.message)
        if self.credits < segments * submission.total:
            return None
        recipients = magic_among(submission.numbers, self.magic)
        odd = {number: magic.status for number, magic in recipients.items() if magic.status != SENT}
        campaign = Campaign(
            id=len(self.campaigns) + 1,
            name=submission.name,
            message=submission.message,
            sender_id=submission.sender_id,
            created_at=self._clock(),
            segments=segments,
            numbers=submission.numbers,
            total=submission.total,
            failed=_count_failed(submission.numbers, odd),
            odd=odd,
        )
        self._book(campaign)
        self._on_change({"campaign": _campaign_entry(campaign)})
        return campaign

    def _book(self, campaign: Campaign) -> None:
        self.campaigns.append(campaign)
        self.credits -= campaign.credits
        self.statement.append(
            CreditEntry(
                at=campaign.created_at,
                change=-campaign.credits,
                balance=self.credits,
                campaign_id=campaign.id,
            )
        )

    # --- what a developer asks ---

    def messages(self, to: str | None = None) -> Iterator[Message]:
        """Yield the messages to a number, digits only, or all of them, oldest first."""
        for campaign in self.campaigns:
            yield from campaign.messages(to)

    def has_sent(self, count: int, *, to: str | None = None) -> bool:
        """Tell whether there are so many messages, without making them: it is asked at each campaign.

        Args:
            count: How many, at least.
            to: Only those to this number, digits only. None for all.
        """
        counts = (campaign.count(to) for campaign in self.campaigns)
        return any(sent >= count for sent in accumulate(counts))

    def set_credits(self, balance: int) -> None:
        """Set the balance."""
        change, self.credits = balance - self.credits, balance
        self.statement.append(CreditEntry(at=self._clock(), change=change, balance=balance))
        self._on_change({"credits": balance})

    def set_active(self, active: bool) -> None:  # noqa: FBT001 - a setter
        """Enable or disable the account."""
        self.active = active
        self._on_change({"active": active})

    def create_token(self) -> str:
        """Make one more valid token, in the form of Laravel Sanctum: a running number, ``|`` and a secret."""
        self._tokens_made += 1
        token = f"{self._tokens_made}|{self._make_secret()}"
        self.tokens.add(token)
        self._on_change({"token": token})
        return token

    def revoke_token(self, token: str) -> bool:
        """Make a token invalid. Returns whether it was valid."""
        if token not in self.tokens:
            return False
        self.tokens.remove(token)
        self._on_change({"revoked": token})
        return True

    def add_sender(self, sender_id: str) -> None:
        """Add a sender ID to the account."""
        self.senders[sender_id] = None
        self._on_change({"sender": sender_id})

    # --- beginning again ---

    def reset(self) -> None:
        """Return to the state as constructed."""
        self._restore()
        for entry in self.opening():
            self._on_change(entry)

    def opening(self) -> Iterator[Entry]:
        """Yield the entries that make the constructed state."""
        yield {"ready": self.token}
        yield {"credits": self._opening_credits}

    def replay(self, entry: Entry) -> None:
        """Apply an entry that ``on_change`` was told in an earlier run, without telling it again.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: It is not such an entry.
        """
        on_change, self._on_change = self._on_change, _tell_nobody
        try:
            self._replay(entry)
        finally:
            self._on_change = on_change

    def _replay(self, entry: Entry) -> None:
        match entry:
            case {"ready": str(token)}:
                self.tokens = (self.tokens - {self.token}) | {token}
                self.token = token
            case {"token": str(token)}:
                self._tokens_made += 1
                self.tokens.add(token)
            case {"revoked": str(token)}:
                self.revoke_token(token)
            case {"sender": str(sender_id)}:
                self.add_sender(sender_id)
            case {"active": bool(active)}:
                self.set_active(active)
            case {"credits": int(balance)}:
                self.set_credits(balance)
            case {"campaign": dict()}:
                self._book(_campaign_from(entry["campaign"]))
            case _:
                raise ValueError("an entry of an unknown kind")


def _tell_nobody(_: Entry) -> None: ...


def _count_failed(numbers: str, odd: Mapping[str, str]) -> int:
    failed = {number for number, status in odd.items() if status == FAILED}
    return sum(number in failed for number in numbers.split(",")) if failed else 0


def _campaign_entry(campaign: Campaign) -> dict[str, Any]:
    return {
        "id": campaign.id,
        "name": campaign.name,
        "message": campaign.message,
        "sender_id": campaign.sender_id,
        "status": campaign.status,
        "created_at": campaign.created_at.isoformat(),
        "segments": campaign.segments,
        "numbers": campaign.numbers,
        "odd": dict(campaign.odd),
    }


def _campaign_from(values: Mapping[str, Any]) -> Campaign:
    numbers, odd = str(values["numbers"]), dict(values["odd"])
    return Campaign(
        id=int(values["id"]),
        name=str(values["name"]),
        message=str(values["message"]),
        sender_id=str(values["sender_id"]),
        status=str(values["status"]),
        created_at=datetime.fromisoformat(values["created_at"]),
        segments=int(values["segments"]),
        numbers=numbers,
        total=numbers.count(",") + 1,
        failed=_count_failed(numbers, odd),
        odd=odd,
    )
