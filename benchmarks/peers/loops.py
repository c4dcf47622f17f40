"""The loops that people write themselves, each with its client as that client's documentation shows it.

Every one that can keep connections open does, and may have as many of them as campaigns are under way at once: where
the default limit is lower, it is raised. A peer imports its client itself, so that nobody pays for another's.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from peers.job import HEADERS, Count, Job, Send, body, tally

_TIMEOUT = 150
_Rows = Iterable[Mapping[str, str]]


def _looping(job: Job, post: Callable[[Sequence[str]], Awaitable[_Rows]]) -> Send:
    """The loop of `bare` around another client: all campaigns as tasks under a semaphore, a dict of statuses."""

    async def send(contacts: Sequence[str]) -> Count:
        statuses: dict[str, str] = {}
        gate = asyncio.Semaphore(job.concurrency)

        async def submit(chunk: Sequence[str]) -> None:
            async with gate:
                rows = await post(chunk)
            for contact in rows:
                statuses[contact["phone_number"]] = contact["status"]

        await asyncio.gather(*(submit(chunk) for chunk in job.chunks(contacts)))
        return partial(tally, statuses)

    return send


@asynccontextmanager
async def bare(job: Job) -> AsyncIterator[Send]:
    """The loop that a good engineer writes in ten minutes. It neither normalises nor de-duplicates."""
    import aiohttp  # noqa: PLC0415

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
async def parsing(job: Job) -> AsyncIterator[Send]:
    """The same with what it lacks, done the usual way: every number parsed, validated, formatted, and kept in a set."""
    import phonenumbers  # noqa: PLC0415

    async with bare(job) as send_bare:

        async def send(contacts: Sequence[str]) -> Count:
            seen: set[str] = set()
            numbers: list[str] = []
            for contact in contacts:
                parsed = phonenumbers.parse(contact, "ZW")
                if not phonenumbers.is_valid_number(parsed):
                    continue
                number = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)[1:]
                if number not in seen:
                    seen.add(number)
                    numbers.append(number)
            return await send_bare(numbers)

        yield send


@asynccontextmanager
async def httpx(job: Job) -> AsyncIterator[Send]:
    """The same loop on httpx."""
    import httpx  # noqa: PLC0415

    limits = httpx.Limits(max_connections=job.concurrency, max_keepalive_connections=job.concurrency)
    async with httpx.AsyncClient(headers=HEADERS, limits=limits, timeout=_TIMEOUT) as client:

        async def post(chunk: Sequence[str]) -> _Rows:
            response = await client.post(job.url, json=body(chunk))
            response.raise_for_status()
            rows: _Rows = response.json()["contacts"]
            return rows

        yield _looping(job, post)


@asynccontextmanager
async def httpx2(job: Job) -> AsyncIterator[Send]:
    """The same loop on httpx2, which continues httpx."""
    import httpx2  # noqa: PLC0415

    limits = httpx2.Limits(max_connections=job.concurrency, max_keepalive_connections=job.concurrency)
    async with httpx2.AsyncClient(headers=HEADERS, limits=limits, timeout=_TIMEOUT) as client:

        async def post(chunk: Sequence[str]) -> _Rows:
            response = await client.post(job.url, json=body(chunk))
            response.raise_for_status()
            rows: _Rows = response.json()["contacts"]
            return rows

        yield _looping(job, post)


@asynccontextmanager
async def niquests(job: Job) -> AsyncIterator[Send]:
    """The same loop on niquests' async session. Its multiplexing needs HTTP/2, which is not what is compared."""
    import niquests  # noqa: PLC0415

    async with niquests.AsyncSession(pool_maxsize=job.concurrency, timeout=_TIMEOUT) as session:
        session.headers.update(HEADERS)

        async def post(chunk: Sequence[str]) -> _Rows:
            response = await session.post(job.url, json=body(chunk))
            response.raise_for_status()
            rows: _Rows = response.json()["contacts"]
            return rows

        yield _looping(job, post)


@asynccontextmanager
async def pyreqwest(job: Job) -> AsyncIterator[Send]:
    """The same loop on pyreqwest: HTTP and JSON in Rust, on a thread of its own."""
    from pyreqwest.client import ClientBuilder  # noqa: PLC0415

    builder = ClientBuilder().default_headers(HEADERS).error_for_status(True)  # noqa: FBT003 - its own signature
    builder = builder.max_connections(job.concurrency).timeout(timedelta(seconds=_TIMEOUT))
    async with builder.build() as client:

        async def post(chunk: Sequence[str]) -> _Rows:
            response = await client.post(job.url).body_json(body(chunk)).build().send()
            rows: _Rows = (await response.json())["contacts"]
            return rows

        yield _looping(job, post)


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
