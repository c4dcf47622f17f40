"""A run with a journal: everything is written down before it is sent, and the journal is let go of at the end."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from string import Template

import anyio
import pytest

from faultserver import FaultServer
from journal.byhand import chunk, send_plan
from rawserver import Peer, Request, answer_all, fake_number, fake_numbers, raw_server, sent_numbers
from smspop_async import (
    ConfigurationError,
    ContactSourceError,
    JournalError,
    RateLimit,
    ReconcilePolicy,
    RetryPolicy,
    SmsPop,
    SqliteJournal,
    Status,
    list_sends,
    read_report,
)
from smspop_async.batch import journaled
from smspop_async.batch.job import journal_of
from smspop_async.batch.outcomes import OutcomeBook
from smspop_async.errors import Delivery
from smspop_async.journal import commit
from smspop_async.journal.base import ChunkState, SendState
from smspop_async.journal.opening import own
from smspop_async.journal.packing import unpack_numbers
from smspop_async.journal.sends import open_send

pytestmark = pytest.mark.anyio

TOKEN = "1|fake-token-0123456789abcdef"
SOON = ReconcilePolicy(first=0.001, horizon=0.002)
SAME = {"message": "Hello!", "sender_id": "DEMO", "name": "Fees", "reconcile": SOON}


def client(raw, **options) -> SmsPop:
    retry = RetryPolicy(attempts=3, initial_backoff=0.0, max_backoff=0.0)
    return SmsPop(token=TOKEN, base_url=raw.base_url, retry=retry, timeout=10, **options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "j.db"


def generator(rows: Iterable[object]):
    """Rows of which nobody can know that they end."""
    yield from rows


def rows_of(path: Path, run: str) -> list[str]:
    """The number of every row in a journal, as far as it is planned."""
    reader = open_send(path, run)
    try:
        return [number for piece in reader.rows() for number in piece.numbers]
    finally:
        reader.close()


def let_go(path: Path) -> bool:
    """Whether nobody holds the journal any more; a JournalError of another kind is an error."""
    own(path).close()
    return True


# Before the first one is sent.


@pytest.mark.parametrize("kind", ["list", "generator", "file"])
async def test_everything_is_in_the_journal_before_anything_is_sent(path, tmp_path, kind):
    """At the first request all rows are on the disk, the invalid ones too: from here on the list is not needed."""
    numbers = [*fake_numbers(2_000), "junk", fake_number(1)]
    source: object = numbers
    if kind == "generator":
        source = generator(numbers)
    if kind == "file":
        source = tmp_path / "list.txt"
        source.write_text("\n".join(numbers))
    seen = []

    def look(count: int) -> None:
        if count == 1:
            (record,) = list_sends(path)
            seen.extend([record.state, record.rows, rows_of(path, record.run)])

    server = FaultServer(on_post=look)
    async with raw_server(server.script) as raw, client(raw) as sms:
        report = await sms.send(source, journal=path, chunk_size=50, **SAME)
    assert seen == [SendState.PLANNED, 2_002, numbers]
    assert report.counts[Status.SENT] == 2_000
    assert let_go(path)


async def test_lines_are_followed_slab_by_slab(path, tmp_path, monkeypatch):
    """Good neighbour: a file with empty lines has as many steps as those, and a list is written down as a whole."""
    source = tmp_path / "people.txt"
    source.write_text("\n\n".join(fake_numbers(10_000)))
    followed = []
    follow = journaled.Planner.follow

    def count(self):
        before = len(self._runs.rows)
        follow(self)
        followed.append(len(self._runs.rows) - before)

    monkeypatch.setattr(journaled.Planner, "follow", count)
    async with raw_server(FaultServer(["402"]).script) as raw, client(raw) as sms:
        await sms.send(source, chunk_size=2, journal=path, **SAME)
    assert sum(followed) == 10_000
    assert max(followed) <= 2_000
    assert [outcome.line for outcome in read_report(path).outcomes()] == list(range(1, 20_000, 2))


async def test_nothing_is_gathered_for_the_journal_after_a_stop(path, monkeypatch):
    """Flat: the rest of a list is read on so that every row has its outcome, and nothing of it is written down."""
    followed = 0
    follow = journaled.Planner.follow

    def cancel_at_the_third(self):
        nonlocal followed
        followed += 1
        if followed == 3:
            task.cancel()
        follow(self)

    monkeypatch.setattr(journaled.Planner, "follow", cancel_at_the_third)
    async with raw_server(answer_all) as raw, client(raw) as sms:
        task = asyncio.ensure_future(sms.send(["junk"] * 80_000, journal=path, **SAME))
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    assert caught.value.report.counts[Status.INVALID] == 80_000
    assert followed < 10


async def test_small_campaigns_are_written_down_some_thousands_at_a_time(path, monkeypatch):
    """Good neighbour: each becomes an object for that, all of one order in one turn of the loop."""
    orders = []
    write = journaled.Planner.write

    async def count(self, chunks, excluded):
        orders.append(len(chunks))
        await write(self, chunks, excluded)

    monkeypatch.setattr(journaled.Planner, "write", count)
    async with raw_server(FaultServer(["402"]).script) as raw, client(raw) as sms:
        report = await sms.send(fake_numbers(9_000), chunk_size=1, journal=path, **SAME)
    assert report.counts[Status.NOT_SUBMITTED] == 8_999
    assert sum(orders) == 9_000
    assert max(orders) <= 3_000


async def test_a_stream_over_a_list_is_planned_ahead_too(path):
    """What is known to end is written down whole."""
    seen = []
    server = FaultServer(on_post=lambda count: seen.append(list_sends(path)[0]))
    async with raw_server(server.script) as raw, client(raw) as sms:
        async with sms.stream(fake_numbers(40), journal=path, chunk_size=2, **SAME) as batch:
            assert len([outcome async for outcome in batch]) == 40
    assert (seen[0].state, seen[0].rows) == (SendState.PLANNED, 40)


async def test_a_stream_over_what_may_never_end_is_planned_along(path):
    """Each chunk is on the disk before it leaves, and the rest when the source has ended."""

    async def look(peer: Peer, request: Request) -> None:
        if request.method == "POST":
            (record,) = list_sends(path)
            states.append(record.state)
            claimed = read_states(path)
            (at,) = [seq for seq, numbers in claimed.items() if numbers[1] == sent_numbers(request)]
            assert claimed[at][0] == "submitting"
        await answer_all(peer, request)

    states: list[SendState] = []
    async with raw_server(look) as raw, client(raw) as sms:
        async with sms.stream(generator(fake_numbers(4_000)), journal=path, chunk_size=200, **SAME) as batch:
            await batch.wait()
    assert states[0] is SendState.STREAMING
    assert len(states) == 20
    (record,) = list_sends(path)
    assert (record.state, record.rows, record.chunks) == (SendState.PLANNED, 4_000, {ChunkState.DONE: 20})
    assert batch.report.stopped_by is None


def read_states(path: Path) -> dict[int, tuple[str, list[str]]]:
    """State and numbers of each chunk."""
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute(
            "SELECT id & 0xffffffff, state, numbers FROM chunk JOIN chunk_contacts USING (id)"
        )
        return {seq: (state, unpack_numbers(numbers)) for seq, state, numbers in rows}
    finally:
        connection.close()


@pytest.mark.parametrize("concurrency", [1, 5])
async def test_a_claim_is_on_the_disk_before_its_request_leaves(path, concurrency):
    """At every request the journal says of exactly this campaign that it is under way (law 4, Write ahead)."""

    async def look(peer: Peer, request: Request) -> None:
        states = read_states(path)
        assert [state for state, numbers in states.values() if numbers == sent_numbers(request)] == [
            "submitting"
        ]
        seen.append(1)
        await answer_all(peer, request)

    seen: list[int] = []
    async with raw_server(look) as raw, client(raw) as sms:
        report = await sms.send(
            fake_numbers(60), journal=path, chunk_size=2, max_concurrency=concurrency, **SAME
        )
    assert len(seen) == 30
    assert report.counts[Status.SENT] == 60


@pytest.mark.parametrize(("bound", "most"), [("_KEPT", 10), ("_KEPT_CHUNKS", 3)])
async def test_what_is_not_kept_in_memory_is_read_back(path, monkeypatch, bound, most):
    """Of a long list the first chunks are kept, the others come from the journal, each once, in their order.

    As many as there is room for, in contacts and in chunks: a list in campaigns of one is many small objects.
    """
    kept = []
    prepare = journaled.AheadSource.prepare

    async def prepared(source, tell):
        await prepare(source, tell)
        kept.extend(chunk.seq for chunk in source._ready)

    monkeypatch.setattr(journaled.AheadSource, "prepare", prepared)
    monkeypatch.setattr(journaled, bound, most)
    monkeypatch.setattr(journaled, "_READ", 3)
    monkeypatch.setattr(journaled, "_TOGETHER", 8)
    server = FaultServer(["422_contacts", "ok", "ok", "422_contacts"])
    async with raw_server(server.script) as raw, client(raw) as sms:
        report = await sms.send(fake_numbers(101), journal=path, chunk_size=4, max_concurrency=2, **SAME)
    assert report.counts[Status.SENT] == 101
    assert kept == ([1, 2] if bound == "_KEPT" else [1, 2, 3])
    assert server.texted == Counter(fake_numbers(101))
    assert set(list_sends(path)[0].chunks) == {ChunkState.DONE, ChunkState.REPLACED}


async def test_lines_and_reasons_are_in_the_journal(path, tmp_path):
    """A file with empty lines, junk and duplicates: every row in its place with its line and its reason."""
    source = tmp_path / "list.csv"
    numbers = fake_numbers(9)
    lines = ["phone,name"]
    for at, number in enumerate(numbers):
        lines += [f"{number},n{at}"] + [""] * (at % 3) + (["12,junk"] if at % 4 == 2 else [])
    source.write_text("\n".join([*lines, f"{numbers[0]},again"]))
    async with raw_server(answer_all) as raw, client(raw) as sms:
        report = await sms.send(source, journal=path, chunk_size=2, suppress=[numbers[5]], **SAME)
    outcomes = list(report.outcomes())
    assert {Status.SENT, Status.INVALID, Status.DUPLICATE, Status.SUPPRESSED} == {o.status for o in outcomes}
    assert [o.line for o in outcomes] != list(range(2, 2 + len(outcomes)))
    assert list(read_report(path).outcomes()) == outcomes


async def test_rows_may_have_lines_in_part(path):
    """Lines begin and end where they do, also where the sources of the rows are of different kinds."""
    book = OutcomeBook()
    async with SqliteJournal(path) as journal:
        log = await journal.begin(send_plan(), streaming=True)
        planner = journaled.Planner(log=log, book=book)
        for lines in (None, [7, 8], [12, 14], None, [20]):
            book.enter(fake_numbers(len(lines or [1, 2]), len(book)), lines)
        await log.plan([chunk(1, range(len(book)))], total=len(book))
        await planner.write([], None)
        await log.last_seq()
        reader = log.reader()
        lines = [
            None if rows.line is None else rows.line + at
            for rows in reader.rows()
            for at in range(len(rows.numbers))
        ]
        reader.close()
    assert lines == [None, None, 7, 8, 12, 14, None, None, 20]


async def test_a_template_is_kept_as_it_was_given(path):
    """The texts as they go out, and the template for whoever looks at the journal."""
    rows = [{"phone": number, "name": f"N{at % 2}"} for at, number in enumerate(fake_numbers(6))]
    options = {**SAME, "message": Template("Dear $name")}
    async with raw_server(answer_all) as raw, client(raw) as sms:
        report = await sms.send(rows, journal=path, chunk_size=10, **options)
    assert report.counts[Status.SENT] == 6
    assert list_sends(path)[0].message == "Dear $name"
    assert list(read_report(path).outcomes()) == list(report.outcomes())


async def test_how_a_send_goes_is_in_the_journal(path):
    """Pace and policy: a resume keeps to them."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        await sms.send(
            fake_numbers(2), journal=path, max_concurrency=3, rate_limit=RateLimit(contacts_per_second=5e5),
            canary=False, adaptive=True, **SAME,
        )  # fmt: skip
        (record,) = list_sends(path)
        assert record.base_url == raw.base_url
    assert (record.name, record.sender_id, record.message) == ("Fees", "DEMO", "Hello!")
    assert record.settings == {
        "max_concurrency": 3,
        "rate_limit": {"contacts_per_second": 5e5, "requests_per_second": None},
        "reconcile": {"first": 0.001, "horizon": 0.002},
        "canary": False,
        "adaptive": True,
    }


