"""Keeping a sandbox across runs, and leaving alone what is not a sandbox's."""

import json
import os
import stat

import aiohttp
import anyio
import pytest

from smspop_async.errors import ConfigurationError
from smspop_async.sandbox import Sandbox
from smspop_async.sandbox.store import Store

pytestmark = pytest.mark.anyio

ONE = "263770000001"


def state(sandbox):
    """Everything that is kept."""
    return (
        sandbox.token,
        sandbox.messages(),
        sandbox.campaigns,
        sandbox.credits,
        sandbox.senders,
        sandbox.active,
        sandbox._ledger.tokens,
    )


async def test_a_second_run_goes_on_where_the_first_ended(caller, tmp_path):
    """Token, tokens, senders, balance and campaigns survive, whichever way they came about."""
    db = tmp_path / "sandbox.db"
    async with Sandbox(db=db) as first:
        there = caller.of(first)
        await there.post(manual_contacts=f"{ONE},263770009901", message="Café 😀")
        first.revoke_token(first.create_token())
        other = first.create_token()
        first.add_sender("BRAND2")
        first.credits = 77
        first.active = False
        await there.list_campaigns()  # any request writes what is not written yet
        first.create_token()  # and so does closing
        kept = state(first)
    async with Sandbox(db=str(db), credits=5) as second:
        assert state(second) == kept
        second.active = True
        again = await caller.of(second).call("GET", "/api/campaigns", token=other)
        assert again.json["total"] == 1
        assert (await caller.of(second).post(sender_id="BRAND2")).status == 200
        assert [campaign.id for campaign in second.campaigns] == [1, 2]


async def test_what_is_answered_is_written(caller, tmp_path):
    """A campaign is in the file before its answer leaves: a killed sandbox forgets nothing it answered."""
    db = tmp_path / "sandbox.db"
    async with Sandbox(db=db) as sandbox:
        await caller.of(sandbox).post(name="kept")
        assert '"name": "kept"' in db.read_text()
        sandbox.fail_next("reset_after")
        with pytest.raises(aiohttp.ClientError):
            await caller.of(sandbox).post(name="kept too")
        assert '"name": "kept too"' in db.read_text()


async def test_a_given_token_wins(tmp_path, caller):
    """The token of the constructor is the ready one, whatever the file says."""
    db = tmp_path / "sandbox.db"
    async with Sandbox(db=db, token="1|fake-old"):
        pass
    async with Sandbox(db=db, token="1|fake-new") as sandbox:
        assert sandbox.token == "1|fake-new"
        assert (await caller.of(sandbox).list_campaigns()).status == 200
        assert (await caller.of(sandbox).call("GET", "/api/campaigns", token="1|fake-old")).status == 401


async def test_reset_empties_the_file(caller, tmp_path):
    """What is forgotten is forgotten on disk too; what comes after is kept."""
    db = tmp_path / "sandbox.db"
    async with Sandbox(db=db) as sandbox:
        await caller.of(sandbox).post(name="before")
        sandbox.reset()
        await caller.of(sandbox).post(name="after")
        token = sandbox.token
    assert "before" not in db.read_text()
    async with Sandbox(db=db) as sandbox:
        assert [campaign.name for campaign in sandbox.campaigns] == ["after"]
        assert sandbox.token == token


async def test_concurrent_requests_are_written_in_order(caller, tmp_path):
    """Writers take turns: the file reads back as the campaigns were accepted."""
    db = tmp_path / "sandbox.db"
    async with Sandbox(db=db) as sandbox:
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(lambda name: caller.of(sandbox).post(name=name), f"c{number}")
        kept = sandbox.campaigns
    async with Sandbox(db=db) as sandbox:
        assert sandbox.campaigns == kept


@pytest.mark.skipif(os.name == "nt", reason="permissions are POSIX's")
async def test_only_the_owner_can_read_it(tmp_path):
    """It holds a token, texts and numbers."""
    db = tmp_path / "sandbox.db"
    async with Sandbox(db=db):
        pass
    assert stat.S_IMODE(db.stat().st_mode) == 0o600


HEADER = json.dumps({"format": "smspop-sandbox", "version": 1})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Name,Phone\nNyasha,0770000001\n", "is not a sandbox's file"),
        (b'{"format": "smspop-sandbox", "version": 2}\n', "is not a sandbox's file"),
        (b"[]\n", "is not a sandbox's file"),
        (b"\xff\xfe\x00", "cannot be read as text"),
        (f'{HEADER}\n{{"credits": 5}}\n{{"cred'.encode(), "is damaged in line 3"),
        (f'{HEADER}\n{{"unheard-of": 5}}\n'.encode(), "is damaged in line 2"),
        (f'{HEADER}\n{{"campaign": {{}}}}\n'.encode(), "is damaged in line 2"),
        (f"{HEADER}\n7\n".encode(), "is damaged in line 2"),
    ],
)
async def test_a_foreign_or_damaged_file_is_left_alone(tmp_path, content, words):
    """It is refused in words that name the file and the line, and not a byte of it changes."""
    db = tmp_path / "contacts.csv"
    db.write_bytes(content)
    sandbox = Sandbox(db=db)
    with pytest.raises(ConfigurationError, match=words) as caught:
        await sandbox.start()
    await sandbox.aclose()
    assert str(db) in str(caught.value)
    assert db.read_bytes() == content


async def test_a_file_that_cannot_be_written_is_named_at_the_start(tmp_path):
    """It is not found out at the first campaign."""
    db = tmp_path / "nowhere" / "sandbox.db"
    with pytest.raises(ConfigurationError, match=r"nowhere.sandbox\.db cannot be written"):
        await Sandbox(db=db).start()


async def test_a_flush_waits_for_the_one_before(tmp_path, monkeypatch):
    """Whoever flushes knows that what came before is written, even when another flush took it along."""
    ledger = Sandbox(token="1|fake-token")._ledger
    store = Store(tmp_path / "sandbox.db")
    await store.load(ledger)
    written = []
    write = store._write
    monkeypatch.setattr(store, "_write", lambda *parts: (write(*parts), written.append(True)))
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(_flush_and_check, store, written)
    assert written == [True]


async def _flush_and_check(store, written):
    await store.flush()
    assert written


async def test_a_folder_is_no_file(tmp_path):
    """What cannot be read is refused."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        await Sandbox(db=tmp_path).start()
