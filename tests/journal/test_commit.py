"""Many orders in one commit: in their order, none lost, and everybody told what became of theirs."""

import asyncio
import sqlite3
import threading
from contextlib import asynccontextmanager

import anyio
import pytest

from journal import beside
from smspop_async import JournalError
from smspop_async.journal import commit as commit_module
from smspop_async.journal.base import StaleClaimError
from smspop_async.journal.commit import GroupCommit
from smspop_async.journal.sends import list_sends

pytestmark = pytest.mark.anyio


class Disk:
    """A database whose transactions are counted, and a thread that can be held up."""

    def __init__(self, path) -> None:
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("CREATE TABLE t (x)")
        self.seen: list[str] = []
        self.connection.set_trace_callback(self.seen.append)
        self.closed = 0
        self.busy = threading.Event()
        self.go_on = threading.Event()

    def close(self) -> None:
        self.closed += 1
        self.connection.close()

    def hold_up(self, connection: sqlite3.Connection) -> None:
        """An order: the thread waits in it until it is told to go on, while others are given behind it."""
        self.busy.set()
        assert self.go_on.wait(30)

    def count(self, word: str) -> int:
        return self.seen.count(word)

    def rows(self) -> list:
        other = sqlite3.connect(self.path)
        try:
            return [x for (x,) in other.execute("SELECT x FROM t ORDER BY rowid")]
        finally:
            other.close()


@asynccontextmanager
async def writing(path):
    disk = Disk(path)
    commit = GroupCommit(disk.connection, path, disk.close)
    try:
        yield disk, commit
    finally:
        disk.go_on.set()
        await commit.aclose()


@pytest.fixture
async def at_work(tmp_path):
    async with writing(tmp_path / "j.db") as (disk, commit):
        yield disk, commit


async def held_up(disk: Disk, commit: GroupCommit) -> list[JournalError]:
    """Hold the thread up; returns the list into which failures of `put` go."""
    told: list[JournalError] = []
    commit.put(disk.hold_up, told.append)
    await anyio.to_thread.run_sync(disk.busy.wait)
    return told


def insert(x):
    def act(connection: sqlite3.Connection) -> int:
        return connection.execute("INSERT INTO t VALUES (?)", (x,)).lastrowid

    return act


def stale(connection: sqlite3.Connection) -> None:
    raise StaleClaimError("It does not stand where it should.")


# Groups.


@pytest.mark.parametrize(("orders", "transactions"), [(1, 1), (50, 1), (256, 1), (257, 2), (600, 3)])
async def test_all_orders_that_wait_are_one_commit(at_work, orders, transactions):
    """While the disk is waited for the next orders gather, at most 256 of them, and are carried out together."""
    disk, commit = at_work
    told = await held_up(disk, commit)
    waits = [asyncio.ensure_future(commit.run(insert(x))) for x in range(orders)]
    await anyio.lowlevel.checkpoint()
    disk.go_on.set()
    assert await asyncio.gather(*waits) == list(range(1, orders + 1))
    assert disk.count("BEGIN IMMEDIATE") == disk.count("COMMIT") == 1 + transactions
    assert told == []


async def test_orders_are_carried_out_as_they_were_given(at_work):
    """Those that are waited for and those that are not, in one line; whoever waits knows that all before are done."""
    disk, commit = at_work
    for x in range(0, 1_000, 2):
        commit.put(insert(x), pytest.fail)
        if x % 100:
            commit.put(insert(x + 1), pytest.fail)
        else:
            await commit.run(insert(x + 1))
            assert disk.rows() == list(range(x + 2))
    await commit.run(lambda connection: None)
    assert disk.rows() == list(range(1_000))


async def test_what_is_ordered_one_turn_after_another_is_one_commit(at_work):
    """A busy loop makes its claims one by one: a group is handed over when none has come for a few turns."""
    disk, commit = at_work
    waits = []
    for x in range(commit_module._ENOUGH - 1):
        waits.append(asyncio.ensure_future(commit.run(insert(x))))
        await anyio.lowlevel.checkpoint()
    await asyncio.gather(*waits)
    assert disk.count("COMMIT") == 1
    assert disk.rows() == list(range(len(waits)))


async def test_a_large_group_waits_for_no_more(at_work):
    """However many come, one behind the other: those who wait are not kept waiting for ever."""
    disk, commit = at_work
    done = asyncio.ensure_future(commit.run(insert("first")))
    given = 0
    while not done.done():
        given += 1
        commit.put(insert(given), pytest.fail)
        await anyio.lowlevel.checkpoint()
    assert "first" in disk.rows()