async def test_the_token_is_in_none_of_the_files(path):
    """Neither in the journal nor in its log, at any time (law 7)."""
    secret = TOKEN.partition("|")[2].encode()

    def look(count: int) -> None:
        for file in path.parent.iterdir():
            data = file.read_bytes()
            assert secret not in data
            assert b"Bearer" not in data
            files.add(file.name)

    files: set[str] = set()
    server = FaultServer(["ok", "401"], on_post=look)
    async with raw_server(server.script) as raw, client(raw) as sms:
        await sms.send(fake_numbers(40), journal=path, chunk_size=2, max_concurrency=1, **SAME)
    look(0)
    assert {"j.db", "j.db-wal"} <= files


# What ends it before anything is sent.


class Waiting:
    """A source that gives rows and then waits for ever, as a database does that hangs."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.waits = asyncio.Event()

    async def rows(self):
        for number in fake_numbers(self.count):
            yield number
        self.waits.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("grace", [0, 30])
@pytest.mark.parametrize("native", [True, False], ids=["asyncio", "anyio"])
async def test_a_cancellation_while_planning_sends_nothing(path, grace, native):
    """The send is given up, a resume says so, every row that was read is accounted for, and the lock is free."""
    source = Waiting(700)
    async with raw_server(answer_all) as raw, client(raw) as sms:
        scope = anyio.CancelScope()

        async def send():
            with scope:
                await sms.send(source.rows(), journal=path, chunk_size=50, grace=grace, **SAME)

        task = asyncio.ensure_future(send())
        await source.waits.wait()
        if native:
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            report = caught.value.report
            assert report.counts[Status.NOT_SUBMITTED] == report.total == 700
        else:
            scope.cancel()
            await task
        assert let_go(path)
        with pytest.raises(JournalError, match=r"nothing of .* went out.* Send the list again"):
            await sms.resume(path)
        assert raw.requests == []
    (record,) = list_sends(path)
    assert record.state is SendState.ABANDONED
    assert record.finished


@pytest.mark.parametrize("grace", [0, 30])
async def test_a_plan_that_is_cancelled_is_not_resumed_while_the_journal_is_open(path, grace):
    """The program keeps its journal open: half of the list must not be taken for the whole."""
    source = Waiting(700)
    async with raw_server(answer_all) as raw, client(raw) as sms, SqliteJournal(path) as journal:
        task = asyncio.ensure_future(
            sms.send(source.rows(), journal=journal, chunk_size=50, grace=grace, **SAME)
        )
        await source.waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(JournalError, match="There is nothing to resume"):
            await sms.resume(journal)
        assert raw.requests == []


async def test_a_plan_that_goes_on_is_not_resumed(path):
    """Nor while somebody in the same program still writes it down."""
    source = Waiting(700)
    async with raw_server(answer_all) as raw, client(raw) as sms, SqliteJournal(path) as journal:
        task = asyncio.ensure_future(sms.send(source.rows(), journal=journal, chunk_size=50, grace=0, **SAME))
        await source.waits.wait()
        with pytest.raises(JournalError):
            await sms.resume(journal)
        assert raw.requests == []
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_stream_that_is_left_while_planning_sends_nothing(path):
    """To break out while the list is being written down is to give the send up."""
    source = [
        "junk",
        *fake_numbers(100_000),
    ]  # more than is written down in the turns until the block is left
    async with raw_server(answer_all) as raw, client(raw) as sms:
        async with sms.stream(source, journal=path, chunk_size=50, **SAME) as batch:
            async for outcome in batch:
                assert outcome.status is Status.INVALID
                break
        assert raw.requests == []
    assert batch.report.total == 100_001
    assert batch.report.counts[Status.NOT_SUBMITTED] == 100_000
    assert list_sends(path)[0].state is SendState.ABANDONED
    assert let_go(path)


@pytest.mark.parametrize("read", [30, 3_000])
async def test_a_source_that_fails_while_planning_sends_nothing(path, read):
    """The report has what was read and why, and so has the journal; a resume does not send half of a list."""

    def broken():
        yield from fake_numbers(read)
        raise OSError(5, "Input/output error")

    async with raw_server(answer_all) as raw, client(raw) as sms:
        report = await sms.send(broken(), journal=path, chunk_size=10, **SAME)
        assert isinstance(report.stopped_by, ContactSourceError)
        assert report.counts[Status.NOT_SUBMITTED] == report.total == read
        (record,) = list_sends(path)
        assert record.state is SendState.ABANDONED
        assert str(report.stopped_by) in record.note
        with pytest.raises(JournalError) as caught:
            await sms.resume(path)
        assert "nothing of it went out" in str(caught.value)
        assert "Send the list again; that texts nobody twice." in str(caught.value)
        assert raw.requests == []
        again = await sms.send(fake_numbers(read), journal=path, chunk_size=1_000, **SAME)
        assert again.counts[Status.SENT] == read
    assert [record.state for record in list_sends(path)] == [SendState.ABANDONED, SendState.PLANNED]


async def test_what_is_wrong_with_a_source_from_the_start_leaves_no_journal(path, tmp_path):
    """Nothing is made where there is nothing to send."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        with pytest.raises(ContactSourceError):
            await sms.send(tmp_path / "missing.csv", journal=path, **SAME)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("journal", ["", 7, b"j.db", object()])
