"""A server that plays a script of faults and keeps the ledger by which a run is judged.

Whether people were texted is decided here and nowhere else: an action either processes a campaign or it
does not, whatever the client gets to hear about it.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from rawserver import Peer, RawServer, Request, good_reply, sent_numbers
from smspop_async import Report, RetryPolicy, SmsPop, Status

PROCESSED = (
    "ok",
    "shuffled",
    "respelled",
    "row_missing",
    "row_extra",
    "row_twice",
    "some_failed",
    "odd_word",
    "no_rows",
    "hang_up_after",
    "reset_after",
    "html_after",
    "empty_after",
    "truncated_after",
    "error_after",
    "sample_after",
)
"""Actions that text everybody in the campaign."""
REFUSED = ("429", "413", "422_contacts", "200_false", "400")
"""Actions by which the application refuses one campaign."""
STOPPING = ("401", "402", "403", "422", "301")
"""Refusals that concern every campaign."""
UNPROCESSED = ("hang_up_before", "error_before")
"""Actions that text nobody and do not prove it."""
ACTIONS = PROCESSED + REFUSED + STOPPING + UNPROCESSED


def hurried_client(raw: RawServer) -> SmsPop:
    """A client that tries three times and does not wait in between."""
    return SmsPop(
        token="1|fake-token",
        base_url=raw.base_url,
        retry=RetryPolicy(attempts=3, initial_backoff=0.0, max_backoff=0.0),
        timeout=5,
    )


@dataclass
class FaultServer:
    """Plays `actions` one for each POST, then "ok" for ever; answers GET with the campaigns it processed."""

    actions: Iterable[str] = ()
    seed: int = 0
    listing: bool = True
    on_post: Callable[[int], None] = lambda count: None
    texted: Counter[str] = field(default_factory=Counter)
    posted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    campaigns: list[str] = field(default_factory=list)
    posts: int = 0

    def __post_init__(self) -> None:
        self._actions = iter(self.actions)
        self._random = random.Random(self.seed)

    async def script(self, peer: Peer, request: Request) -> None:
        if request.method == "GET":
            rows = [{"name": name, "status": "approved"} for name in reversed(self.campaigns)]
            await peer.json(200 if self.listing else 500, json.dumps(rows))
            return
        self.posts += 1
        numbers = sent_numbers(request)
        self.posted.update(numbers)
        action = next(self._actions, "ok")
        if action in PROCESSED:
            self.texted.update(numbers)
            self.campaigns.append(json.loads(request.body)["name"])
        elif action in REFUSED or action in STOPPING:
            self.refused.update(numbers)
        self.on_post(self.posts)
        await getattr(self, f"_{action}")(peer, numbers)

    def judge(self, report: Report) -> None:
        """Nobody was texted twice, and nobody is called texted who was not, or the other way round."""
        assert max(self.texted.values(), default=0) <= 1
        for outcome in report.outcomes():
            texted = self.texted[outcome.phone_number]
            if outcome.status in (Status.NOT_SUBMITTED, Status.REJECTED):
                assert not texted
            if outcome.status in (Status.SENT, Status.FAILED, Status.ACCEPTED):
                assert texted

    # Processed, and well answered.

    async def _ok(self, peer: Peer, numbers: list[str]) -> None:
        await peer.json(200, good_reply(numbers))

    async def _rows(self, peer: Peer, numbers: list[str], change: Callable[[list[dict]], list]) -> None:
        reply = json.loads(good_reply(numbers))
        reply["contacts"] = change(reply["contacts"])
        await peer.json(200, json.dumps(reply))

    async def _shuffled(self, peer: Peer, numbers: list[str]) -> None:
        await self._rows(peer, numbers, lambda rows: self._random.sample(rows, len(rows)))

    async def _respelled(self, peer: Peer, numbers: list[str]) -> None:
        def respell(rows: list[dict]) -> list[dict]:
            for row in rows:
                digits = row["phone_number"]
                row["phone_number"] = self._random.choice(
                    [f"+{digits}", int(digits), f"+{digits[:3]} {digits[3:5]} {digits[5:]}", "0" + digits[3:]]
                )
                row["status"] = "SENT"
            return rows

        await self._rows(peer, numbers, respell)

    async def _row_missing(self, peer: Peer, numbers: list[str]) -> None:
        await self._rows(peer, numbers, lambda rows: rows[1:])

    async def _row_extra(self, peer: Peer, numbers: list[str]) -> None:
        extra = {"phone_number": "263719999999", "status": "sent"}
        await self._rows(peer, numbers, lambda rows: [extra, *rows])

    async def _row_twice(self, peer: Peer, numbers: list[str]) -> None:
        await self._rows(peer, numbers, lambda rows: [*rows, {**rows[0], "status": "failed"}])

    async def _some_failed(self, peer: Peer, numbers: list[str]) -> None:
        await peer.json(200, good_reply(numbers, frozenset(numbers[::2])))

    async def _odd_word(self, peer: Peer, numbers: list[str]) -> None:
        await self._rows(peer, numbers, lambda rows: [{**row, "status": "queued"} for row in rows])

    async def _no_rows(self, peer: Peer, numbers: list[str]) -> None:
        await peer.json(200, '{"success": true, "message": "done", "campaign": {"status": "approved"}}')

    # Processed, and badly answered.

    async def _hang_up_after(self, peer: Peer, _: list[str]) -> None:
        peer.close()

    async def _reset_after(self, peer: Peer, _: list[str]) -> None:
        peer.reset()

    async def _html_after(self, peer: Peer, _: list[str]) -> None:
        await peer.reply(200, b"<html>Fatal error: Maximum execution time exceeded</html>")

    async def _empty_after(self, peer: Peer, _: list[str]) -> None:
        await peer.reply(200)

    async def _truncated_after(self, peer: Peer, numbers: list[str]) -> None:
        body = good_reply(numbers).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        await peer.send(head + body[: len(body) // 2])
        peer.close()

    async def _error_after(self, peer: Peer, _: list[str]) -> None:
        await peer.reply(504, b"<html>504 Gateway Time-out</html>")

    async def _sample_after(self, peer: Peer, _: list[str]) -> None:
        await peer.reply(200, b'{"success": true, "campaign":{"name":"x","status":"approved"}, ,}')

    # Refused.

    async def _429(self, peer: Peer, _: list[str]) -> None:
        await peer.json(429, '{"message": "Too Many Attempts."}', "Retry-After: 0")

    async def _413(self, peer: Peer, _: list[str]) -> None:
        await peer.reply(413, b"<html>413 Request Entity Too Large</html>")

    async def _422_contacts(self, peer: Peer, _: list[str]) -> None:
        errors = '{"manual_contacts": ["The manual contacts field contains an invalid number."]}'
        body = '{"success": false, "message": "Validation failed", "errors": %s}'
        await peer.json(422, body % errors)

    async def _200_false(self, peer: Peer, _: list[str]) -> None:
        await peer.json(200, '{"success": false, "message": "Could not import contacts"}')

    async def _400(self, peer: Peer, _: list[str]) -> None:
        await peer.reply(400, b"Bad Request")

    async def _401(self, peer: Peer, _: list[str]) -> None:
        await peer.json(401, '{"message": "Unauthenticated."}')

    async def _402(self, peer: Peer, _: list[str]) -> None:
        await peer.json(402, '{"success":false,"message":"Insufficient credits."}')

    async def _403(self, peer: Peer, _: list[str]) -> None:
        await peer.json(403, '{"success":false,"message":"Your account is inactive."}')

    async def _422(self, peer: Peer, _: list[str]) -> None:
        await peer.json(422, '{"success":false,"message":"Invalid sender ID"}')

    async def _301(self, peer: Peer, _: list[str]) -> None:
        await peer.reply(301, b"", "Location: https://sms.example/api/campaigns")

    # Nobody was texted, and the client cannot know.

    async def _hang_up_before(self, peer: Peer, _: list[str]) -> None:
        peer.close()

    async def _error_before(self, peer: Peer, _: list[str]) -> None:
        await peer.reply(503, b"Service Unavailable")