async def test_what_does_not_press_goes_with_the_next_order(at_work, monkeypatch):
    """One commit for both, in the order in which they were given."""
    monkeypatch.setattr(commit_module, "_LATEST", 3_600.0)
    disk, commit = at_work
    commit.leave(insert("left"), pytest.fail)
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
    assert disk.count("COMMIT") == 0
    await commit.run(insert("pressed"))
    assert disk.count("COMMIT") == 1
    assert disk.rows() == ["left", "pressed"]


async def test_what_does_not_press_is_written_by_itself_after_a_moment(at_work):
    """Where nothing follows; also where the thread was busy in that moment."""
    disk, commit = at_work
    told = await held_up(disk, commit)
    commit.leave(insert("while it was busy"), told.append)
    commit._at_the_latest()
    loop = asyncio.get_running_loop()
    for _ in range(2):
        carried_out = asyncio.Event()
        commit.leave(lambda _, out=carried_out: loop.call_soon_threadsafe(out.set), told.append)
        disk.go_on.set()
        with anyio.fail_after(30):
            await carried_out.wait()
    await commit.aclose()
    assert disk.rows() == ["while it was busy"]
    assert told == []


async def test_closing_writes_what_does_not_press(tmp_path, monkeypatch):
    """Nothing that was ordered is lost by an end that was asked for, however much it is."""
    monkeypatch.setattr(commit_module, "_LATEST", 3_600.0)
    async with writing(tmp_path / "j.db") as (disk, commit):
        for x in range(300):
            commit.leave(insert(x), pytest.fail)
        await commit.aclose()
        assert disk.rows() == list(range(300))
        assert disk.count("COMMIT") == 2


async def test_a_result_is_given_back(at_work):
    """To the one who asked, whatever it is."""
    _, commit = at_work
    sentinel = object()
    assert await commit.run(lambda connection: sentinel) is sentinel
    assert await commit.run(lambda connection: None) is None


# What goes wrong.


async def test_a_stale_claim_concerns_its_order_alone(at_work):
    """The others of its group are on the disk, before and behind it, and more can be written."""
    disk, commit = at_work
    await held_up(disk, commit)
    told = []
    first = asyncio.ensure_future(commit.run(insert("first")))
    alone = asyncio.ensure_future(commit.run(stale))
    await anyio.lowlevel.checkpoint()
    commit.put(stale, told.append)
    commit.put(insert("last"), pytest.fail)
    disk.go_on.set()
    assert await first == 1
    with pytest.raises(StaleClaimError):
        await alone
    assert await commit.run(insert("later")) == 3
    assert [type(error) for error in told] == [StaleClaimError]
    assert disk.rows() == ["first", "last", "later"]
    assert commit.failure is None


def no_sql(connection: sqlite3.Connection) -> None:
    connection.execute("no sql")


def bug(connection: sqlite3.Connection) -> None:
    raise ValueError("Dear Tendai, 263770000001")


def close_it(connection: sqlite3.Connection) -> None:
    connection.close()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (no_sql, "cannot be used (SQLITE_ERROR)"),
        (bug, "is not written any more (ValueError)"),
        (close_it, "cannot be used (ProgrammingError)"),
    ],
)
async def test_a_failure_fails_its_group_and_all_that_follows(at_work, wrong, words):
    """Nothing of the group is on the disk, everybody is told the same, and nothing is written after that."""
    disk, commit = at_work
    await commit.run(insert("before"))
    told = await held_up(disk, commit)
    first = asyncio.ensure_future(commit.run(insert("first")))
    await anyio.lowlevel.checkpoint()
    commit.put(insert("second"), told.append)
    culprit = asyncio.ensure_future(commit.run(wrong))
    await anyio.lowlevel.checkpoint()
    disk.go_on.set()
    for wait in (first, culprit):
        with pytest.raises(JournalError) as caught:
            await wait
        assert words in str(caught.value)
        assert str(caught.value) == str(commit.failure)
    commit.put(insert("third"), told.append)
    with pytest.raises(JournalError, match=r"cannot be used|not written any more"):
        await commit.run(insert("fourth"))
    again = "Nothing is written until it has been closed and opened again."
    assert [str(error) for error in told] == [str(commit.failure), f"{commit.failure} {again}"]
    assert len({*map(id, told), id(commit.failure)}) == 3, "one that is raised twice gathers tracebacks"
    assert disk.rows() == ["before"]