async def test_what_is_no_journal_is_refused(journal):
    """A path, or a journal: everything else is a mistake, and found before anything is opened."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        with pytest.raises(ConfigurationError, match="journal must be a path or a SqliteJournal"):
            await sms.send(fake_numbers(1), journal=journal, **SAME)
        with pytest.raises(ConfigurationError, match="journal must be a path or a SqliteJournal"):
            await sms.resume(journal)
        assert raw.requests == []
    with pytest.raises(ConfigurationError):
        journal_of(None)


# Along.


async def test_a_stream_that_is_left_early_keeps_what_it_has_planned(path):
    """Chunks that were read and not sent are in the journal; a resume sends them, and says what it does not have."""
    server = FaultServer()
    async with raw_server(server.script) as raw, client(raw) as sms:
        stream = sms.stream(
            generator(fake_numbers(5_000)), journal=path, chunk_size=10, max_concurrency=2, **SAME
        )
        async with stream as batch:
            async for _ in batch:
                break
        assert sum(batch.report.counts.values()) == batch.report.total < 5_000
        (record,) = list_sends(path)
        assert record.state is SendState.STREAMING
        report = await sms.resume(path)
    assert isinstance(report.stopped_by, ContactSourceError)
    assert f"read up to row {record.rows:,}" in str(report.stopped_by)
    assert report.total == record.rows
    assert max(server.texted.values()) == 1
    planned = sum(record.contacts.values())
    assert sum(server.texted.values()) == report.counts[Status.SENT] == planned
    assert report.counts[Status.NOT_SUBMITTED] == record.rows - planned
    assert let_go(path)


@pytest.mark.parametrize("read", [5, 1_005])
async def test_a_stream_whose_source_fails_is_finished_with_what_it_had(path, read):
    """What was planned before the source broke off is sent by a resume, which says that there may have been more."""

    def broken():
        yield from fake_numbers(read)
        raise OSError(5, "Input/output error")

    server = FaultServer()
    async with raw_server(server.script) as raw, client(raw) as sms:
        async with sms.stream(broken(), journal=path, chunk_size=10, **SAME) as batch:
            await batch.wait()
        assert isinstance(batch.report.stopped_by, ContactSourceError)
        report = await sms.resume(path)
    assert isinstance(report.stopped_by, ContactSourceError)
    assert max(server.texted.values()) == 1
    assert report.counts[Status.SENT] == sum(server.texted.values())


async def test_rows_that_are_not_sent_are_written_down_along(path):
    """Also where no chunk goes with them, and at the very end."""
    rows = ["junk", *fake_numbers(3), "junk", fake_number(1), "junk"]
    async with raw_server(answer_all) as raw, client(raw) as sms:
        async with sms.stream(generator(rows), journal=path, chunk_size=2, **SAME) as batch:
            outcomes = [outcome async for outcome in batch]
        report = read_report(path)
        assert list(report.outcomes()) == sorted(outcomes, key=lambda outcome: outcome.index)
        async with sms.stream(generator(["junk"]), journal=path, **SAME) as batch:
            await batch.wait()
    assert read_report(path).counts[Status.INVALID] == 1
    assert list_sends(path)[1].state is SendState.PLANNED


# Failures of the journal in the middle.


async def break_off(path: Path, monkeypatch, *, after: int, **options):
    """A send whose journal vanishes at a request."""
    monkeypatch.setattr(commit, "_LOOK", 0.0)

    def vanish(count: int) -> None:
        if count == after:
            path.unlink()

    server = FaultServer(on_post=vanish)
    async with raw_server(server.script) as raw, client(raw) as sms:
        async with sms.stream(fake_numbers(80), journal=path, chunk_size=2, **SAME, **options) as batch:
            outcomes = [outcome async for outcome in batch]
    return server, batch.report, outcomes


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_journal_that_fails_is_a_reason_to_stop_also_where_chunks_are_read_back(
    path, monkeypatch, concurrency
):
    """`stopped_by` has the JournalError: it is not raised, for there is a report of what was sent."""
    monkeypatch.setattr(journaled, "_KEPT", 8)
    monkeypatch.setattr(journaled, "_READ", 2)
    server, report, outcomes = await break_off(path, monkeypatch, after=7, max_concurrency=concurrency)
    assert isinstance(report.stopped_by, JournalError)
    assert sum(report.counts.values()) == report.total == 80
    assert report.counts[Status.SENT] == sum(server.texted.values())
    assert max(server.texted.values()) == 1
    assert len({outcome.index for outcome in outcomes}) == len(outcomes)


async def test_a_journal_error_of_a_run_says_that_nothing_of_it_was_sent(path, monkeypatch):
    """The campaign that it stopped did not leave."""
    _, report, _ = await break_off(path, monkeypatch, after=3, max_concurrency=1)
    assert report.stopped_by.delivery is Delivery.NOT_SENT


# The same send again.


async def unfinished(raw, path: Path, **words: object) -> str:
    """A send of which the first campaign went out, and the others did not."""
    async with client(raw) as sms:
        arguments = {**SAME, **words}
        async with sms.stream(fake_numbers(6), journal=path, chunk_size=2, **arguments) as batch:
            async for _ in batch:
                break
    (record,) = list_sends(path)
    assert not record.finished
    assert record.contacts[ChunkState.DONE] >= 2
    return record.run


async def test_a_program_that_is_started_again_after_a_crash_texts_nobody_twice(path):
    """It says `send` once more, of the same list into the same journal, where `resume` was meant."""
    async with raw_server(answer_all) as raw:
        run = await unfinished(raw, path)
        posts = len(raw.posts)
        async with client(raw) as sms:
            for _ in range(2):
                with pytest.raises(
                    JournalError, match=rf"not finished\..*sms\.resume\(.*run='{run}'\)"
                ) as caught:
                    await sms.send(fake_numbers(6), journal=path, chunk_size=2, **SAME)
                assert caught.value.delivery is Delivery.NOT_SENT
            assert len(raw.posts) == posts
            assert [record.state for record in list_sends(path)[1:]] == [SendState.ABANDONED] * 2
            report = await sms.resume(path)  # which need not be told of which send
            assert report.run == run
            people = [number for request in raw.posts for number in sent_numbers(request)]
            assert Counter(people) == Counter(fake_numbers(6))
            await sms.send(fake_numbers(6), journal=path, chunk_size=2, **SAME)  # and next week once more


async def test_a_send_that_is_being_resumed_is_not_begun_from_the_start(path):
    """Nor while its rest goes out."""
    arrived, release = asyncio.Event(), asyncio.Event()

    async def slow(peer: Peer, request: Request) -> None:
        if arrived.is_set() or len(raw.posts) > before:
            arrived.set()
            await release.wait()
        await answer_all(peer, request)

    before = 100
    async with raw_server(slow) as raw:
        await unfinished(raw, path)
        before = len(raw.posts)
        async with client(raw) as sms, SqliteJournal(path) as journal:
            resuming = asyncio.ensure_future(sms.resume(journal))
            await arrived.wait()
            with pytest.raises(JournalError, match="holds this very send already"):
                await sms.send(fake_numbers(6), journal=journal, chunk_size=2, **SAME)
            release.set()
            assert (await resuming).counts[Status.SENT] == 6
        people = [number for request in raw.posts for number in sent_numbers(request)]
        assert Counter(people) == Counter(fake_numbers(6))


@pytest.mark.parametrize(
    ("contacts", "words"),
    [
        (fake_numbers(6)[1:], {}),
        ([*fake_numbers(5), fake_number(77)], {}),
        (fake_numbers(6), {"name": "Other"}),
        (fake_numbers(6), {"message": "Bye!"}),
        (fake_numbers(6), {"sender_id": "OTHER"}),
        (["nobody"] * 6, {}),
    ],
)
async def test_another_send_may_be_begun_while_one_is_not_finished(path, contacts, words):
    """Other people, or something else to tell them."""
    async with raw_server(answer_all) as raw:
        await unfinished(raw, path)
        async with client(raw) as sms:
            report = await sms.send(contacts, journal=path, chunk_size=2, **{**SAME, **words})
        assert report.stopped_by is None
        assert [record.finished for record in list_sends(path)] == [False, True]


# The end.


async def test_the_journal_is_let_go_of_at_the_end(path):
    """After a send, and after one that was stopped; by whom, and why, is in the journal."""
    server = FaultServer(["ok", "402"])
    async with raw_server(server.script) as raw, client(raw) as sms:
        report = await sms.send(fake_numbers(9), journal=path, chunk_size=2, max_concurrency=1, **SAME)
        assert let_go(path)
        assert list_sends(path)[0].note == str(report.stopped_by)
        await sms.send(fake_numbers(1), journal=path, **SAME)
        assert let_go(path)
        assert list_sends(path)[1].note == ""


@pytest.mark.parametrize("grace", [0, 30])
async def test_the_journal_is_let_go_of_after_a_cancellation(path, grace):
    """What was under way is UNKNOWN or settled, what was not is planned, and the lock is free at once."""
    arrived, release = asyncio.Event(), asyncio.Event()

    async def slow(peer: Peer, request: Request) -> None:
        arrived.set()
        await release.wait()
        await answer_all(peer, request)

    async with raw_server(slow) as raw, client(raw) as sms:
        task = asyncio.ensure_future(
            sms.send(fake_numbers(10), journal=path, chunk_size=5, grace=grace, **SAME)
        )
        await arrived.wait()
        task.cancel()
        if grace:
            asyncio.get_running_loop().call_soon(release.set)
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert let_go(path)
    report = caught.value.report
    expected = Status.SENT if grace else Status.UNKNOWN
    assert [report.counts[s] for s in (expected, Status.NOT_SUBMITTED)] == [5, 5]
    (record,) = list_sends(path)
    assert record.note == "It was cancelled."
    assert record.contacts == {ChunkState.DONE if grace else ChunkState.UNKNOWN: 5, ChunkState.PLANNED: 5}
    assert read_report(path).counts == report.counts


async def test_a_journal_that_was_open_stays_open(path):
    """Who opened it closes it; several sends go one after another, and at once, into one file."""
    async with raw_server(answer_all) as raw, client(raw) as sms, SqliteJournal(path) as journal:
        await sms.send(fake_numbers(3), journal=journal, **SAME)
        with pytest.raises(JournalError, match="in use by this process"):
            await sms.send(fake_numbers(3), journal=path, **SAME)
        async with anyio.create_task_group() as tasks:
            for at in range(1, 4):
                tasks.start_soon(lambda at=at: sms.send(fake_numbers(3, 10 * at), journal=journal, **SAME))
        assert [record.rows for record in await journal.sends()] == [3] * 4
        assert len({record.run for record in await journal.sends()}) == 4
    assert let_go(path)


async def test_a_bug_in_the_middle_closes_the_journal(path):
    """It ends the run, is raised, and leaves a journal that says what was under way."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        original = sms.submitter.transport.post

        async def post(*args):
            await original(*args)
            raise ZeroDivisionError

        sms.submitter.transport.post = post
        with pytest.raises(ZeroDivisionError):
            await sms.send(fake_numbers(4), journal=path, chunk_size=2, max_concurrency=1, **SAME)
    assert let_go(path)
    assert list_sends(path)[0].contacts == {ChunkState.UNKNOWN: 2, ChunkState.PLANNED: 2}


