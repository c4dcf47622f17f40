"""Cancelling a run, leaving a stream: stop, let it settle, cut it off, account for all of it."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import anyio
import pytest

from endings import cancel_all_but
from rawserver import answer_all, fake_numbers, raw_server
from smspop_async import ConfigurationError, ContactSourceError, ReconcilePolicy, SmsPop, Status
from smspop_async.batch.account import Account

pytestmark = pytest.mark.anyio

SOON = ReconcilePolicy(first=0.001, horizon=0.004)
ARGUMENTS = {"message": "Hello!", "sender_id": "DEMO", "reconcile": SOON}


def client(raw) -> SmsPop:
    return SmsPop(token="1|fake-token", base_url=raw.base_url, timeout=10)


async def cancelled(*, grace: float, answer: bool):
    """Cancel a run while its canary is under way, and return the report that hangs on the exception."""
    arrived, release = asyncio.Event(), asyncio.Event()

    async def slow(peer, request):
        arrived.set()
        await release.wait()
        await answer_all(peer, request)

    async with raw_server(slow) as raw, client(raw) as sms:
        task = asyncio.ensure_future(sms.send(fake_numbers(10), chunk_size=5, grace=grace, **ARGUMENTS))
        await arrived.wait()
        task.cancel()
        if answer:
            asyncio.get_running_loop().call_soon(release.set)
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    report = caught.value.report
    assert report.cancelled
    assert any(report.run in note for note in caught.value.__notes__)
    return report


async def test_a_cancelled_run_lets_what_is_in_flight_settle():
    """Within the grace the campaign under way gets its answer; the rest was never submitted."""
    report = await cancelled(grace=30, answer=True)
    assert [report.counts[s] for s in (Status.SENT, Status.NOT_SUBMITTED)] == [5, 5]


async def test_past_the_grace_what_is_in_flight_is_unknown():
    """A campaign cut off after its body left is UNKNOWN, never NOT_SUBMITTED."""
    report = await cancelled(grace=0, answer=False)
    assert report.counts[Status.UNKNOWN] == 5
    assert report.counts[Status.UNKNOWN] + report.counts[Status.NOT_SUBMITTED] == report.total
    assert {campaign.status for campaign in report.campaigns} == {Status.UNKNOWN}


@pytest.mark.parametrize("journalled", [False, True])
async def test_who_reads_a_queue_texts_each_person_when_they_come(journalled, tmp_path):
    """With campaigns of one, nobody waits for the next; and what is left early has an account of all it was given."""
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def from_queue():
        while True:
            yield await queue.get()

    options = {"journal": tmp_path / "j.db"} if journalled else {}
    first, second = fake_numbers(2)
    queue.put_nowait(first)
    async with raw_server(answer_all) as raw, client(raw) as sms:
        with anyio.fail_after(20):
            async with sms.stream(from_queue(), chunk_size=1, **ARGUMENTS, **options) as batch:
                async for outcome in batch:
                    assert outcome.status is Status.SENT
                    if outcome.phone_number == second:
                        break
                    queue.put_nowait(second)
    assert batch.report.counts[Status.SENT] == batch.report.total == 2


class Watched:
    """A list that tells how far it was read."""

    def __init__(self, rows: list[str], at: int = -1, then: Callable[[], object] = lambda: None) -> None:
        self.rows, self.at, self.then = rows, at, then

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        for count, row in enumerate(self.rows):
            if count == self.at:
                self.then()
            yield row


@pytest.mark.parametrize("kind", [list, Watched, ", ".join])
@pytest.mark.parametrize("grace", [0, 0.05])
async def test_past_the_grace_a_list_is_read_to_its_end(kind, grace):
    """Conservation: whoever sends the rest of the list by the report must find all of it there."""
    arrived = asyncio.Event()

    async def silent(peer, request):
        arrived.set()
        await asyncio.Event().wait()

    numbers = fake_numbers(30_000)
    async with raw_server(silent) as raw, client(raw) as sms:
        task = asyncio.ensure_future(sms.send(kind(numbers), chunk_size=50, grace=grace, **ARGUMENTS))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    report = caught.value.report
    assert report.total == 30_000
    assert (report.counts[Status.UNKNOWN], report.counts[Status.NOT_SUBMITTED]) == (50, 29_950)
    assert [outcome.phone_number for outcome in report.outcomes()] == numbers


async def test_a_second_cancellation_does_not_wait_for_the_rest_of_the_list():
    """Whoever asks twice leaves at once; what was read is accounted for."""
    arrived = asyncio.Event()

    async def silent(peer, request):
        arrived.set()
        await asyncio.Event().wait()

    async with raw_server(silent) as raw, client(raw) as sms:
        numbers = Watched(fake_numbers(60_000), at=20_000, then=lambda: task.cancel())  # noqa: PLW0108 - it is made below
        task = asyncio.ensure_future(sms.send(numbers, chunk_size=50, grace=0, **ARGUMENTS))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    report = caught.value.report
    assert 20_000 <= report.total < 60_000
    assert sum(report.counts.values()) == report.total == len(list(report.outcomes()))


async def a_cancelled_task():
    task = asyncio.ensure_future(asyncio.sleep(60))
    asyncio.get_running_loop().call_soon(task.cancel)
    await task


async def test_a_token_that_somebody_cancelled_is_a_token_that_failed():
    """The run is stopped with its reason, and has an account of everybody: nobody has cancelled it."""
    asked = 0

    async def token() -> str:
        nonlocal asked
        asked += 1
        if asked == 3:
            await a_cancelled_task()
        return "1|fake-token"

    async with raw_server(answer_all) as raw, SmsPop(token=token, base_url=raw.base_url) as sms:
        report = await sms.send(fake_numbers(1_000), chunk_size=10, **ARGUMENTS)
        assert report.total == 1_000
        assert isinstance(report.stopped_by, ConfigurationError)
        assert not report.cancelled
        asked = 2
        with pytest.raises(ConfigurationError, match="CancelledError"):
            await sms.campaigns.create(contacts=fake_numbers(1), name="n", message="Hello!", sender_id="DEMO")


async def async_rows():
    for number in fake_numbers(700):
        yield number
    await a_cancelled_task()


def sync_rows():
    yield from fake_numbers(700)
    raise asyncio.CancelledError


@pytest.mark.parametrize("rows", [async_rows, sync_rows])
async def test_a_source_in_which_somebody_was_cancelled_is_a_source_that_failed(rows):
    """What it gave before is sent and accounted for, and the report says what ended it."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        report = await sms.send(rows(), chunk_size=100, **ARGUMENTS)
    assert report.counts[Status.SENT] == report.total == 700
    assert isinstance(report.stopped_by, ContactSourceError)
    assert isinstance(report.stopped_by.__cause__, asyncio.CancelledError)