async def test_a_failure_does_not_quote(at_work):
    """An error's own words may hold a number or the message: they are not told (law 7)."""
    _, commit = at_work
    with pytest.raises(JournalError) as caught:
        await commit.run(bug)
    assert "Tendai" not in str(caught.value)
    assert "263770000001" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_full_disk_undoes_the_group(at_work):
    """Found out in the middle or at the end of a group: all or nothing, and the words say what to do."""
    disk, commit = at_work
    pages = disk.connection.execute("PRAGMA page_count").fetchone()[0]
    disk.connection.execute(f"PRAGMA max_page_count = {pages}")
    await held_up(disk, commit)
    small = asyncio.ensure_future(commit.run(insert("small")))
    large = asyncio.ensure_future(commit.run(insert("x" * 100_000)))
    await anyio.lowlevel.checkpoint()
    disk.go_on.set()
    for wait in (small, large):
        with pytest.raises(JournalError, match=r"the disk is full\. Make room, then resume \(SQLITE_FULL\)"):
            await wait
    assert disk.rows() == []


async def test_a_log_that_cannot_be_emptied_is_no_failure(at_work):
    """What was committed stands, and nobody may be told otherwise."""
    disk, commit = at_work
    asked = []

    def refuse(action: int, name: str | None, *_: object) -> int:
        if (action, name) != (sqlite3.SQLITE_PRAGMA, "wal_checkpoint"):
            return sqlite3.SQLITE_OK
        asked.append(name)
        return sqlite3.SQLITE_DENY

    disk.connection.set_authorizer(refuse)
    await commit.run(insert("x"), write_back=True)
    await commit.run(insert("y"))
    assert asked
    assert commit.failure is None
    assert disk.rows() == ["x", "y"]


async def test_a_callback_that_raises_keeps_nobody_waiting(at_work):
    """What is told to others than those who wait is told last; the loop says what they did."""
    disk, commit = at_work
    await held_up(disk, commit)
    said = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context["exception"]))

    def careless(error: JournalError) -> None:
        raise RuntimeError("careless")

    commit.put(stale, careless)
    wait = asyncio.ensure_future(commit.run(insert("x")))
    await anyio.lowlevel.checkpoint()
    disk.go_on.set()
    with anyio.fail_after(10):
        assert await wait == 1
    assert [str(error) for error in said] == ["careless"]


@pytest.mark.parametrize("what", ["deleted", "moved", "replaced", "its log deleted"])
async def test_a_file_that_is_not_there_any_more_ends_the_writing(tmp_path, monkeypatch, what):
    """What would be written to it is lost, and a claim that is lost is a text that goes out twice."""
    monkeypatch.setattr(commit_module, "_LOOK", 0.0)
    path = tmp_path / "j.db"
    (tmp_path / "j.db-wal").touch()
    async with writing(path) as (_, commit):
        await commit.run(insert(1))
        if what == "its log deleted":
            (tmp_path / "j.db-wal").unlink()
        else:
            path.rename(tmp_path / "k.db")
        if what == "deleted":
            (tmp_path / "k.db").unlink()
        if what == "replaced":
            path.write_bytes((tmp_path / "k.db").read_bytes())
        with pytest.raises(JournalError, match="was deleted, moved or replaced"):
            await commit.run(insert(2))


async def test_it_is_not_looked_for_all_the_time(at_work, monkeypatch):
    """A look costs as much as two orders, so a few a second are enough."""
    _, commit = at_work
    looks = []
    monkeypatch.setattr(GroupCommit, "_places", lambda self: looks.append(1) or self._there)
    monkeypatch.setattr(commit_module, "_LOOK", 3_600.0)
    for x in range(20):
        await commit.run(insert(x))
    assert looks == []
    monkeypatch.setattr(commit_module, "_LOOK", 0.0)
    await commit.run(insert(20))
    assert looks == [1]


# The end.


async def test_what_was_ordered_is_carried_out_before_the_end(tmp_path):
    """Closing takes nothing back, and afterwards the file is closed and the thread gone."""
    async with writing(tmp_path / "j.db") as (disk, commit):
        told = await held_up(disk, commit)
        wait = asyncio.ensure_future(commit.run(insert("waited for")))
        await anyio.lowlevel.checkpoint()
        commit.put(insert("not waited for"), told.append)
        closing = asyncio.ensure_future(commit.aclose())
        await anyio.lowlevel.checkpoint()
        for give in (commit.run, lambda act: commit.put(act, told.append)):
            with pytest.raises(JournalError, match="is closed"):
                await give(insert("too late"))
        assert not closing.done()
        disk.go_on.set()
        await closing
        assert await wait == 1
        assert disk.rows() == ["waited for", "not waited for"]
        assert disk.closed == 1
        assert not commit._thread.is_alive()
        await asyncio.gather(commit.aclose(), commit.aclose())
    assert disk.closed == 1
    assert told == []


