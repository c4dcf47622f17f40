"""Sends in the background: they start once, tell where they stand, stop when asked, and are drained."""

import asyncio
import gc
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from threading import Barrier
from typing import Any

import anyio
import pytest
from filelock import FileLock

from endings import cancel_all_but
from smspop_async import ConfigurationError, ContactSourceError, JournalError, RateLimit, SmsPop, Status
from smspop_async.batch.chunks import Chunk
from smspop_async.batch.engine import Run
from smspop_async.integrations._records import Record
from smspop_async.integrations._shelf import Shelf
from smspop_async.integrations.sends import (
    SendBusyError,
    Sends,
    SendState,
    SendStatus,
    ShuttingDownError,
    UnknownSendError,
    _new_id,
)
from smspop_async.sandbox import Sandbox

pytestmark = pytest.mark.anyio

TEXT = "The secret text of the message"
WORDS = {"message": TEXT, "sender_id": "BRAND1", "name": "Nightly"}
SLOW = {"chunk_size": 10, "max_concurrency": 1, "rate_limit": RateLimit(contacts_per_second=50)}
"""Ten contacts every fifth of a second: hours for a long list, and nothing is in flight most of the time."""


def people(count: int) -> list[str]:
    return [f"26377000{number:04}" for number in range(count)]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def sms(sandbox: Sandbox) -> AsyncIterator[SmsPop]:
    async with SmsPop(token=sandbox.token, base_url=sandbox.api_url) as sms:
        yield sms


@pytest.fixture
async def sends(sms: SmsPop) -> AsyncIterator[Sends]:
    async with Sends(sms, interval=0.01) as sends:
        yield sends


def numbers(sandbox: Sandbox) -> list[str]:
    return [message.to for message in sandbox.messages()]


# From the start to the end.


async def test_a_send_goes_out_in_the_background(sends: Sends, sandbox: Sandbox) -> None:
    """`start` returns an id at once; the send goes out to everybody, and its report says so."""
    send = await sends.start([*people(25), "nonsense"], chunk_size=10, **WORDS)
    assert sends.running == [send]
    status = await sends.wait(send)
    assert (status.state, status.total, status.expected) == (SendState.FINISHED, 26, 26)
    assert status.counts[Status.SENT] == 25
    assert sorted(numbers(sandbox)) == people(25)
    report = await sends.report(send)
    assert (report["counts"]["sent"], report["run"]) == (25, status.run)
    rows = (await sends.report_csv(send)).read_text(encoding="utf-8").splitlines()
    assert len(rows) == 27
    assert sends.running == []


async def test_what_is_wrong_beforehand_is_raised_by_start(sends: Sends, tmp_path: Path) -> None:
    """A wrong setting and a missing file are errors of `start`, and leave nothing behind."""
    with pytest.raises(ConfigurationError, match="chunk_size"):
        await sends.start(people(1), chunk_size=0, **WORDS)
    with pytest.raises(ContactSourceError):
        await sends.start(tmp_path / "missing.csv", key="once", **WORDS)
    assert await sends.statuses() == []
    assert sends.running == []
    (tmp_path / "missing.csv").write_text("263770000001\n")
    assert await sends.start(tmp_path / "missing.csv", key="once", **WORDS), "the key is free again"


async def test_what_the_server_does_is_told_by_the_status(sends: Sends, sandbox: Sandbox) -> None:
    """A refusal is no error of `start`: the status says what stopped the send, and names the error."""
    sandbox.fail_next("no_credits")
    status = await sends.wait(await sends.start(people(30), chunk_size=10, **WORDS))
    assert (status.state, status.error) == (SendState.STOPPED, "InsufficientCreditsError")
    assert "credits" in status.detail
    assert status.counts[Status.NOT_SUBMITTED] == 20
    assert not status.resumable, "there is no journal"