async def test_whatever_else_is_cancelled_by_others_is_a_defect_and_no_silent_end():
    """A worker that ends without a word would leave the rest of the list without an outcome."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        with patch.object(Account, "settled", lambda *_: a_cancelled_task()):
            with pytest.raises(RuntimeError, match="was cancelled") as caught:
                await sms.send(fake_numbers(1_000), chunk_size=10, **ARGUMENTS)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert sum(caught.value.report.counts.values()) == caught.value.report.total == 1_000


async def test_a_run_that_waits_for_a_slow_source_leaves_at_once():
    """Nobody waits for a source that may never give another row; rows it gave are accounted for."""
    waiting = asyncio.Event()

    async def slow():
        for number in fake_numbers(700):
            yield number
        waiting.set()
        await asyncio.Event().wait()

    async with raw_server(answer_all) as raw, client(raw) as sms:
        task = asyncio.ensure_future(sms.send(slow(), chunk_size=1_000, grace=60, **ARGUMENTS))
        await waiting.wait()
        task.cancel()
        with anyio.fail_after(10), pytest.raises(asyncio.CancelledError) as caught:
            await task
    assert raw.requests == []
    assert caught.value.report.counts[Status.NOT_SUBMITTED] == caught.value.report.total == 700


async def test_an_error_in_the_block_goes_its_way_with_the_report():
    """The block's own exception is raised as itself, and the partial report hangs on it."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        with pytest.raises(KeyError) as caught:
            async with sms.stream(fake_numbers(100), chunk_size=5, **ARGUMENTS) as batch:
                async for _ in batch:
                    raise KeyError("mine")
    assert caught.value.report.total == batch.report.total == 100
    assert sum(batch.report.counts.values()) == 100
    assert batch.report.cancelled


async def test_an_anyio_timeout_around_a_run_works():
    """`move_on_after` ends the run; what it sent stays in the report of the batch."""

    async def never(peer, request):
        if request.method == "POST" and len(raw.posts) > 1:
            second.set()
            await asyncio.Event().wait()
        await answer_all(peer, request)

    second = asyncio.Event()
    async with raw_server(never) as raw, client(raw) as sms:
        with anyio.CancelScope() as scope:
            async with sms.stream(
                fake_numbers(20), chunk_size=5, max_concurrency=1, grace=0, **ARGUMENTS
            ) as batch:
                await second.wait()
                scope.cancel()
                async for _ in batch:
                    pass
    assert scope.cancelled_caught
    assert batch.report.counts[Status.SENT] == 5
    assert batch.report.counts[Status.UNKNOWN] == 5
    assert sum(batch.report.counts.values()) == batch.report.total


