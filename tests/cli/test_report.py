"""``smspop report``: what a journal says, to a person, a spreadsheet and a program."""

import csv
import itertools
import json
import os
import signal
from pathlib import Path

import anyio
import pytest

from smspop_async import SmsPop, SqliteJournal, list_sends
from smspop_async.cli.report_file import ReportFile
from smspop_async.journal.base import SendPlan

HELLO = ("--message", "Hello!", "--sender", "BRAND1", "--yes")
IN_FOUR = ("--chunk-size", 50, "--concurrency", 1)


@pytest.fixture
def two_sends(smspop, sandbox, contacts, many):
    """A journal with a finished send of 6 rows and an unfinished one of 200."""
    assert smspop("send", contacts, *HELLO, "--journal", "x.db", "--name", "First").code == 3
    sandbox.empty_account(100)
    words = ("--message", "Bye!", "--sender", "BRAND1", "--yes", "--name", "Second", *IN_FOUR)
    assert smspop("send", many, *words, "--journal", "x.db").code == 4
    return list_sends("x.db")


def test_one_send_is_told_as_after_its_run(smspop, sandbox, contacts):
    """0: counts and problems, with lines and masked numbers; it needs no token."""
    after = smspop("send", contacts, *HELLO, "--journal", "x.db", "--name", "Fees")
    ran = smspop("report", "x.db")
    assert ran.code == 0, ran
    assert ran.err == ""
    assert f"Fees (run {list_sends('x.db')[0].run}), in x.db" in ran.out
    assert "Finished: 3 contacts texted, 1 campaign" in ran.out
    counts = after.out.partition("texted")[2].partition("\n")[2]
    assert counts.strip() in ran.out
    assert " 7  …       invalid" in ran.out


def test_several_sends_are_listed(smspop, two_sends):
    """Run, name, rows, what is left, what became of them and what stopped it; and what goes on with it."""
    ran = smspop("report", "x.db")
    assert ran.code == 0, ran
    first, second = two_sends
    rows = [line for line in ran.out.splitlines() if line.startswith((first.run, second.run))]
    assert [row.split()[0] for row in rows] == [first.run, second.run, second.run]
    assert "First" in rows[0]
    assert "3 sent, 2 invalid, 1 duplicate" in rows[0]
    assert "finished" in rows[0]
    assert "100 sent, " in rows[1]
    assert rows[1].split()[-1] == "stopped"
    assert rows[2].startswith(f"{second.run} stopped: ")
    assert "smspop report x.db --run " in ran.out
    assert "1 send not finished. This goes on with all of them:" in ran.out
    assert ran.out.rstrip().splitlines()[-1].startswith("smspop resume x.db")


def test_a_send_that_was_never_begun_is_told_as_such(smspop, sandbox, clean):
    """While it is written down, and after the process that did so died: nobody was texted."""

    async def die_while_planning():
        plan = SendPlan(
            run="r" * 10,
            name="Fees",
            sender_id="BRAND1",
            message="Hello!",
            base_url=sandbox.api_url,
            settings={},
        )
        async with SqliteJournal("x.db") as journal:
            await journal.begin(plan, streaming=False)

    anyio.run(die_while_planning)
    ran = smspop("report", "x.db")
    assert "Being written down, or left so by a process that died: 0 contacts texted" in ran.out
    assert "smspop resume" not in ran.out
    assert smspop("resume", "x.db", "--yes").code == 1  # whoever opens it knows that it is dead
    assert "Not begun: 0 contacts texted" in smspop("report", "x.db").out
    assert smspop("send", clean, *HELLO, "--journal", "x.db").code == 0


def test_a_send_whose_source_was_not_read_to_its_end_is_not_said_to_be_finished(smspop, sandbox):
    """Nobody is left of what was read; who was not read is in no journal."""

    async def cut_short():
        async def numbers():
            for number in itertools.count(770000001):
                yield f"0{number}"
                await anyio.sleep(0.1)

        async with SmsPop() as sms:
            with anyio.CancelScope() as scope:
                async with sms.stream(
                    numbers(), message="Hello!", sender_id="BRAND1", chunk_size=1, journal="x.db"
                ) as batch:
                    async for _ in batch:
                        scope.cancel()

    anyio.run(cut_short)
    ran = smspop("resume", "x.db", "--yes")
    assert (ran.code, "had been read up to row" in ran.out) == (3, True), ran
    assert "Not read to the end of its list: " in smspop("report", "x.db").out
    values = json.loads(smspop("report", "x.db", "--json").out)["journal"]
    assert (values["state"], values["resumable"]) == ("streaming", False)


def test_run_picks_one(smspop, two_sends):
    """All about it, and the command that goes on with it."""
    ran = smspop("report", "x.db", "--run", two_sends[1].run)
    assert ran.code == 0, ran
    assert "Stopped: 100 contacts texted" in ran.out
    assert "100 contacts left. This sends to them, and texts nobody twice:" in ran.out
    assert ran.out.rstrip().splitlines()[-1].startswith("smspop resume x.db --base-url http://127.0.0.1:")


def test_an_interrupted_send_is_said_to_be_interrupted(child, smspop, sandbox, many):
    sandbox.fail_next("latency", seconds=0.5, times=3)
    run = child("send", many, *HELLO, *IN_FOUR, "--journal", "x.db")
    sandbox.wait_for_requests(1)
    os.kill(run.process.pid, signal.SIGINT)
    assert run.end().code == 130
    ran = smspop("report", "x.db")
    assert "Interrupted: " in ran.out
    assert "Stopped by" not in ran.out
    assert json.loads(smspop("report", "x.db", "--json").out)["report"]["cancelled"] is True