async def test_a_stop_that_keeps_a_refused_campaign_whole_does_not_refuse_it_for_good(path):
    """One contact that the API refuses is refused alone, also where a stop came before the campaign could be halved."""
    arrived, release = asyncio.Event(), asyncio.Event()
    bad = fake_number(8)

    async def refuse_one(peer: Peer, request: Request) -> None:
        numbers = sent_numbers(request)
        if bad in numbers and len(numbers) == 4 and not release.is_set():
            arrived.set()
            await release.wait()
        if bad in numbers:
            await peer.json(422, '{"success": false, "message": "No", "errors": {"manual_contacts": ["x"]}}')
        else:
            await answer_all(peer, request)

    async with raw_server(refuse_one) as raw, client(raw) as sms:
        sending = asyncio.ensure_future(
            sms.send(fake_numbers(12), journal=path, chunk_size=4, max_concurrency=1, **SAME)
        )
        await arrived.wait()
        sending.cancel()
        asyncio.get_running_loop().call_soon(release.set)
        with pytest.raises(asyncio.CancelledError) as caught:
            await sending
        assert caught.value.report.counts[Status.REJECTED] == 4
        report = await sms.resume(path)
    assert (report.counts[Status.SENT], report.counts[Status.REJECTED]) == (11, 1)
    assert [outcome.phone_number for outcome in report.outcomes() if outcome.status is Status.REJECTED] == [
        bad
    ]
    assert list_sends(path)[0].finished


