"""The journal as a run uses it: opened once, closed once, one owner, and every order carried out or told about."""

import asyncio
import sqlite3
import threading
from collections import Counter

import anyio
import pytest

from journal.byhand import chunk, send_plan, sent, small_journal
from smspop_async import JournalError, SqliteJournal, Status, list_sends
from smspop_async.journal import sqlite as sqlite_module
from smspop_async.journal import statements
from smspop_async.journal.base import ChunkState, LineRun, RejectedRow, SendState, StaleClaimError, Verdict
from smspop_async.journal.opening import own
from smspop_async.journal.sends import open_send

pytestmark = pytest.mark.anyio

RUN = "aaaaaaaaaa"
UNKNOWN = Verdict(state=ChunkState.UNKNOWN, status=Status.UNKNOWN, detail="hung up")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "j.db"


@pytest.fixture
async def journal(path):
    async with SqliteJournal(path) as opened:
        yield opened


async def planned(journal: SqliteJournal, chunks: int = 3, run: str = RUN):
    """A send of which everything is planned, and a list of what it is told went wrong."""
    log = await journal.begin(send_plan(run), streaming=False)
    told: list[JournalError] = []
    log.failed = told.append
    await log.plan([chunk(seq, [seq - 1]) for seq in range(1, chunks + 1)], total=chunks)
    await log.mark(SendState.PLANNED)
    return log, told


def states(path) -> dict[int, str]:
    connection = sqlite3.connect(path)
    try:
        return dict(connection.execute("SELECT id & 0xffffffff, state FROM chunk"))
    finally:
        connection.close()


