"""A worker: it sends to every list that is put into a folder, and goes on where it was stopped, however it was stopped.

    python examples/worker.py                                             a rehearsal in a sandbox, which ends by itself
    python examples/worker.py INBOX --sender BRAND1 --message 'Hello!'    for good: SMSPOP_TOKEN, real texts and money

Put lists (.csv, .txt, .xlsx) into the folder by moving them there, so that none is seen half-written. A list is known
by its contents, and the journal in the folder remembers it: it is not sent again, under whichever name. Ctrl-C and
SIGTERM submit nothing more and give what is under way the grace to settle. After that, and after a crash, the next
start goes on from the journal: nobody is texted twice, and campaigns that may have been sent are looked for, and held
where they are not found.
"""

import argparse
import asyncio
import contextlib
import hashlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from smspop_async import (
    ContactSourceError,
    ReconcilePolicy,
    Report,
    SmsPop,
    SmsPopError,
    SqliteJournal,
    Status,
    read_report,
)
from smspop_async.sandbox import Sandbox

LISTS = (".csv", ".txt", ".xlsx")


class Worker:
    """Sends what is in the inbox and not in the journal."""

    def __init__(self, options: argparse.Namespace, sms: SmsPop, journal: SqliteJournal) -> None:
        self.options, self.sms, self.journal = options, sms, journal
        self.seen: set[tuple[str, int, int]] = set()
        self.reports: Path = options.inbox / "reports"
        self.reports.mkdir(exist_ok=True)

    async def run(self) -> None:
        """Finish what an earlier worker has left, then send what comes, until cancelled."""
        for send in await self.journal.sends():
            if not send.finished:
                print(f"Going on with {send.name}.")
                look = ReconcilePolicy(first=1, horizon=self.options.look_for)
                grace = self.options.grace
                await self.finish(self.sms.resume(self.journal, run=send.run, reconcile=look, grace=grace))
            elif send.state != "abandoned" and not self.report_of(send.name).exists():  # it died right after
                report = await anyio.to_thread.run_sync(partial(read_report, self.journal.path, run=send.run))
                await self.keep(report)
        while True:
            for path, stamp in await anyio.to_thread.run_sync(lists_in, self.options.inbox):
                if stamp not in self.seen:
                    await self.look_at(path)
                    self.seen.add(stamp)
            if self.options.once:
                return
            await anyio.sleep(1)

    async def look_at(self, path: Path) -> None:
        """Send to a list unless it is in the journal."""
        digest = await anyio.to_thread.run_sync(digest_of, path)
        if not await self.is_in_journal(digest):
            await self.send(path, name=f"{path.stem} {digest}")

    async def is_in_journal(self, digest: str) -> bool:
        """Tell whether a list was begun: one that was not even written down whole was not sent at all."""
        sends = await self.journal.sends()
        return any(send.name.endswith(digest) and send.state != "abandoned" for send in sends)

    async def send(self, path: Path, name: str) -> None:
        """Send to one list. Before the first text goes out, the journal has all of it."""
        print(f"Sending to {path.name}.")
        sending = self.sms.send(
            path,
            message=self.options.message,
            sender_id=self.options.sender,
            name=name,
            chunk_size=self.options.chunk_size,
            journal=self.journal,
            grace=self.options.grace,
        )
        try:
            await self.finish(sending)
        except ContactSourceError as error:
            print(f"{path.name} was passed over: {error}")

    async def finish(self, run: Awaitable[Report]) -> None:
        """Wait for a run, and write its report."""
        try:
            report = await run
        except asyncio.CancelledError as cancelled:
            print(f"Stopped: {in_words(getattr(cancelled, 'report', None))}.")
            raise
        await self.keep(report)
        if report.stopped_by is not None:
            raise report.stopped_by  # no credits, say: whoever keeps the worker running starts it again later

    async def keep(self, report: Report) -> None:
        """Write what became of every row."""
        print(f"{report.name}: {in_words(report)}.")
        await anyio.to_thread.run_sync(report.write_csv, self.report_of(report.name))

    def report_of(self, name: str) -> Path:
        """Where the report of a send is."""
        return self.reports / f"{name}.csv"


def lists_in(inbox: Path) -> list[tuple[Path, tuple[str, int, int]]]:
    """The lists of a folder, each with what changes when it does, so that it is read no oftener than that."""
    paths = [
        path for path in sorted(inbox.iterdir()) if path.suffix in LISTS and not path.name.startswith(".")
    ]
    return [(path, (path.name, path.stat().st_mtime_ns, path.stat().st_size)) for path in paths]


def in_words(report: Report | None) -> str:
    """The counts of a report."""
    counts = report.counts if report else {}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "nothing was begun"


def digest_of(path: Path) -> str:
    """What a list is known by."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


async def work(options: argparse.Namespace, sms: SmsPop) -> None:
    """Run a worker until it is done or a signal stops it."""
    async with SqliteJournal(options.inbox / "journal.db") as journal:
        with anyio.CancelScope() as working:  # inside, so that the journal is closed in peace
            for number in (signal.SIGINT, signal.SIGTERM):
                with contextlib.suppress(NotImplementedError):  # Windows: there, Ctrl-C cancels everything
                    asyncio.get_running_loop().add_signal_handler(number, working.cancel)
            await Worker(options, sms, journal).run()


async def rehearse(options: argparse.Namespace) -> None:
    """Send to the list beside this file, in a sandbox: once, though it is there twice and the worker starts twice."""
    with tempfile.TemporaryDirectory() as folder:
        options.inbox, options.once = Path(folder), True
        for name in ("contacts.csv", "the-same-again.csv"):
            shutil.copy(Path(__file__).with_name("contacts.csv"), options.inbox / name)
        async with Sandbox() as sandbox, SmsPop(sandbox.token, base_url=sandbox.api_url) as sms:
            await work(options, sms)
            await work(options, sms)
            sent = sum(message.status == Status.SENT for message in sandbox.messages())
            print(f"The sandbox has sent {sent} texts in {len(sandbox.campaigns)} campaigns.")


async def main() -> int:
    """Tell by the exit code whether the worker should be started again: 1 where something stopped it."""
    parser = argparse.ArgumentParser(description="Send to every list that is put into a folder.")
    parser.add_argument("inbox", nargs="?", type=Path, help="the folder; without it, a rehearsal")
    parser.add_argument("--sender", default="BRAND1")
    parser.add_argument("--message", default="Hello!")
    parser.add_argument("--chunk-size", type=int, default=500)
    parser.add_argument("--grace", type=float, default=20.0, help="seconds to settle when stopped")
    parser.add_argument(
        "--look-for", type=float, default=10.0, help="seconds to look for campaigns after a crash"
    )
    parser.add_argument("--once", action="store_true", help="end when there is nothing left to send")
    options = parser.parse_args()
    try:
        if options.inbox is None:
            await rehearse(options)
        else:
            async with SmsPop() as sms:
                await work(options, sms)
    except SmsPopError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