@pytest.mark.parametrize("pause", [False, True])
async def test_the_same_send_begun_twice_at_once_goes_out_once(path, pause):
    """Somebody clicks twice: the second is told that the first is not finished, whichever of them is planned first."""
    arrived, release = asyncio.Event(), asyncio.Event()

    async def slow(peer: Peer, request: Request) -> None:
        arrived.set()
        await release.wait()
        await answer_all(peer, request)

    async with raw_server(slow) as raw, client(raw) as sms, SqliteJournal(path) as journal:
        sends = []
        for _ in range(2):
            sends.append(
                asyncio.ensure_future(sms.send(fake_numbers(6), journal=journal, chunk_size=2, **SAME))
            )
            if pause:
                await arrived.wait()
        done, (left,) = await asyncio.wait(sends, return_when=asyncio.FIRST_COMPLETED)
        with pytest.raises(JournalError, match="holds this very send already"):
            await done.pop()
        release.set()
        assert (await left).counts[Status.SENT] == 6
        people = [number for request in raw.posts for number in sent_numbers(request)]
    assert Counter(people) == Counter(fake_numbers(6))


async def test_a_stream_that_is_started_again_after_a_crash_texts_nobody_twice(path):
    """Its source may never end, so that what it begins with must do to recognise it."""
    async with raw_server(answer_all) as raw, client(raw) as sms:
        arguments = {"journal": path, "chunk_size": 2, "max_concurrency": 1, **SAME}

        async def stream(numbers):
            async with sms.stream(generator(numbers), **arguments) as batch:
                async for _ in batch:
                    pass
            return batch.report

        async with sms.stream(generator(fake_numbers(40)), **arguments) as batch:
            async for _ in batch:
                break
        (record,) = list_sends(path)
        with sqlite3.connect(path) as connection:  # as a crash leaves it
            (last,) = connection.execute("SELECT max(id) FROM chunk").fetchone()
            connection.execute("UPDATE chunk SET state = 'submitting', changed_at = 1 WHERE id = ?", (last,))
        connection.close()
        posts = len(raw.posts)
        report = await stream(fake_numbers(40))
        assert isinstance(report.stopped_by, JournalError)
        assert f"run={record.run!r}" in str(report.stopped_by)
        assert len(raw.posts) == posts
        assert list_sends(path)[-1].state is SendState.ABANDONED
        assert (await stream(fake_numbers(40, start=100))).counts[Status.SENT] == 40  # others
        await sms.resume(path, run=record.run, resend_unknown=True)
        assert (await stream(fake_numbers(40))).counts[Status.SENT] == 40  # and when that is finished
