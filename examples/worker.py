"""A worker script that may be stopped: `python examples/worker.py contacts.csv BRAND1 'Hello!'`.

It sends real texts for real money with SMSPOP_TOKEN, unless SMSPOP_BASE_URL leads to a sandbox. Ctrl-C and
SIGTERM submit nothing more and let campaigns under way settle; the report is written either way.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread

from smspop_async import Report, SmsPop, SmsPopError


async def run(contacts: Path, sender_id: str, message: str) -> Report:
    """Send until all is done or a signal comes; show the progress as it goes."""
    async with SmsPop() as sms:
        batch = sms.stream(contacts, message=message, sender_id=sender_id, name=contacts.stem, grace=60)
        async with batch:
            with anyio.CancelScope() as reading:  # inside the batch: to stop reading is to stop the run
                stop_on_signal(reading.cancel)
                async for outcome in batch:
                    if outcome.index % 1_000 == 0:
                        print(f"{batch.progress.settled} settled, {batch.progress.in_flight} under way")
    return batch.report


def stop_on_signal(stop: Callable[[], object]) -> None:
    """Call `stop` on Ctrl-C and SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: there, Ctrl-C cancels everything
            asyncio.get_running_loop().add_signal_handler(number, stop)


async def main() -> int:
    """Run, write the report, and tell by the exit code whether all is well."""
    folder = Path(__file__).parent
    contacts, sender_id, message = sys.argv[1:4] or (folder / "contacts.csv", "BRAND1", "Hello!")
    report = await run(Path(contacts), sender_id, message)
    await anyio.to_thread.run_sync(report.write_csv, "report.csv")
    try:
        report.raise_for_failures()
    except SmsPopError as error:
        print(error)
    return 0 if report.stopped_by is None and not report.cancelled else 1


sys.exit(asyncio.run(main()))