def events(path) -> list[tuple[int, str, str]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(
            "SELECT chunk_id & 0xffffffff, state, note FROM chunk_event ORDER BY id"
        ).fetchall()
    finally:
        connection.close()


def is_free(path) -> bool:
    """Whether nobody owns the journal."""
    try:
        own(path).close()
    except JournalError as error:
        if "is in use" not in str(error):
            raise
        return False
    return True


# Open and closed.


async def test_it_is_open_as_long_as_somebody_uses_it(path):
    """Each send that is given the same journal is one more user; the last one to leave closes it."""
    journal = SqliteJournal(path)
    async with journal:
        async with journal:
            assert not is_free(path)
        assert not is_free(path)
        assert await journal.sends() == []
    assert is_free(path)
    async with journal:
        assert await journal.sends() == []
    assert is_free(path)


async def test_it_is_opened_once_by_many(path, monkeypatch):
    """Whoever comes while it is being opened waits for that."""
    opened = Counter()
    real = own

    def counted(where):
        opened[where] += 1
        return real(where)

    monkeypatch.setattr(sqlite_module, "own", counted)
    journal = SqliteJournal(path)
    await asyncio.gather(*(journal.__aenter__() for _ in range(10)))
    await asyncio.gather(*(journal.__aexit__(None, None, None) for _ in range(9)))
    assert await journal.sends() == []
    await journal.__aexit__(None, None, None)
    assert opened == {path: 1}
    assert is_free(path)


async def test_it_is_opened_again_when_it_has_been_closed(path):
    """Whoever comes while it is being closed waits for that too, and is not told that it is in use."""
    journal = SqliteJournal(path)
    for _ in range(5):
        await journal.__aenter__()
        leaving = asyncio.ensure_future(journal.__aexit__(None, None, None))
        await anyio.lowlevel.checkpoint()
        async with journal:
            await leaving
            assert await journal.sends() == []


def test_it_may_be_used_in_one_loop_after_another(path):
    """A journal belongs to no loop while it is closed."""
    journal = SqliteJournal(path)

    async def use(run: str) -> None:
        async with journal:
            await planned(journal, run=run)

    for run in ("aaaaaaaaaa", "bbbbbbbbbb"):
        asyncio.run(use(run))
    assert [record.run for record in list_sends(path)] == ["aaaaaaaaaa", "bbbbbbbbbb"]


def test_a_journal_that_is_open_in_another_loop_is_refused(path):
    """In words, and not by waiting for ever; and whoever has it goes on."""
    journal = SqliteJournal(path)
    entered, done = threading.Event(), threading.Event()

    async def hold() -> None:
        async with journal:
            entered.set()
            await anyio.to_thread.run_sync(done.wait)
            assert await journal.sends() == []

    async def use() -> None:
        async with journal:
            with pytest.raises(JournalError, match="in another event loop"):
                await journal.sends()

    holder = threading.Thread(target=asyncio.run, args=(hold(),))
    holder.start()
    try:
        entered.wait()
        asyncio.run(use())
    finally:
        done.set()
        holder.join()
    assert is_free(path)


async def test_what_is_not_open_is_not_used(path):
    """Neither before nor after."""
    journal = SqliteJournal(path)
    for _ in range(2):
        with pytest.raises(JournalError, match="is not open: use it as `async with`"):
            await journal.sends()
        with pytest.raises(JournalError, match="is not open"):
            await journal.begin(send_plan(), streaming=False)
        async with journal:
            pass
    assert repr(journal) == f"SqliteJournal({str(path)!r})"


async def test_a_failure_to_open_is_no_user(path):
    """What could not be opened can be tried again with the same object."""
    path.mkdir()
    journal = SqliteJournal(path)
    with pytest.raises(JournalError, match="it is a folder"):
        await journal.__aenter__()
    path.rmdir()
    async with journal:
        assert await journal.sends() == []
    assert is_free(path)


@pytest.mark.parametrize("order", ["give_up_claims", "give_up_plans"])
async def test_a_journal_that_cannot_be_taken_over_is_let_go_of(path, monkeypatch, order):
    """What a dead process has left behind must be written down before anything else; else nobody gets the journal."""
    small_journal(path, chunks=1)

    def fail(connection, **words):
        raise sqlite3.OperationalError("x")

    with monkeypatch.context() as patch:
        patch.setattr(statements, order, fail)
        with pytest.raises(JournalError, match="cannot be used"):
            await SqliteJournal(path).__aenter__()
    assert is_free(path)


async def test_an_exception_in_the_block_closes_it(path):
    """And goes its way."""
    with pytest.raises(KeyError):
        async with SqliteJournal(path):
            raise KeyError
    assert is_free(path)


async def wait_until_free(path) -> None:
    with anyio.fail_after(10):
        while not await anyio.to_thread.run_sync(is_free, path):
            await anyio.lowlevel.checkpoint()


async def test_a_cancelled_close_lets_go_of_the_lock(path):
    """A cancellation of asyncio's own reaches into a shield; the journal is closed all the same, by its thread."""
    journal = SqliteJournal(path)
    await journal.__aenter__()
    leaving = asyncio.ensure_future(journal.__aexit__(None, None, None))
    await anyio.lowlevel.checkpoint()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await wait_until_free(path)
    async with journal:
        assert await journal.sends() == []


@pytest.mark.parametrize("native", [True, False], ids=["asyncio", "anyio"])
async def test_a_cancelled_opening_lets_go_of_the_lock(path, monkeypatch, native):
    """A thread cannot be cancelled: what it opens for somebody who has left is closed again."""
    opening, go_on = threading.Event(), threading.Event()
    real = own

    def slow(where):
        opening.set()
        assert go_on.wait(30)
        return real(where)

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_module, "own", slow)
        scope = anyio.CancelScope()

        async def enter() -> None:
            with scope:
                async with SqliteJournal(path):
                    await anyio.sleep_forever()

        task = asyncio.ensure_future(enter())
        await anyio.to_thread.run_sync(opening.wait)
        if native:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go_on.set()
        else:
            scope.cancel()
            go_on.set()
            await task
    await wait_until_free(path)