async def test_the_same_key_is_the_same_send(sends: Sends, sandbox: Sandbox) -> None:
    """A double click texts nobody twice: two starts with one key are one send, at once or later."""
    ids: list[str] = []

    async def click() -> None:
        ids.append(await sends.start(people(5), key="form-1", **WORDS))

    async with anyio.create_task_group() as clicks:
        for _ in range(5):
            clicks.start_soon(click)
    await sends.wait(ids[0])
    ids.append(await sends.start(people(5), key="form-1", **WORDS))
    assert len(set(ids)) == 1
    assert sorted(numbers(sandbox)) == people(5)
    other = await sends.start(people(5), key="form-2", **WORDS)
    assert other not in ids


@pytest.mark.parametrize(
    "wrong",
    [{"grace": value} for value in ("x", None, -1, float("nan"), 10**400)]
    + [{"interval": value} for value in ("x", None, 0, float("nan"), float("inf"))],
    ids=str,
)
async def test_a_setting_that_makes_no_sense_is_refused(wrong: Any, sms: SmsPop) -> None:
    """It is refused when they are made, and blamed on no request."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Sends(sms, **wrong)


@pytest.mark.parametrize("key", ["", " \t", 11, b"form-1"])
async def test_what_names_no_intent_is_no_key(key: Any, sends: Sends) -> None:
    """A key that is blank, as from a form that forgot it, would make one send of all: it is refused."""
    with pytest.raises(ConfigurationError, match="key"):
        await sends.start(people(1), key=key, **WORDS)
    assert await sends.statuses() == []


async def test_a_key_may_be_any_text(sends: Sends) -> None:
    """The bytes of a header that are no UTF-8 come as lone surrogates from aiohttp."""
    assert await sends.start(people(1), key="\udcff", **WORDS)


async def test_ids_cannot_be_guessed_or_escape(sends: Sends, tmp_path: Path) -> None:
    """An id is long and random, and what is no id is no path."""
    one, two = [await sends.start(people(1), **WORDS) for _ in range(2)]
    assert len(one) == 20
    assert one != two
    for wrong in ("../secret", one + "x", one.upper() if one.upper() != one else "Z", ""):
        with pytest.raises(UnknownSendError):
            await sends.status(wrong)


async def test_a_crash_of_one_send_is_its_own(
    sends: Sends, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect in one send ends that one, is logged without what its text may hold, and leaves the others alone."""
    carry = Run._carry

    async def explode(run: Run, chunk: Chunk) -> None:
        if run.report().name == "Broken":
            raise ZeroDivisionError(chunk.numbers[0])
        await carry(run, chunk)

    monkeypatch.setattr(Run, "_carry", explode)
    slow = await sends.start(people(500), **SLOW, **WORDS)
    broken = await sends.wait(await sends.start(people(5), **{**WORDS, "name": "Broken"}))
    assert (broken.state, broken.error, broken.detail) == (SendState.FAILED, "ZeroDivisionError", "")
    assert broken.counts[Status.NOT_SUBMITTED] == 5
    assert sends.running == [slow]
    assert "ZeroDivisionError" in caplog.text
    assert "explode" in caplog.text, "where it happened"
    assert "26377000" not in caplog.text


# Stopping and draining.


async def test_a_stopped_send_dispatches_nothing_more(sends: Sends, sandbox: Sandbox) -> None:
    """`stop` ends a send early, truthfully: what went out is SENT, the rest NOT_SUBMITTED."""
    send = await sends.start(people(500), **SLOW, **WORDS)
    await sandbox.wait_for(count=10)
    await sends.stop(send)
    status = await sends.wait(send)
    assert status.state is SendState.STOPPED
    assert status.counts[Status.SENT] == len(numbers(sandbox)) < 500
    assert status.counts[Status.SENT] + status.counts[Status.NOT_SUBMITTED] == 500
    with pytest.raises(SendBusyError, match="ended"):
        await sends.stop(send)


