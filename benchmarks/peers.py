"""Those who are compared. Each sends the same contacts to the same server in chunks of the same size.

A peer is an async context manager that opens its client once and gives a function that sends a list. What a peer
does inside that function is on the clock. What the function returns is asked for a `Tally` afterwards, off the clock,
and that is checked against what the server should have said, so that none can win by doing less.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

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


@asynccontextmanager
async def bare(job: Job) -> AsyncIterator[Send]:
    """The loop that a good engineer writes in ten minutes. It neither normalises nor de-duplicates."""
    import aiohttp  # noqa: PLC0415 - a peer pays for its own imports only

    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def send(contacts: Sequence[str]) -> Count:
            statuses: dict[str, str] = {}
            gate = asyncio.Semaphore(job.concurrency)

            async def submit(chunk: Sequence[str]) -> None:
                async with gate, session.post(job.url, json=body(chunk)) as response:
                    response.raise_for_status()
                    reply = await response.json()
                for contact in reply["contacts"]:
                    statuses[contact["phone_number"]] = contact["status"]

            await asyncio.gather(*(submit(chunk) for chunk in job.chunks(contacts)))
            return partial(tally, statuses)

        yield send


@asynccontextmanager
async def httpx(job: Job) -> AsyncIterator[Send]:
    """The same loop on httpx."""
    import httpx  # noqa: PLC0415

    limits = httpx.Limits(max_connections=job.concurrency, max_keepalive_connections=job.concurrency)
    async with httpx.AsyncClient(headers=HEADERS, limits=limits, timeout=150) as client:

        async def send(contacts: Sequence[str]) -> Count:
            statuses: dict[str, str] = {}
            gate = asyncio.Semaphore(job.concurrency)

            async def submit(chunk: Sequence[str]) -> None:
                async with gate:
                    response = await client.post(job.url, json=body(chunk))
                response.raise_for_status()
                for contact in response.json()["contacts"]:
                    statuses[contact["phone_number"]] = contact["status"]

            await asyncio.gather(*(submit(chunk) for chunk in job.chunks(contacts)))
            return partial(tally, statuses)

        yield send


@asynccontextmanager
async def requests(job: Job) -> AsyncIterator[Send]:
    """The vendor's sample in a loop: one ``requests.post`` after another."""
    import requests  # noqa: PLC0415

    async def send(contacts: Sequence[str]) -> Count:
        statuses: dict[str, str] = {}
        for chunk in job.chunks(contacts):
            response = requests.post(job.url, json=body(chunk), headers=HEADERS)  # noqa: ASYNC210, S113 - as in the sample
            for contact in response.json()["contacts"]:
                statuses[contact["phone_number"]] = contact["status"]
        return partial(tally, statuses)

    yield send


@asynccontextmanager
async def sdk(job: Job) -> AsyncIterator[Send]:
    """`SmsPop.send`, which also normalises, de-duplicates and keeps the outcome of every row."""
    from smspop_async import SmsPop, Status  # noqa: PLC0415

    async with SmsPop(token=TOKEN, base_url=job.api, max_connections=job.concurrency) as sms:

        async def send(contacts: Sequence[str]) -> Count:
            report = await sms.send(
                contacts,
                message=CAMPAIGN["message"],
                sender_id=CAMPAIGN["sender_id"],
                name=CAMPAIGN["name"],
                chunk_size=job.chunk,
                max_concurrency=job.concurrency,
            )
            return lambda: Tally(sent=report.counts[Status.SENT], failed=report.counts[Status.FAILED])

        yield send


@asynccontextmanager
async def stream(job: Job) -> AsyncIterator[Send]:
    """`SmsPop.stream`: one value per contact passes through the caller's hands. Takes any iterable."""
    from smspop_async import SmsPop  # noqa: PLC0415

    async with SmsPop(token=TOKEN, base_url=job.api, max_connections=job.concurrency) as sms:

        async def send(contacts: Iterable[str]) -> Count:
            words: Counter[str] = Counter()
            async with sms.stream(
                contacts,
                message=CAMPAIGN["message"],
                sender_id=CAMPAIGN["sender_id"],
                name=CAMPAIGN["name"],
                chunk_size=job.chunk,
                max_concurrency=job.concurrency,
            ) as batch:
                async for outcome in batch:
                    words[outcome.status] += 1
            return lambda: Tally(sent=words["sent"], failed=words["failed"])

        yield send


@asynccontextmanager
async def create(job: Job) -> AsyncIterator[Send]:
    """`SmsPop.campaigns.create`, so many calls at once."""
    from smspop_async import SmsPop  # noqa: PLC0415

    async with SmsPop(token=TOKEN, base_url=job.api, max_connections=job.concurrency) as sms:

        async def send(contacts: Sequence[str]) -> Count:
            statuses: dict[str, str] = {}
            gate = asyncio.Semaphore(job.concurrency)

            async def submit(chunk: Sequence[str]) -> None:
                async with gate:
                    result = await sms.campaigns.create(
                        name=CAMPAIGN["name"],
                        message=CAMPAIGN["message"],
                        sender_id=CAMPAIGN["sender_id"],
                        contacts=chunk,
                    )
                for contact in result.contacts:
                    statuses[contact.phone_number] = contact.status

            await asyncio.gather(*(submit(chunk) for chunk in job.chunks(contacts)))
            return partial(tally, statuses)

        yield send


PEERS: dict[str, Peer] = {
    "bare": bare,
    "httpx": httpx,
    "requests": requests,
    "sdk": sdk,
    "stream": stream,
    "create": create,
}
