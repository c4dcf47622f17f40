"""Power cuts: a claim that was reported as written down is there whatever the disk had not flushed yet."""

import itertools
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from journal.disk import Disk, DiskVFS, OnDisk, cuts, is_whole, lay_down
from rawserver import fake_number
from smspop_async.api.columns import StatusColumn
from smspop_async.api.models import Status, Summary
from smspop_async.errors import JournalError
from smspop_async.journal import opening
from smspop_async.journal.base import ChunkState, PlannedChunk, RejectedRow, SendPlan, SendState, Verdict
from smspop_async.journal.opening import own
from smspop_async.journal.schema import seq_of
from smspop_async.journal.sqlite import SqliteJournal

pytestmark = pytest.mark.anyio

PLAN = SendPlan(
    run="abcdefghij", name="n", sender_id="DEMO", message="m", base_url="http://127.0.0.1/api", settings={}
)
UNSURE = Verdict(state=ChunkState.UNKNOWN, status=Status.UNKNOWN, detail="lost")
_names = itertools.count()


def chunk(seq: int, *rows: int) -> PlannedChunk:
    return PlannedChunk(seq=seq, rows=rows, numbers=[fake_number(row) for row in rows], text="m" * 200)


async def life(journal: SqliteJournal, note: Callable[[object], None]) -> None:
    """A send with everything that can happen to a campaign, telling what its caller knows and when."""
    async with journal:
        log = await journal.begin(PLAN, streaming=False)
        rejected = [RejectedRow(row=9, status=Status.INVALID, shown="12", detail="too short")]
        await log.plan([chunk(1, 0, 1), chunk(2, 2, 3), chunk(3, 4)], rejected=rejected, total=10)
        await log.plan([chunk(4, 5, 6, 7), chunk(5, 8)], total=10)
        await log.mark(SendState.PLANNED)
        note("planned")

        async def claim(seq: int) -> None:
            await log.claim(seq)
            note(("claimed", seq))

        await claim(1)
        statuses = StatusColumn.of([Status.SENT, Status.FAILED])
        done = Verdict(
            state=ChunkState.DONE,
            status=Status.ACCEPTED,
            statuses=statuses,
            summary=Summary(sent=1, failed=1),
        )
        log.settle(1, done)
        await claim(2)
        note(("given back", 2))
        log.release(2)
        await claim(2)
        log.settle(2, UNSURE)
        await claim(4)
        log.replace(4, [chunk(6, 5, 6), chunk(7, 7)], "halved")
        await claim(6)
        await claim(7)
        log.settle(6, Verdict(state=ChunkState.FAILED, status=Status.REJECTED, detail="no"))
        await claim(3)
        await log.finish("")


async def recorded(path: Path, monkeypatch, change: Callable[[str], str], extra: str) -> Disk:
    """What a life does to the disk."""
    disk = Disk()
    name = f"disk-{next(_names)}"
    vfs = DiskVFS(disk, name)

    laid_out = sqlite3.connect

    def connect(database, **words):
        if database != path:  # a draft, which becomes the journal when all of it is on the real disk
            return laid_out(database, **words)
        if str(path) not in disk.files:
            disk.place(str(path), path.read_bytes())
        connection = OnDisk(disk, str(database), name, change)
        connection.execute(extra)
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(opening.sqlite3, "connect", connect)
        await life(SqliteJournal(path), disk.note)
    del vfs
    return disk


def promised(disk: Disk, count: int) -> tuple[bool, set[int]]:
    """Whether all was planned before a cut, and the campaigns that were claimed then, so that they may have left."""
    claimed: set[int] = set()
    planned = False
    for step in disk.steps[:count]:
        if step.note == "planned":
            planned = True
        elif step.note is not None:
            what, seq = step.note
            (claimed.add if what == "claimed" else claimed.discard)(seq)
    return planned, claimed


def states(path: Path) -> dict[int, str]:
    """What the next process finds."""
    opened = own(path)
    try:
        return {seq_of(at): state for at, state in opened.connection.execute("SELECT id, state FROM chunk")}
    finally:
        opened.close()


def lost_claims(disk: Disk, path: Path, folder: Path, *, torn: int, sure: bool = True) -> list[int]:
    """The steps after which a cut loses a claim; all else that a cut may not do is asserted."""
    lost = []
    for count, survives in cuts(disk, torn):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        found = lay_down(disk.found_after(count, survives), path, folder)
        planned, claimed = promised(disk, count)
        try:
            after = states(found) if found.exists() else {}
        except JournalError:
            assert not planned or not sure
            continue
        assert is_whole(found) or not found.exists() or not sure
        if planned and sure:
            assert after
        if any(after.get(seq, "planned") == "planned" for seq in claimed):
            lost.append(count)
    return lost


EARLY = "PRAGMA wal_autocheckpoint = 6"
"""The log is written back after every few pages, so that cuts meet that too."""
SELDOM = "PRAGMA wal_autocheckpoint = 1000"


@pytest.mark.parametrize("extra", [EARLY, SELDOM])
@pytest.mark.parametrize("torn", [1, pytest.param(60, marks=pytest.mark.long)])
async def test_a_claim_that_was_reported_survives_every_power_cut(tmp_path, monkeypatch, extra, torn):
    """Cut after every single write and flush: no campaign that may have left is found as planned."""
    path = tmp_path / "j.db"
    disk = await recorded(path, monkeypatch, str, extra)
    kinds = {step.kind for step in disk.steps}
    assert {"write", "sync", "note"} <= kinds
    assert lost_claims(disk, path, tmp_path / "found", torn=torn) == []


@pytest.mark.parametrize("mode", ["OFF", "NORMAL"])
async def test_that_the_test_can_fail(tmp_path, monkeypatch, mode):
    """Asked for anything less than the product asks for, SQLite loses claims, and it shows."""
    changed = []

    def weaken(sql: str) -> str:
        if sql.upper().startswith("PRAGMA SYNCHRONOUS"):
            changed.append(sql)
            return f"PRAGMA synchronous = {mode}"
        return sql

    path = tmp_path / "j.db"
    disk = await recorded(path, monkeypatch, weaken, SELDOM)
    assert changed
    assert lost_claims(disk, path, tmp_path / "found", torn=0, sure=False) != []
