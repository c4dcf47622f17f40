"""The library in its three forms."""

import asyncio
import itertools
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from peers.job import CAMPAIGN, TOKEN, Count, Job, Send, Tally, tally

_MESSAGE = {name: CAMPAIGN[name] for name in ("name", "message", "sender_id")}


@asynccontextmanager
async def _client(job: Job) -> AsyncIterator[Any]:
    from smspop_async import SmsPop  # noqa: PLC0415 - only its peers pay for the import

    async with SmsPop(token=TOKEN, base_url=job.api, max_connections=job.concurrency) as sms:
        yield sms


@asynccontextmanager
async def sdk(job: Job) -> AsyncIterator[Send]:
    """`SmsPop.send`, which also normalises, de-duplicates and keeps the outcome of every row."""
    async with _client(job) as sms:

        async def send(contacts: Sequence[str]) -> Count:
            report = await sms.send(
                contacts, chunk_size=job.chunk, max_concurrency=job.concurrency, **_MESSAGE
            )
            return lambda: Tally(sent=report.counts["sent"], failed=report.counts["failed"])

        yield send


@asynccontextmanager
async def journal(job: Job) -> AsyncIterator[Send]:
    """`SmsPop.send` with a durable journal, a new file for each list, on the disk that holds the benchmarks."""
    with tempfile.TemporaryDirectory(prefix=".journal-", dir=Path(__file__).parent) as folder:
        async with _client(job) as sms:
            count = itertools.count()

            async def send(contacts: Sequence[str]) -> Count:
                file = Path(folder, f"{next(count)}.db")
                report = await sms.send(
                    contacts,
                    chunk_size=job.chunk,
                    max_concurrency=job.concurrency,
                    journal=file,
                    **_MESSAGE,
                )
                journal_bytes[job] = file.stat().st_size  # noqa: ASYNC240 - a microsecond
                return lambda: Tally(sent=report.counts["sent"], failed=report.counts["failed"])

            yield send


journal_bytes: dict[Job, int] = {}
"""The size of the last journal of each job."""


@asynccontextmanager
async def stream(job: Job) -> AsyncIterator[Send]:
    """`SmsPop.stream`: one value per contact passes through the caller's hands. Takes any iterable, or a file."""
    async with _client(job) as sms:

        async def send(contacts: Any) -> Count:
            words: Counter[str] = Counter()
            async with sms.stream(
                contacts, chunk_size=job.chunk, max_concurrency=job.concurrency, **_MESSAGE
            ) as batch:
                async for outcome in batch:
                    words[outcome.status] += 1
            return lambda: Tally(sent=words["sent"], failed=words["failed"])

        yield send


@asynccontextmanager
async def create(job: Job) -> AsyncIterator[Send]:
    """`SmsPop.campaigns.create`, so many calls at once."""
    async with _client(job) as sms:

        async def send(contacts: Sequence[str]) -> Count:
            statuses: dict[str, str] = {}
            gate = asyncio.Semaphore(job.concurrency)

            async def submit(chunk: Sequence[str]) -> None:
                async with gate:
                    result = await sms.campaigns.create(contacts=chunk, **_MESSAGE)
                for contact in result.contacts:
                    statuses[contact.phone_number] = contact.status

            await asyncio.gather(*(submit(chunk) for chunk in job.chunks(contacts)))
            return partial(tally, statuses)

        yield send