async def test_leaving_by_break_dispatches_nothing_more():
    """After a break the stream sends nothing more than what was under way."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        async with sms.stream(fake_numbers(500), chunk_size=5, max_concurrency=2, **ARGUMENTS) as batch:
            async for _ in batch:
                break
            before = len(raw.posts)
        assert len(raw.posts) <= before + 2
    counts = batch.report.counts
    assert counts[Status.SENT] == 5 * len(raw.posts)
    assert counts[Status.SENT] + counts[Status.NOT_SUBMITTED] == 500


async def test_the_report_is_not_given_before_the_end():
    """A report of a run that is going would not be true."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        batch = sms.stream(fake_numbers(20), **ARGUMENTS)
        with pytest.raises(RuntimeError, match="Enter the batch"):
            _ = batch.progress
        with pytest.raises(RuntimeError, match="Enter the batch"):
            aiter(batch)
        async with batch:
            with pytest.raises(RuntimeError, match="still going"):
                _ = batch.report
            assert not batch.progress.finished
            assert len([outcome async for outcome in batch]) == 20
        assert batch.progress.finished
        assert batch.progress.settled == batch.report.total == 20
        assert batch.progress.campaigns == 1
        with pytest.raises(RuntimeError, match="one run"):
            await batch.__aenter__()


async def test_waiting_for_a_stream_passes_its_outcomes_over():
    """`wait` on a stream that nobody iterates over ends, and the report has every row."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        async with sms.stream(fake_numbers(200), chunk_size=5, **ARGUMENTS) as batch:
            with anyio.fail_after(10):
                await batch.wait()
    assert batch.report.counts[Status.SENT] == 200


async def test_a_stream_that_cannot_begin_leaves_nothing_open():
    """What is wrong from the start is raised on entering, and no stream is left unclosed (warnings are errors)."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        batch = sms.stream(Path("missing.csv"), **ARGUMENTS)
        with pytest.raises(ContactSourceError):
            async with batch:
                pass
        del batch
        gc.collect()
    assert raw.requests == []


async def test_a_second_cancellation_does_not_lose_the_account():
    """Cancelled again within the grace, a run leaves at once, and its report still adds up."""
    arrived, release = asyncio.Event(), asyncio.Event()

    async def slow(peer, request):
        arrived.set()
        await release.wait()
        await answer_all(peer, request)

    async with raw_server(slow) as raw, client(raw) as sms:
        batch = sms.stream(fake_numbers(10), chunk_size=5, grace=30, **ARGUMENTS)

        async def run():
            async with batch:
                await batch.wait()

        task = asyncio.ensure_future(run())
        await arrived.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with anyio.fail_after(10), pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.report.total == 10
    assert sum(batch.report.counts.values()) == batch.report.total
    assert batch.report.counts[Status.UNKNOWN] == 5


@pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")
@pytest.mark.parametrize("again", [None, 1, 6])
@pytest.mark.parametrize("journalled", [False, True])
async def test_a_send_ends_at_whatever_step_all_tasks_are_cancelled_at_once(tmp_path, journalled, again):
    """As `asyncio.run` does when it ends: also a task that has not begun yet, which can clean nothing up then.

    And once more, some steps into the end.
    """
    async with raw_server(answer_all) as raw:
        for steps in range(60):
            ours = asyncio.all_tasks()
            async with client(raw) as sms:
                journal = tmp_path / f"{steps}.db" if journalled else None
                words = {"message": "Hello!", "sender_id": "DEMO", "chunk_size": 2, "grace": 0.1}
                sending = asyncio.ensure_future(sms.send(fake_numbers(6), journal=journal, **words))
                for turns in (steps, again):
                    for _ in range(turns or 0):
                        await asyncio.sleep(0)
                    if turns is not None:
                        cancel_all_but(ours)
                ended, _ = await asyncio.wait([sending], timeout=30)
            assert ended, f"it hangs when it is cancelled after {steps} steps"
            assert sending.cancelled() or sending.exception() is None
    del sending, ended
    gc.collect()  # of a coroutine that was never awaited Python tells when it is collected: here


@pytest.mark.parametrize("ends", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("journalled", [False, True])
def test_what_ends_a_program_comes_out_of_a_run_as_it_is(tmp_path, caplog, journalled, streamed, ends):
    """``sys.exit`` in a generator of contacts, or a second Ctrl-C: no group of exceptions, and the report is on it."""
    seen: list[BaseException] = []

    def contacts():
        yield from fake_numbers(5_000)
        raise ends(3)

    async def program():
        async with raw_server(answer_all) as raw, client(raw) as sms:
            journal = tmp_path / "a.db" if journalled else None
            try:
                async with sms.stream(contacts(), journal=journal, chunk_size=50, **ARGUMENTS) as batch:
                    if streamed:
                        assert [outcome async for outcome in batch]
                    await batch.wait()
            except BaseException as error:
                seen.append(error)
                raise

    with pytest.raises(ends) as raised:
        asyncio.run(program())
    assert raised.value.args == (3,)
    assert isinstance(seen[0], ends | asyncio.CancelledError)
    assert seen[0].report.total == sum(seen[0].report.counts.values()) > 0
    assert caplog.text == ""