async def test_a_stop_that_comes_too_late_changes_nothing(sends: Sends, sandbox: Sandbox) -> None:
    """A send whose last campaign was under way when it was stopped is finished: everybody had their turn."""
    sandbox.fail_next("latency", seconds=0.2)
    send = await sends.start(people(5), **WORDS)
    await sandbox.wait_for_requests()
    await sends.stop(send)
    assert (await sends.wait(send)).state is SendState.FINISHED


async def test_a_generator_that_was_stopped_is_not_finished(
    sms: SmsPop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Its campaigns are whole ones, so that no row waits; but not everybody that it would give has had their turn."""
    rows = (number for number in people(9_000))
    async with Sends(sms, journal_dir=tmp_path, interval=0.01) as sends:
        send = await sends.start(rows, chunk_size=10, rate_limit=RateLimit(contacts_per_second=500), **WORDS)
        await sandbox.wait_for(count=10)
        await sends.stop(send)
        status = await sends.wait(send)
    assert status.state is SendState.STOPPED
    assert len(numbers(sandbox)) < 9_000


async def refused_for_credits(sends: Sends, sandbox: Sandbox) -> tuple[str, SendStatus]:
    """A send to five people that has ended for want of credits, which have been bought since."""
    sandbox.fail_next("no_credits")
    send = await sends.start(people(5), **WORDS)
    status = await sends.wait(send)
    sandbox.credits = 5
    return send, status


async def test_what_a_refusal_of_all_stopped_can_be_gone_on_with(
    sms: SmsPop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The campaign that met it counts as refused, and goes out when credits are bought."""
    async with Sends(sms, journal_dir=tmp_path) as sends:
        send, status = await refused_for_credits(sends, sandbox)
        assert (status.state, status.counts[Status.REJECTED]) == (SendState.STOPPED, 5)
        assert status.resumable
        await sends.resume(send)
        status = await sends.wait(send)
        assert (status.state, status.counts[Status.SENT]) == (SendState.FINISHED, 5)
        assert not status.resumable


async def test_half_an_entry_is_no_entry(sms: SmsPop, sandbox: Sandbox, tmp_path: Path) -> None:
    """A process that was killed while it entered a send has sent nothing: its key is not lost for that."""
    (tmp_path / f"{_new_id('one')}.json").touch()
    async with Sends(sms, journal_dir=tmp_path) as sends:
        send = await sends.start(people(5), key="one", **WORDS)
        assert (await sends.wait(send)).state is SendState.FINISHED
    assert len(numbers(sandbox)) == 5


async def test_the_table_of_a_send_that_goes_on_is_not_kept(
    sms: SmsPop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Whoever asked before somebody went on with it is told so; the next table is that of the whole send."""
    async with Sends(sms, journal_dir=tmp_path) as sends:
        send, before = await refused_for_credits(sends, sandbox)
        await sends.resume(send)
        await sends.wait(send)
        with pytest.raises(SendBusyError, match="went on"):
            await sends._opened.table(before, None)
        assert (await sends.report_csv(send)).read_text("utf-8").count(",sent,") == 5


async def test_leaving_drains(sms: SmsPop, sandbox: Sandbox, tmp_path: Path) -> None:
    """Leaving settles what is under way, dispatches nothing more, and writes it all down."""
    async with Sends(sms, interval=0.01) as sends:
        send = await sends.start(people(500), **SLOW, **WORDS)
        await sandbox.wait_for(count=10)
        sandbox.fail_next("latency", seconds=0.3)
        await sandbox.wait_for_requests(count=len(sandbox.requests) + 1)
        live = sends._live[send]
    assert live.status.state is SendState.INTERRUPTED
    assert live.status.counts[Status.UNKNOWN] == 0, "what was under way has settled"
    assert live.status.counts[Status.SENT] == len(numbers(sandbox)) == len(set(numbers(sandbox)))
    assert sum(live.status.counts.values()) == 500


async def test_the_grace_is_the_end(sms: SmsPop, sandbox: Sandbox) -> None:
    """A campaign that has not settled within the grace is UNKNOWN, and the drain is over."""
    sandbox.fail_next("hang")
    async with Sends(sms, grace=0.05) as sends:
        send = await sends.start(people(5), **WORDS)
        await sandbox.wait_for_requests()
        live = sends._live[send]
    assert live.status.counts[Status.UNKNOWN] == 5


async def test_a_drain_that_is_cancelled_ends_at_once_and_truthfully(sms: SmsPop, sandbox: Sandbox) -> None:
    """Cancelled in its drain, the block takes no more grace, writes everything down, and is cancelled."""
    sandbox.fail_next("hang")
    sends = Sends(sms, grace=3600)
    await sends.__aenter__()
    send = await sends.start(people(5), **WORDS)
    await sandbox.wait_for_requests()
    live = sends._live[send]
    closing = asyncio.create_task(sends.aclose())
    await sends._draining.wait()
    closing.cancel()
    with anyio.fail_after(5):
        await asyncio.wait({closing})
    assert closing.cancelled()
    assert live.status.counts[Status.UNKNOWN] == 5
    await sends.aclose()


async def test_nothing_starts_while_it_drains(sms: SmsPop) -> None:
    """From the first moment of the drain on there is a clear error, and nothing is sent."""
    async with Sends(sms) as sends:
        assert sends.ready
        sends.begin_drain()
        assert not sends.ready
        with pytest.raises(ShuttingDownError):
            await sends.start(people(1), **WORDS)
        with pytest.raises(ShuttingDownError):
            await sends.resume("0" * 20)


async def test_a_start_that_meets_the_drain_sends_nothing(
    sms: SmsPop, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain that begins while a start enters its send is in time."""
    async with Sends(sms) as sends:
        claim = sends._opened.claim

        async def slow_claim(*args: Any, **options: Any) -> Any:
            live = await claim(*args, **options)
            sends.begin_drain()
            return live

        monkeypatch.setattr(sends._opened, "claim", slow_claim)
        with pytest.raises(ShuttingDownError):
            await sends.start(people(1), **WORDS)
        assert await sends.statuses() == []
    assert numbers(sandbox) == []


async def test_a_drain_while_the_source_is_opened(sms: SmsPop, sandbox: Sandbox) -> None:
    """A drain that begins while the source is being opened lets nothing out of it."""
    asked, opened = anyio.Event(), anyio.Event()

    async def source() -> AsyncIterator[str]:
        asked.set()
        await opened.wait()
        for number in people(5):
            yield number

    async with aclosing(source()) as contacts, Sends(sms) as sends:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: sends.start(contacts, **WORDS))
            await asked.wait()
            sends.begin_drain()
            opened.set()
    assert numbers(sandbox) == []


async def test_it_may_be_left_in_another_task(sms: SmsPop, sandbox: Sandbox) -> None:
    """Frameworks enter in one task and leave in another, and both work."""
    sends = Sends(sms)
    await asyncio.create_task(sends.__aenter__())
    send = await asyncio.create_task(sends.start(people(5), **WORDS))
    await asyncio.create_task(sends.wait(send))  # type: ignore[arg-type]
    await asyncio.create_task(sends.aclose())
    assert len(numbers(sandbox)) == 5
    await sends.aclose()


async def test_it_is_for_one_use(sms: SmsPop) -> None:
    """Before it is opened everything says so; it is opened once."""
    sends = Sends(sms)
    assert not sends.ready
    with pytest.raises(ConfigurationError, match="not open"):
        await sends.start(people(1), **WORDS)
    with pytest.raises(ConfigurationError, match="not open"):
        await sends.status("0" * 20)
    with pytest.raises(ConfigurationError, match="not open"):
        _ = sends._host.group
    async with sends:
        pass
    with pytest.raises(RuntimeError, match="make new ones"):
        await sends.__aenter__()
    await Sends(sms).aclose()


# The folder.


async def test_a_folder_that_cannot_be_made(sms: SmsPop, tmp_path: Path) -> None:
    """A folder that cannot be is an error at the beginning."""
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be used"):
        async with Sends(sms, journal_dir=tmp_path / "file" / "below"):
            pass


async def test_the_temporary_folder_is_gone_afterwards(sms: SmsPop) -> None:
    """Without a folder of the app's nothing stays on the disk: reports hold numbers."""
    async with Sends(sms) as sends:
        send = await sends.start(people(1), **WORDS)
        await sends.wait(send)
        csv = await sends.report_csv(send)
        assert csv.stat().st_mode & 0o777 == 0o600
        assert csv.parent.stat().st_mode & 0o777 == 0o700
    assert not csv.parent.exists()


@pytest.mark.parametrize("keep", [2, 5, 9])
async def test_old_sends_are_forgotten(sms: SmsPop, keep: int) -> None:
    """Without a folder the latest sends are remembered, and memory and disk do not grow with the others."""
    async with Sends(sms, keep=keep) as sends:
        ids = []
        for _ in range(keep + 3):
            ids.append(await sends.start(people(1), **WORDS))
            await sends.wait(ids[-1])
            await sends._live[ids[-1]].ended.wait()
        known = await sends.statuses()
    assert {status.id for status in known} == set(ids[-keep:])
    assert set(sends._live) == set(ids[-keep:])


async def test_forget(sends: Sends) -> None:
    """`forget` deletes what is known of a send that has ended, and no other."""
    running = await sends.start(people(500), **SLOW, **WORDS)
    with pytest.raises(SendBusyError, match="running"):
        await sends.forget(running)
    ended = await sends.start(people(1), **WORDS)
    await sends.wait(ended)
    csv = await sends.report_csv(ended)
    await sends.forget(ended)
    assert not csv.exists()
    with pytest.raises(UnknownSendError):
        await sends.status(ended)
    with pytest.raises(UnknownSendError):
        await sends.forget(ended)


async def test_a_send_without_a_journal_cannot_be_resumed(sends: Sends) -> None:
    """Resuming needs a journal, and says so."""
    send = await sends.start(people(1), **WORDS)
    await sends.wait(send)
    with pytest.raises(SendBusyError, match="no journal"):
        await sends.resume(send)


async def test_no_report_before_the_end(sends: Sends) -> None:
    """A running send has no report yet, and says so."""
    send = await sends.start(people(500), **SLOW, **WORDS)
    with pytest.raises(SendBusyError, match="before it has ended"):
        await sends.report(send)
    with pytest.raises(SendBusyError, match="before it has ended"):
        await sends.report_csv(send)


async def test_a_full_disk_does_not_hurt_the_run(
    sends: Sends, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the state cannot be written, the log says so, and everybody is texted all the same."""
    send = await sends.start(people(5), **WORDS)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Shelf, "_put", full)
    async for event in sends.events(send):
        last = event
    assert last.data["state"] == "finished"
    assert len(numbers(sandbox)) == 5
    assert "state of the send" in caplog.text
    assert "report of the send" in caplog.text
    monkeypatch.undo()
    live = sends._live[send]
    assert (await sends._opened.report(live.status, live.report))["counts"]["sent"] == 5, "it is in memory"


async def test_a_table_that_cannot_be_written(sends: Sends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the table cannot be written, whoever asks for it is told so; later it is there."""
    send = await sends.start(people(5), **WORDS)
    await sends.wait(send)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("smspop_async.batch.report.Report.write_csv", full)
        with pytest.raises(JournalError, match="No space left"):
            await sends.report_csv(send)
    assert (await sends.report_csv(send)).exists()


async def test_nothing_personal_is_kept_but_in_the_report(
    sends: Sends, caplog: pytest.LogCaptureFixture
) -> None:
    """States, events and logs hold no number, no text and no token (law 7, Discretion)."""
    caplog.set_level(logging.DEBUG)
    send = await sends.start(people(30), chunk_size=10, **WORDS)
    shown = [json.dumps(dict(event.data)) + repr(event) async for event in sends.events(send)]
    state = (await sends.report_csv(send)).with_suffix(".json").read_text(encoding="utf-8")
    for text in (*shown, state, caplog.text, repr(await sends.status(send))):
        assert TEXT not in text
        assert not any(number in text for number in people(30))


def test_a_status_survives_its_json() -> None:
    """What `to_dict` makes, `from_dict` takes."""
    status = SendStatus(id="0" * 20, name="Nightly", counts={"sent": 2}, expected=2, state=SendState.STOPPED)
    assert SendStatus.from_dict(json.loads(json.dumps(status.to_dict()))) == status


def test_a_foreign_file_is_no_send(tmp_path: Path) -> None:
    """What cannot be read as a send is none; the others are still found."""
    shelf = Shelf(tmp_path / "sends")
    for name, text in (("0" * 20, "{}"), ("1" * 20, "no JSON"), ("2" * 20, "[]"), ("notes", "{}")):
        shelf.file(name, ".json").write_text(text)
    assert shelf.sends() == ["2" * 20, "1" * 20, "0" * 20] or len(shelf.sends()) == 3
    assert [shelf.read_checked(send) for send in shelf.sends()] == [None] * 3


def test_a_lock_is_let_go(tmp_path: Path) -> None:
    """A send is held by one at a time, and only as long as it is."""
    shelf = Shelf(tmp_path)
    lock = shelf.hold("0" * 20)
    assert isinstance(lock, FileLock)
    assert shelf.is_held("0" * 20)
    assert shelf.hold("0" * 20, patience=0.05) is None
    lock.release()
    assert not shelf.is_held("0" * 20)


async def test_a_folder_that_was_taken_away(sms: SmsPop, sandbox: Sandbox, tmp_path: Path) -> None:
    """Without its folder nothing is started, and the error says so."""
    folder = tmp_path / "sends"
    async with Sends(sms, journal_dir=folder) as sends:
        running = await sends.start(people(500), **SLOW, **WORDS)
        await sandbox.wait_for(count=10)
        folder.rename(tmp_path / "elsewhere")
        folder.write_text("")
        with pytest.raises(JournalError, match="cannot be used"):
            await sends.start(people(1), **WORDS)
        with pytest.raises(JournalError, match="cannot be used"):
            await sends._opened.ask_to_stop(running)
        folder.unlink()
        (tmp_path / "elsewhere").rename(folder)


async def test_a_claim_that_cannot_be_written(
    sends: Sends, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A send that cannot be entered durably is not begun, and its key is free."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(JournalError, match="No space left"):
            await sends.start(people(1), key="form-1", **WORDS)
    assert sandbox.requests == []
    await sends.wait(await sends.start(people(1), key="form-1", **WORDS))
    assert numbers(sandbox) == people(1)


async def test_an_end_that_cannot_be_written_down(
    sends: Sends, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong at the end of a send is logged by its class, and the others go on."""
    other = await sends.start(people(500), **SLOW, **WORDS)

    def defect(*_: object) -> None:
        raise ZeroDivisionError(people(1)[0])

    monkeypatch.setattr("smspop_async.batch.report.Report.to_dict", defect)
    send = await sends.start(people(1), **WORDS)
    await sends._live[send].ended.wait()
    assert sends.running == [other]
    assert "ZeroDivisionError" in caplog.text
    assert people(1)[0] not in caplog.text
    monkeypatch.undo()
    sends._live[send].cut_off()  # there is nothing left to cut off


@pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")
async def test_they_end_at_whatever_step_all_tasks_are_cancelled_at_once(sandbox: Sandbox) -> None:
    """As `asyncio.run` does when it ends: also a send that has not begun yet, and whoever waits for its start."""

    async def send() -> None:
        async with Sends(sms, grace=0.1) as sends:
            ids = [await sends.start(people(1), **WORDS) for _ in range(3)]
            for each in ids:
                await sends.wait(each)

    for steps in range(100):
        async with SmsPop(token=sandbox.token, base_url=sandbox.api_url) as sms:
            others = asyncio.all_tasks()
            sending = asyncio.ensure_future(send())
            for _ in range(steps):
                await asyncio.sleep(0)
            cancel_all_but(others)
            done, _ = await asyncio.wait([sending], timeout=30)
        assert done, f"it hangs when it is cancelled after {steps} steps"
        assert sending.cancelled() or sending.exception() is None
    del sending, done
    gc.collect()  # of a coroutine that was never awaited Python tells when it is collected: here


async def test_who_comes_second_returns_when_the_first_is_entered(
    sms: SmsPop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process has the lock of a key, and writes its entry a moment later: what `start` returns is known."""
    shelf, send = Shelf(tmp_path), _new_id("one")
    lock, read = shelf.hold(send), Shelf.read
    assert lock is not None
    looks = 0

    def read_and_be_late(asked: Shelf, of: str) -> Record | None:
        nonlocal looks
        looks += 1
        found = read(asked, of)
        if looks == 1:
            shelf.claim(Record(event=0, status=SendStatus(id=send, name="Nightly", journalled=True)))
        return found

    async with Sends(sms, journal_dir=tmp_path) as sends:
        with monkeypatch.context() as patch:
            patch.setattr(Shelf, "read", read_and_be_late)
            assert await sends.start(people(1), key="one", **WORDS) == send
        assert (await sends.status(send)).state is SendState.RUNNING
        assert sends.running == []
        lock.release()


def test_a_shelf_that_breaks(tmp_path: Path) -> None:
    """A folder that is gone is an error that says so; what cannot be written leaves nothing half-written behind."""
    shelf = Shelf(tmp_path / "sends")
    record = Record(event=0, status=SendStatus(id="0" * 20, name="Nightly", journalled=True))
    with pytest.raises(TypeError):
        shelf.write_report("0" * 20, {"not": {"JSON"}})
    assert list(shelf.folder.iterdir()) == []
    shelf.folder.rmdir()
    with pytest.raises(JournalError, match="cannot be used"):
        shelf.claim(record)


def test_a_damaged_journal_is_not_void(tmp_path: Path) -> None:
    """Of a journal that cannot be read nobody can say that nothing went out: its key stays taken."""
    shelf = Shelf(tmp_path)
    status = SendStatus(id="0" * 20, name="Nightly", journalled=True)
    assert shelf.is_void(status), "nothing goes out before there is a journal"
    shelf.file(status.id, ".db").write_text("no journal")
    assert not shelf.is_void(status)


async def test_with_a_folder_nothing_is_forgotten(sms: SmsPop, tmp_path: Path) -> None:
    """`keep` is for memory: what is in the folder stays there until somebody forgets it."""
    async with Sends(sms, journal_dir=tmp_path, keep=1) as sends:
        ids = [await sends.start(people(1), **WORDS) for _ in range(3)]
        for send in ids:
            assert (await sends.wait(send)).state is SendState.FINISHED
        assert len(await sends.statuses()) == 3
        assert len(sends._live) == 1


@pytest.mark.parametrize("journalled", [True, False])
async def test_those_that_end_together_are_not_all_kept(
    sms: SmsPop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, journalled: bool
) -> None:
    """`keep` is a bound: of three sends that write down their ends at the same moment, one is remembered."""
    together, write = Barrier(3, timeout=60), Shelf.write_report

    def write_with_the_others(shelf: Shelf, send: str, report: Mapping[str, object]) -> None:
        together.wait()
        write(shelf, send, report)

    monkeypatch.setattr(Shelf, "write_report", write_with_the_others)
    async with Sends(sms, journal_dir=tmp_path if journalled else None, keep=1) as sends:
        for _ in range(3):
            await sends.start(people(1), **WORDS)
        for live in list(sends._live.values()):
            await live.ended.wait()
        assert len(sends._live) == 1
        assert len(await sends.statuses()) == (3 if journalled else 1)