async def test_a_cancelled_wait_takes_no_order_back(at_work):
    """The order may be on the disk already; whoever comes later in the line finds it there."""
    disk, commit = at_work
    await held_up(disk, commit)
    wait = asyncio.ensure_future(commit.run(insert("cancelled")))
    failing = asyncio.ensure_future(commit.run(stale))
    await anyio.lowlevel.checkpoint()
    wait.cancel()
    failing.cancel()
    disk.go_on.set()
    for each in (wait, failing):
        with pytest.raises(asyncio.CancelledError):
            await each
    assert await commit.run(insert("later")) == 2
    assert disk.rows() == ["cancelled", "later"]


async def test_a_cancelled_close_closes(tmp_path):
    """The thread closes the file, whoever still waits for it."""
    async with writing(tmp_path / "j.db") as (disk, commit):
        await held_up(disk, commit)
        closing = asyncio.ensure_future(commit.aclose())
        await anyio.lowlevel.checkpoint()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        disk.go_on.set()
        await anyio.to_thread.run_sync(commit._thread.join)
        assert disk.closed == 1


async def test_a_close_that_fails_is_waited_for_no_longer(tmp_path, monkeypatch):
    """Whatever breaks at the very end is told to nobody who would wait for ever."""
    broken = []
    monkeypatch.setattr(threading, "excepthook", lambda args: broken.append(args.exc_type))
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)

    def close() -> None:
        connection.close()
        raise OSError(5, "Input/output error")

    commit = GroupCommit(connection, tmp_path / "j.db", close)
    with anyio.fail_after(10):
        await commit.aclose()
    assert broken == [OSError]


# Loops.


def test_another_loop_is_told_so(tmp_path):
    """A future belongs to one loop: to wait for it in another would be to wait for ever."""

    async def open_it():
        disk = Disk(tmp_path / "j.db")
        commit = GroupCommit(disk.connection, disk.path, disk.close)
        await commit.run(insert(1))
        return disk, commit

    async def use_it(commit: GroupCommit) -> None:
        with anyio.fail_after(10):
            with pytest.raises(JournalError, match="in another event loop"):
                await commit.run(insert(2))
            with pytest.raises(JournalError, match="in another event loop"):
                commit.put(insert(2), pytest.fail)
            await commit.aclose()

    disk, commit = asyncio.run(open_it())
    asyncio.run(use_it(commit))
    assert disk.closed == 1
    assert disk.rows() == [1]


def test_a_loop_that_is_gone_is_not_told(tmp_path):
    """What was under way when the loop closed is on the disk, and the thread ends as ever."""

    async def leave():
        disk = Disk(tmp_path / "j.db")
        commit = GroupCommit(disk.connection, disk.path, disk.close)
        await held_up(disk, commit)
        commit.put(insert(1), pytest.fail)
        return disk, commit

    disk, commit = asyncio.run(leave())
    disk.go_on.set()
    commit.close()
    commit._thread.join()
    assert disk.rows() == [1]
    assert disk.closed == 1


FORGETFUL = """
    import asyncio, sys
    from smspop_async import SqliteJournal
    from smspop_async.journal.base import PlannedChunk, SendPlan, SendState

    async def main():
        journal = await SqliteJournal(sys.argv[1]).__aenter__()
        plan = SendPlan(run="aaaaaaaaaa", name="n", sender_id="DEMO", message="m", base_url="u", settings={})
        log = await journal.begin(plan, streaming=False)
        chunks = [PlannedChunk(seq=seq, rows=[seq], numbers=["263770000001"], text="m") for seq in range(1, 9)]
        await log.plan(chunks, total=9)
        await log.mark(SendState.PLANNED)
        await log.claim(1)
        for _ in range(int(sys.argv[2])):
            await log.plan([], total=9)

    asyncio.run(main())
    print("left")
"""


@pytest.mark.parametrize("orders", [0, 14])
def test_a_program_that_forgets_to_close_its_journal_ends(tmp_path, orders):
    """By itself, at once, well, and with everything on the disk that it was told is there; also in mid-commit."""
    path = tmp_path / "j.db"
    done = beside.run(FORGETFUL, path, orders)
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")
    (record,) = list_sends(path)
    assert {state.value: count for state, count in record.chunks.items()} == {"planned": 7, "submitting": 1}