async def test_a_cancelled_opening_that_fails_is_nobodys_failure(path, monkeypatch):
    """Who has left is not told, and nothing is complained about later (warnings are errors)."""
    opening, go_on, failed = threading.Event(), threading.Event(), threading.Event()

    def slow(where):
        opening.set()
        assert go_on.wait(30)
        failed.set()
        raise JournalError("no")

    monkeypatch.setattr(sqlite_module, "own", slow)
    task = asyncio.ensure_future(SqliteJournal(path).__aenter__())
    await anyio.to_thread.run_sync(opening.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await anyio.to_thread.run_sync(failed.wait)


async def test_a_journal_stays_where_it_was_opened(path, monkeypatch, tmp_path):
    """A program may change its folder, and a link may be led elsewhere, while the journal is open."""
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(path.parent)
    async with SqliteJournal("j.db") as journal:
        log, told = await planned(journal)
        monkeypatch.chdir(tmp_path / "other")
        await log.claim(1)
        reader = log.reader()
        assert len(list(reader.rows())) == 3
        reader.close()
        assert told == []
    assert list((tmp_path / "other").iterdir()) == []


# What a dead process has left behind.


async def test_what_was_under_way_is_unknown_to_whoever_opens_next(path):
    """Claims of a process that is gone may have been sent: that is entered, with its time; nothing else is touched."""
    async with SqliteJournal(path) as journal:
        log, _ = await planned(journal, chunks=4)
        for seq in (1, 2, 3):
            await log.claim(seq)
        log.settle(2, sent(1))
        log.settle(3, UNKNOWN)
    async with SqliteJournal(path, clock=lambda: 5e9) as journal:
        (record,) = await journal.sends()
        log = await journal.reopen(RUN)
        unknown = await log.unknown(after=0, limit=9)
    assert record.chunks == {ChunkState.UNKNOWN: 2, ChunkState.DONE: 1, ChunkState.PLANNED: 1}
    assert [(each.planned.seq, each.verdict.detail) for each in unknown] == [
        (1, statements.LEFT_BEHIND),
        (3, "hung up"),
    ]
    assert events(path)[-1] == (1, "unknown", statements.LEFT_BEHIND)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT max(at) FROM chunk_event").fetchone() == (5e9,)
    connection.close()


async def test_a_plan_that_was_not_ended_is_given_up(path):
    """Nothing of it was sent, and nothing of it is going to be; a stream goes on with what it has."""
    async with SqliteJournal(path) as journal:
        for run, streaming in (("aaaaaaaaaa", False), ("bbbbbbbbbb", True)):
            log = await journal.begin(send_plan(run), streaming=streaming)
            await log.plan([chunk(1, [0])], total=1)
    async with SqliteJournal(path) as journal:
        given_up, stream = await journal.sends()
    assert given_up.state is SendState.ABANDONED
    assert "nothing of this send went out" in given_up.note
    assert given_up.finished
    assert given_up.chunks == {ChunkState.FAILED: 1}
    assert stream.state is SendState.STREAMING
    assert not stream.finished


async def test_a_plan_that_is_cut_off_is_given_up_at_its_end(journal):
    """Also where the journal stays open: a resume must never take half of a list for the whole."""
    log = await journal.begin(send_plan(), streaming=False)
    await log.plan([chunk(1, [0])], total=1)
    await log.finish("It was cancelled.")
    (record,) = await journal.sends()
    assert record.state is SendState.ABANDONED
    assert record.note.endswith("nothing of it went out. It was cancelled.")
    assert record.chunks == {ChunkState.FAILED: 1}


async def test_why_a_send_was_given_up_stays_known(journal):
    """The last words at the end of the run do not take the place of what says that nothing went out."""
    log = await journal.begin(send_plan(), streaming=False)
    await log.mark(SendState.ABANDONED, "the list broke off: nothing went out")
    await log.finish("the list broke off")
    (record,) = await journal.sends()
    assert record.note == "the list broke off: nothing went out"


# A send.


async def test_times_are_the_clocks(path):
    """Seconds since the epoch, by the clock that was given."""
    now = [1_000.0]
    async with SqliteJournal(path, clock=lambda: now[0]) as journal:
        log, _ = await planned(journal)
        now[0] = 2_000.0
        await log.claim(1)
        now[0] = 3_000.0
        log.settle(1, UNKNOWN)
        (unknown,) = await log.unknown(after=0, limit=1)
        assert unknown.claimed_at == 2_000.0
        assert (await journal.sends())[0].created_at == 1_000.0
        reader = log.reader()
        assert reader.last_event() == 3_000.0
        reader.close()


async def test_a_claim_is_on_the_disk_when_it_returns(journal, path):
    """Another program sees it: it does not lie in this process alone."""
    log, _ = await planned(journal)
    await log.claim(2)
    assert states(path) == {1: "planned", 2: "submitting", 3: "planned"}


async def test_planning_waits_for_the_disk_now_and_then(journal, path, monkeypatch):
    """So that a list of millions does not gather in memory: every few orders one is waited for."""
    waited, ahead = 0, sqlite_module._AHEAD
    log = await journal.begin(send_plan(), streaming=True)
    run = log._writer.run

    async def counted(act):
        nonlocal waited
        waited += 1
        return await run(act)

    monkeypatch.setattr(log._writer, "run", counted)
    for seq in range(1, 49):
        await log.plan([chunk(seq, [seq])], total=seq)
        assert len(states(path)) >= seq // ahead * ahead
    assert waited == 48 // ahead


async def test_the_log_is_emptied_when_all_is_planned(journal, path, tmp_path):
    """The plan is in the file then, and what follows overwrites the log."""
    await planned(journal)
    copy = tmp_path / "without-its-log.db"
    copy.write_bytes(path.read_bytes())
    assert states(copy) == {1: "planned", 2: "planned", 3: "planned"}


async def test_everything_about_a_send_is_kept(journal):
    """Rows that are not sent, and lines, stand beside the chunks."""
    log = await journal.begin(send_plan(settings={"canary": True}), streaming=True)
    left_out = [RejectedRow(row=1, status=Status.INVALID, shown="junk", detail="no number")]
    await log.plan([chunk(1, [0, 2])], rejected=left_out, lines=[LineRun(row=0, line=2)], total=3)
    assert await log.last_seq() == 1
    (record,) = await journal.sends()
    assert record.settings == {"canary": True}
    reader = open_send(journal.path, RUN)
    assert [(rows.first, rows.numbers, rows.line) for rows in reader.rows()] == [
        (0, ["263770000000"], 2),
        (1, ["junk"], 3),
        (2, ["263770000002"], 4),
    ]
    assert reader.record == record
    assert reader.counts() == {Status.NOT_SUBMITTED: 2, Status.INVALID: 1}
    assert list(reader.decided()) == list(reader.discrepancies()) == []
    reader.close()


async def test_a_chunk_goes_through_its_states(journal, path):
    """Claimed, given back, claimed again, unknown, and found; each change is entered with its words."""
    log, told = await planned(journal)
    await log.claim(1)
    log.release(1, Status.REJECTED, "no credits")
    await log.claim(1)
    log.settle(1, UNKNOWN)
    log.settle(1, sent(1, discrepancies=("odd",)))
    await log.claim(2)
    log.replace(2, [chunk(4, [1])], "halved")
    await log.claim(4)
    await log.finish("")
    assert told == []
    assert states(path) == {1: "done", 2: "replaced", 3: "planned", 4: "submitting"}
    assert events(path) == [
        (1, "submitting", ""),
        (1, "planned", "no credits"),
        (1, "submitting", ""),
        (1, "unknown", ""),
        (1, "done", "odd"),
        (2, "submitting", ""),
        (2, "replaced", "halved"),
        (4, "submitting", ""),
    ]


async def test_a_chunk_is_claimed_once(journal, path):
    """Whoever comes second is told, has written nothing, and the first one's claim stands."""
    log, told = await planned(journal)
    await log.claim(1)
    with pytest.raises(StaleClaimError):
        await log.claim(1)
    with pytest.raises(StaleClaimError):
        await log.claim(99)
    assert states(path)[1] == "submitting"
    assert [state for seq, state, _ in events(path)] == ["submitting"]
    assert told == []


async def test_only_the_owner_of_a_claim_decides(journal, path):
    """With another token nothing is found: late words of a run that lost its claim change nothing."""
    log, told = await planned(journal)
    for seq in (1, 2, 3):
        await log.claim(seq)
        log._tokens[seq] += 1
    log.settle(1, sent(1))
    log.release(2)
    log.replace(3, [chunk(4, [2])], "halved")
    await log.last_seq()
    assert [type(error) for error in told] == [StaleClaimError] * 3
    assert states(path) == dict.fromkeys((1, 2, 3), "submitting")


async def test_what_was_never_claimed_is_not_decided(journal, path):
    """A chunk that this run has no claim of is left alone, and nobody is told off."""
    log, told = await planned(journal)
    log.settle(1, sent(1))
    log.release(2)
    log.replace(3, [], "halved")
    await log.last_seq()
    assert told == []
    assert set(states(path).values()) == {"planned"}


async def test_what_is_decided_stays_decided(journal, path):
    """A claim that was answered is used up; only what is unknown may still be found."""
    log, told = await planned(journal)
    await log.claim(1)
    log.settle(1, sent(1))
    log.settle(1, UNKNOWN)
    log.release(1)
    await log.claim(2)
    log.settle(2, UNKNOWN)
    log.settle(2, UNKNOWN)
    log.settle(2, sent(1))
    await log.last_seq()
    assert states(path) == {1: "done", 2: "done", 3: "planned"}
    assert told == []


async def test_an_order_that_nobody_waits_for_is_told_about(path):
    """A result that cannot be written stops the run; also when the journal is closed already."""
    async with SqliteJournal(path) as journal:
        log, told = await planned(journal)
        await log.claim(1)
        await log.claim(2)
        log._writer._connection.execute("PRAGMA query_only = ON")
        log.settle(1, sent(1))
        with pytest.raises(JournalError, match="read-only"):
            await log.last_seq()
        assert [str(error)[-18:] for error in told] == ["(SQLITE_READONLY)."]
    log.settle(2, sent(1))
    assert len(told) == 2
    assert "is closed" in str(told[1])
    for late in (
        log.claim(3),
        log.plan([], total=1),
        log.mark(SendState.PLANNED),
        log.finish(""),
        log.last_seq(),
    ):
        with pytest.raises(JournalError, match="is closed"):
            await late


async def test_nobody_need_listen(journal):
    """A log that nobody made a listener of says nothing."""
    log = await journal.begin(send_plan(), streaming=False)
    await log.plan([chunk(1, [0])], total=1)
    await log.claim(1)
    log._tokens[1] += 1
    log.settle(1, sent(1))
    assert await log.last_seq() == 1


# One at a time.


async def test_a_send_that_is_under_way_is_not_reopened(journal):
    """Two runs of one send in one process would take each other's chunks, and stop over it."""
    log, _ = await planned(journal)
    with pytest.raises(JournalError, match="is under way already, by this process"):
        await journal.reopen(RUN)
    await log.finish("")
    again = await journal.reopen(RUN)
    await again.claim(1)
    with pytest.raises(JournalError, match="is under way already"):
        await journal.reopen(RUN)


async def test_whoever_comes_first_has_the_send(journal, path):
    """Who goes on with it has it until that is over, or it is let go of: what another one has read would be stale."""
    log, _ = await planned(journal)
    with pytest.raises(JournalError, match="is under way already"):
        await journal.reopen(RUN)
    await log.finish("")
    first = await journal.reopen(RUN)
    with pytest.raises(JournalError, match="is under way already"):
        await journal.reopen(RUN)
    with pytest.raises(JournalError, match="is under way already"):
        await log.plan([], total=9)
    await log.finish("")  # which takes nothing from the first
    assert states(path) == {1: "planned", 2: "planned", 3: "planned"}
    await first.claim(2)
    await first.finish("")
    first.settle(2, sent(1))  # late words of one that is over keep nobody out
    again = await journal.reopen(RUN)
    again.let_go()
    assert await (await journal.reopen(RUN)).planned(after=0, limit=9)


async def test_sends_of_one_journal_do_not_mix(journal, path):
    """Two at the same time, each with its own chunks and claims."""
    one, _ = await planned(journal)
    two, _ = await planned(journal, run="bbbbbbbbbb")
    await asyncio.gather(one.claim(1), two.claim(2), one.claim(3))
    first, second = await journal.sends()
    assert first.chunks == {ChunkState.SUBMITTING: 2, ChunkState.PLANNED: 1}
    assert second.chunks == {ChunkState.SUBMITTING: 1, ChunkState.PLANNED: 2}


async def test_a_run_is_named_once(journal):
    """Its token is in the names of campaigns, by which they are found again."""
    await planned(journal)
    with pytest.raises(JournalError, match="SQLITE_CONSTRAINT"):
        await planned(journal)


async def test_a_send_that_is_not_there(journal, path):
    """Its token is told, and where those that are there are listed."""
    await planned(journal)
    for look in (lambda: open_send(path, "cccccccccc"), None):
        with pytest.raises(
            JournalError, match=r"has no send 'cccccccccc': `smspop report .*j\.db` lists them\."
        ):
            look() if look else await journal.reopen("cccccccccc")


# Reading what makes no sense.


DAMAGE = {
    "state of a chunk": "UPDATE chunk SET state = 'odd', changed_at = 0",
    "status": "UPDATE chunk SET status = 'odd'",
    "status code": "UPDATE chunk SET common = 'sent', others = x'00000000ff'",
    "exceptions cut off": "UPDATE chunk SET common = 'sent', others = x'0001'",
    "explanations": "UPDATE chunk SET details = '[['",
    "runs of rows": "UPDATE chunk_contacts SET row_runs = x'00'",
    "runs of another length": "UPDATE chunk_contacts SET row_runs = '[7]'",
    "numbers": "UPDATE chunk_contacts SET numbers = x'00'",
    "no numbers": "UPDATE chunk_contacts SET numbers = x''",
    "contacts missing": "DELETE FROM chunk_contacts",
    "text missing": "DELETE FROM phrase",
    "not Unicode": "UPDATE phrase SET body = CAST(x'ff' AS TEXT)",
}


@pytest.mark.parametrize("sql", DAMAGE.values(), ids=DAMAGE)
async def test_what_makes_no_sense_is_said_to_be_damaged(path, sql):
    """To a reader and to a run: a JournalError that does not quote, never a traceback, never a part of the rows."""
    small_journal(path, chunks=1, contacts=2)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE chunk SET state = 'unknown', token = 7, claimed_at = 0, changed_at = 0")
    connection.execute(sql)
    connection.close()
    with pytest.raises(JournalError, match=r"damaged|cannot be used") as caught:
        reader = open_send(path, RUN)
        try:
            list(reader.rows())
            reader.counts()
            list(reader.decided())
        finally:
            reader.close()
    assert "26377" not in str(caught.value)
    async with SqliteJournal(path) as journal:
        with pytest.raises(JournalError):
            log = await journal.reopen(RUN)
            assert await log.unknown(after=0, limit=9) == []
            raise JournalError("nothing to go on with")


@pytest.mark.parametrize("column", ["settings", "state"])
def test_a_send_that_makes_no_sense_is_said_to_be_damaged(path, column):
    """For all who list or open sends; the file is let go of."""
    small_journal(path, chunks=1)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"UPDATE send SET {column} = '{{'")  # noqa: S608 - our own words
    connection.close()
    for look in (lambda: list_sends(path), lambda: open_send(path, RUN)):
        with pytest.raises(JournalError, match=r"is damaged: what it holds cannot be read \(\w+\)\."):
            look()


def test_a_table_that_is_missing_is_told(path):
    """What SQLite says is told by its code alone."""
    small_journal(path, chunks=1)
    connection = sqlite3.connect(path, isolation_level=None)
    reader = open_send(path, RUN)
    reader.close()
    for table in ("chunk_event", "rejected", "chunk"):
        connection.execute(f"DROP TABLE {table}")
    connection.close()
    with pytest.raises(JournalError, match="cannot be used"):
        open_send(path, RUN)