def test_the_csv_has_every_row_in_its_place(smspop, sandbox, contacts, two_sends):
    """Also rows that were never sent, with their lines and reasons; for its owner alone to read."""
    ran = smspop("report", "x.db", "--run", two_sends[0].run, "--csv", "out.csv")
    assert ran.code == 0, ran
    with Path("out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["sent", "sent", "invalid", "sent", "duplicate", "invalid"]
    assert [row["line"] for row in rows] == ["2", "3", "4", "5", "6", "7"]
    assert all(row["detail"] for row in rows if row["status"] == "invalid")
    assert rows[0]["phone_number"] == "263770000001"
    assert Path("out.csv").stat().st_mode & 0o777 == 0o600
    assert "Every row and its outcome: out.csv" in ran.out


def test_a_csv_is_of_one_send(smspop, two_sends):
    """2: it says which runs there are."""
    ran = smspop("report", "x.db", "--csv", "out.csv")
    assert (ran.code, Path("out.csv").exists()) == (2, False), ran
    assert f"add --run, with one of {two_sends[0].run}, {two_sends[1].run}" in ran.err


def test_a_csv_that_cannot_be_written_where_it_was_to_be(smspop, sandbox, clean, monkeypatch, tmp_path):
    """3, and it is saved elsewhere; 1 where that is known before."""
    assert smspop("send", clean, *HELLO, "--journal", "x.db").code == 0
    assert smspop("report", "x.db", "--csv", "no/out.csv").code == 1
    refuge = tmp_path / "refuge"
    refuge.mkdir()
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(refuge))
    write = ReportFile.write
    monkeypatch.setattr(ReportFile, "write", lambda self, report: folder.rmdir() or write(self, report))
    ran = smspop("report", "x.db", "--csv", folder / "out.csv")
    assert ran.code == 3, ran
    assert "--csv" in ran.err
    assert list(refuge.glob("smspop-*.csv"))


def test_json_is_one_object_as_that_of_send(smspop, sandbox, contacts):
    """The keys of ``send --json``, without a number or a text."""
    after = smspop("send", contacts, *HELLO, "--journal", "x.db", "--json")
    ran = smspop("report", "x.db", "--json")
    values, before = json.loads(ran.out), json.loads(after.out)
    assert list(values) == ["exit_code", "error", "plan", "message", "report", "journal", "sends"]
    assert (values["exit_code"], values["sends"]) == (0, None)
    assert values["journal"] == before["journal"]
    for moment in (values, before):
        del moment["report"]["elapsed"]
    assert values["report"] == before["report"]
    assert "Hello!" not in ran.out
    assert "263770000001" not in ran.out


def test_json_of_several_sends_is_a_list(smspop, two_sends):
    values = json.loads(smspop("report", "x.db", "--json").out)
    assert (values["report"], values["journal"]) == (None, None)
    assert [each["journal"]["name"] for each in values["sends"]] == ["First", "Second"]
    assert [each["journal"]["left"] for each in values["sends"]] == [0, 100]
    assert values["sends"][1]["report"]["counts"]["sent"] == 100
    one = json.loads(smspop("report", "x.db", "--json", "--run", two_sends[1].run).out)
    assert one["journal"]["resume"].startswith("smspop resume x.db")


def test_it_works_while_a_send_goes_on(child, smspop, sandbox, many):
    """0 in another process, and the sending process is not disturbed; what is under way is not said to be unsent."""
    sandbox.fail_next("latency", seconds=2.0, times=2)
    run = child("send", many, *HELLO, *IN_FOUR, "--journal", "x.db")
    sandbox.wait_for_requests(2)
    ran = smspop("report", "x.db")
    assert ran.code == 0, ran
    assert "Not finished: 50 contacts texted, 1 campaign" in ran.out
    assert "1 campaign under way" in ran.out
    values = json.loads(smspop("report", "x.db", "--json").out)
    assert (values["journal"]["left"], values["journal"]["unknown"]) == (100, 50)
    ended = run.end()
    assert ended.code == 0, ended
    assert len(sandbox.texts) == 200


def test_what_was_under_way_when_the_process_died_is_unknown(child, smspop, sandbox, many):
    """A report that said "not submitted, not texted" of these people would have them texted twice."""
    sandbox.fail_next("hang", times=1)
    run = child("send", many, *HELLO, *IN_FOUR, "--no-canary", "--journal", "x.db")
    sandbox.wait_for_requests(1)
    run.process.kill()
    run.end()
    assert len(sandbox.texts) == 50
    counts = json.loads(smspop("report", "x.db", "--json").out)["report"]["counts"]
    assert (counts["unknown"], counts["not_submitted"]) == (50, 150)
    assert smspop("report", "x.db", "--csv", "out.csv").code == 0
    assert Path("out.csv").read_text().count(",unknown,") == 50


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nowhere.db",), "nowhere.db. See how its name is spelled."),
        (("x.db", "--run", "nonsense"), "no send 'nonsense'"),
    ],
)
def test_what_is_not_there_is_told(smspop, sandbox, clean, words, expected):
    """1: one line, also as JSON, and no file is made."""
    assert smspop("send", clean, *HELLO, "--journal", "x.db").code == 0
    ran = smspop("report", *words)
    assert (ran.code, ran.out) == (1, ""), ran
    assert expected in ran.err
    assert json.loads(smspop("report", *words, "--json").out)["error"]["error"] == "JournalError"
    assert not list(Path().glob("nowhere*"))
