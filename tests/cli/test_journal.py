"""``smspop send --journal``: what is written down, how a run ends, and the command that goes on with it."""

import json
import os
import shlex
import signal
import sqlite3
from pathlib import Path

import pytest
from anyio.lowlevel import checkpoint

from smspop_async import JournalError, list_sends, read_report
from smspop_async.cli import journal as journalling
from smspop_async.cli.journal import Standing
from smspop_async.journal.base import ChunkState, SendRecord, SendState
from smspop_async.journal.commit import GroupCommit
from smspop_async.journal.sqlite import SendLog

HELLO = ("--message", "Hello!", "--sender", "BRAND1", "--yes")
SLOWLY = (*HELLO, "--chunk-size", 10, "--concurrency", 2)
JOURNAL = "it's a list.db"
"""A name that a shell must be told about with care."""
CLI_PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def numbers(path: Path) -> list[str]:
    return sorted(path.read_text().split())


def last_line(ran) -> str:
    return ran.out.rstrip().splitlines()[-1]


def stopped_in_the_middle(smspop, sandbox, many, *words, balance=100):
    """A send of 200 of which some went out before the credits ran out."""
    sandbox.empty_account(balance)
    ran = smspop("send", many, *HELLO, "--chunk-size", 50, "--concurrency", 1, "--journal", "x.db", *words)
    assert ran.code == 4, ran
    sandbox.empty_account(1_000)
    return ran


# A run that ends well.


def test_a_journal_changes_nothing_about_a_good_run(smspop, sandbox, contacts):
    """The same outcome and exit code; the recap names the journal, and its file is its owner's alone."""
    ran = smspop("send", contacts, *HELLO, "--journal", "x.db")
    assert ran.code == 3, ran
    assert "Journal    x.db (new)" in ran.err
    assert "smspop resume" not in ran.out
    assert len(sandbox.texts) == 3
    assert Path("x.db").stat().st_mode & 0o777 == 0o600
    [record] = list_sends("x.db")
    assert record.finished


def test_a_dry_run_makes_no_journal(smspop, clean):
    """Nothing is left behind by a look."""
    ran = smspop(
        "send", clean, *HELLO, "--dry-run", "--journal", "x.db", "--base-url", "http://127.0.0.1:1/api"
    )
    assert ran.code == 0, ran
    assert not list(Path().glob("x.db*"))


def test_the_json_object_says_where_the_send_stands(smspop, sandbox, many, clean):
    """The key journal: null without one; else what is left, what is unknown, and the command that goes on."""
    assert json.loads(smspop("send", clean, *HELLO, "--json").out)["journal"] is None
    values = json.loads(smspop("send", clean, *HELLO, "--json", "--journal", "x.db").out)["journal"]
    assert (values["path"], values["left"], values["unknown"]) == ("x.db", 0, 0)
    assert (values["resumable"], values["resume"], values["state"]) == (False, None, "finished")
    sandbox.empty_account(0)
    ran = smspop("send", many, *HELLO, "--json", "--journal", "y.db")
    values = json.loads(ran.out)["journal"]
    assert (values["left"], values["resumable"], values["state"]) == (200, True, "unfinished")
    assert values["resume"] == f"smspop resume y.db --base-url {sandbox.api_url}"
    assert ran.err.endswith(f"To go on: {values['resume']}\n")
    assert "Hello!" not in ran.out


@pytest.mark.parametrize(
    ("state", "waiting", "expected"),
    [
        (SendState.PLANNING, 0, "planning"),
        (SendState.ABANDONED, 3, "abandoned"),
        (SendState.PLANNED, 3, "unfinished"),
        (SendState.PLANNED, 0, "finished"),
        (SendState.STREAMING, 3, "unfinished"),
        (SendState.STREAMING, 0, "streaming"),
    ],
)
def test_the_state_of_a_send_is_one_that_is_documented(state, waiting, expected):
    """It says whether there is something to go on with; what was never read is not finished."""
    record = SendRecord(
        run="r", name="n", sender_id="S", message="m", base_url="u", settings={}, created_at=0.0, state=state,
        chunks={ChunkState.PLANNED: waiting}, contacts={ChunkState.PLANNED: waiting},
    )  # fmt: skip
    standing = Standing(journal=Path("x.db"), record=record, command="")
    assert (standing.state, standing.values()["state"]) == (expected, expected)
    assert standing.resumable is (expected == "unfinished")
    assert f"`{expected}`" in CLI_PAGE.read_text(encoding="utf-8")


# A run that is interrupted.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_printed_command_sends_the_rest(child, sandbox, many, shell, number):
    """130; the last line, typed into a shell as it stands, texts everybody else, and nobody twice."""
    sandbox.fail_next("latency", seconds=0.3, times=4)
    run = child("send", many, *SLOWLY, "--journal", JOURNAL)
    sandbox.wait_for_requests(3)
    os.kill(run.process.pid, number)
    ran = run.end()
    assert ran.code == 130, ran
    sent = len(sandbox.texts)
    assert 0 < sent < 200
    assert f"{200 - sent} contacts left. This sends to them, and texts nobody twice:" in ran.out
    assert last_line(ran).startswith(f"smspop resume {shlex.quote(JOURNAL)}")
    resumed = shell(last_line(ran))
    assert resumed.code == 0, resumed
    assert sorted(sandbox.texts) == numbers(many)


def test_a_second_signal_says_how_to_go_on(child, sandbox, many, shell):
    """130 at once; the last words end with the command, and what it finds was not lost."""
    sandbox.fail_next("latency", seconds=1.0, times=3)
    run = child("send", many, *SLOWLY, "--journal", JOURNAL, "--no-canary")
    sandbox.wait_for_requests(2)
    os.kill(run.process.pid, signal.SIGINT)
    run.wait_for_line("Interrupted")
    os.kill(run.process.pid, signal.SIGINT)
    ran = run.end()
    assert ran.code == 130, ran
    words, command = ran.err.splitlines()[-2:]
    assert words.startswith("Left at once.")
    assert "nothing else is lost" in words
    assert command.startswith(f"smspop resume {shlex.quote(JOURNAL)}")
    resumed = shell(command)
    assert resumed.code in (0, 3), resumed
    assert not sandbox.texted_twice
    assert json_counts(JOURNAL)["total"] == 200


def json_counts(journal):
    """What the journal says, as it is read by everybody."""
    report = read_report(journal)
    counts = {status.value: count for status, count in report.counts.items()}
    assert sum(counts.values()) == report.total
    return counts | {"total": report.total}


def test_a_signal_before_all_is_written_down_sends_nothing(smspop, sandbox, tmp_path, monkeypatch):
    """130: nobody was texted, there is nothing to resume, and the same command may be typed again."""
    path = tmp_path / "long.txt"
    path.write_text("".join(f"26377{n:07d}\n" for n in range(1, 6_001)))
    plan = SendLog.plan

    async def interrupted(self, *words, **more):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(100):  # turns of the loop, in which the signal takes effect
            await checkpoint()
        await plan(self, *words, **more)

    with monkeypatch.context() as patch:
        patch.setattr(SendLog, "plan", interrupted)
        ran = smspop("send", path, *HELLO, "--journal", "x.db")
    assert (ran.code, sandbox.posts) == (130, 0), ran
    assert "type the same command again" in ran.out
    assert "smspop resume" not in ran.out
    nothing = smspop("resume", "x.db", "--yes")
    assert (nothing.code, sandbox.posts) == (1, 0), nothing
    assert "There is nothing to resume in x.db" in nothing.err
    assert "Not begun: 0 contacts texted" in smspop("report", "x.db").out
    again = smspop("send", path, *HELLO, "--journal", "x.db")
    assert again.code == 0, again
    assert sorted(sandbox.texts) == numbers(path)


def test_a_rehearsal_can_be_resumed_in_another_sandbox(child, many, shell):
    """``--sandbox --journal``: the printed command works though the sandbox of the command is gone."""
    run = child(
        "send", many, "--sandbox", "--yes", "--chunk-size", 10, "--concurrency", 2, "--journal", "x.db"
    )
    run.wait_for_line("contacts (")
    os.kill(run.process.pid, signal.SIGINT)
    ran = run.end()
    assert ran.code == 130, ran
    assert last_line(ran) == "smspop resume x.db --sandbox"
    resumed = shell(last_line(ran))
    assert resumed.code == 0, resumed
    assert "200 contacts texted" in resumed.out
    assert "Nobody is texted. [y/N]" in resumed.out


def test_a_rehearsal_that_is_over_leads_to_the_real_thing(smspop, clean, monkeypatch):
    monkeypatch.setattr("smspop_async.cli.dispatch._SANDBOX_LATENCY", 0.0)
    ran = smspop("send", clean, "--sandbox", "--yes", "--journal", "x.db")
    assert ran.code == 0, ran
    assert "--sender YOURID --journal real.db" in ran.out


# A run that stops.


def test_a_run_that_is_stopped_says_how_to_go_on(smspop, sandbox, many):
    """4: the remedy, how many are left, and the command as the last line."""
    ran = stopped_in_the_middle(smspop, sandbox, many)
    assert "Buy credits" in ran.out
    assert "100 contacts left" in ran.out
    assert last_line(ran) == f"smspop resume x.db --base-url {sandbox.api_url}"
    assert "do not type the same command again" not in ran.out


def test_a_refused_text_is_not_gone_on_with(smspop, sandbox, many):
    """4: the same text would be refused again, so the way to those who were not texted is shown instead."""
    sandbox.fail_next("latency", seconds=0.0, times=2)
    sandbox.fail_next(403, category="political")
    ran = smspop("send", many, *HELLO, "--chunk-size", 50, "--concurrency", 1, "--journal", "x.db")
    assert ran.code == 4, ran
    assert "Change the text" in ran.out
    assert "smspop resume" not in ran.out
    run = list_sends("x.db")[0].run
    assert last_line(ran).endswith(f"smspop report x.db --run {run} --csv out.csv")


def test_a_refusal_before_anybody_was_texted_is_begun_again(smspop, sandbox, many):
    ran = smspop(
        "send",
        many,
        "--message",
        "Hello!",
        "--sender",
        "NOBODY",
        "--yes",
        "--journal",
        "x.db",
        "--chunk-size",
        50,
    )
    assert (ran.code, "Nobody was texted" in ran.out) == (4, True), ran
    assert "smspop resume" not in ran.out
    assert smspop("send", many, *HELLO, "--journal", "x.db").code == 0


def test_rows_that_failed_can_be_seen_later(smspop, sandbox, contacts):
    """3: without --report too, for the journal has every row."""
    ran = smspop("send", contacts, *HELLO, "--journal", "x.db")
    run = list_sends("x.db")[0].run
    assert last_line(ran).endswith(f"Every row and its outcome: smspop report x.db --run {run} --csv out.csv")


def test_the_usual_address_is_not_in_the_command(monkeypatch):
    """Nothing is added that every terminal knows by itself; what another terminal may not know is."""
    usual = "https://smspop.co.zw/api"
    assert journalling.address_words(usual) == ()
    assert journalling.address_words("https://sms.example/api") == ("--base-url", "https://sms.example/api")
    monkeypatch.setenv("SMSPOP_BASE_URL", "https://sms.example/api")
    assert journalling.address_words(usual) == ("--base-url", usual)


def test_a_name_that_looks_like_an_option_is_spelled_as_a_path():
    assert journalling.WayBack(journal=Path("-x.db")).command("r") == "smspop resume ./-x.db"


def test_unknown_campaigns_are_worth_a_command_too(smspop, sandbox, clean):
    """3: what may have been sent can be looked for later; nothing is sent by that."""
    sandbox.fail_next("reset_before")
    ran = smspop("send", clean, *HELLO, "--no-reconcile", "--journal", "x.db")
    assert ran.code == 3, ran
    assert "This looks for the unknown campaigns once more, and sends nothing" in ran.out
    assert last_line(ran).startswith("smspop resume x.db")


def test_a_journal_that_cannot_be_written_any_more_stops_the_run(smspop, sandbox, many, monkeypatch):
    """3: what was sent is told, no campaign leaves unwritten, and the command that goes on is shown."""
    commit = GroupCommit._commit

    def fail(self, group):
        if sandbox.posts >= 5:
            raise full_disk()
        return commit(self, group)

    with monkeypatch.context() as patch:
        patch.setattr(GroupCommit, "_commit", fail)
        ran = smspop("send", many, *HELLO, "--chunk-size", 10, "--concurrency", 1, "--journal", "x.db")
    assert ran.code == 3, ran
    assert "the disk is full" in ran.out
    assert last_line(ran).startswith("smspop resume x.db")
    assert smspop("resume", "x.db", "--yes").code in (0, 3)
    assert not sandbox.texted_twice


def full_disk():
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorname = "SQLITE_FULL"
    return error


def test_a_journal_that_is_gone_at_the_end_costs_the_command_alone(smspop, sandbox, clean, monkeypatch):
    """What was sent is told all the same."""

    def vanished(_):
        raise JournalError("gone")

    monkeypatch.setattr(journalling, "list_sends", vanished)
    ran = smspop("send", clean, *HELLO, "--journal", "x.db")
    assert (ran.code, "3 contacts texted" in ran.out) == (0, True), ran


# The same command again.


def test_the_same_command_again_is_refused_while_it_is_unfinished(smspop, sandbox, many):
    """1: what everybody types after a crash texts nobody twice; the command to type instead ends the line."""
    sandbox.fail_next("reset_before")
    stopped_in_the_middle(smspop, sandbox, many, "--no-reconcile", balance=50)
    for extra in ((), ("--dry-run",), ("--name", "Another")):
        ran = smspop("send", many, *HELLO, "--journal", "x.db", *extra)
        assert (ran.code, sandbox.posts) == (1, 3), ran
        assert "Nothing was sent: x.db holds an unfinished send of this text" in ran.err
        assert "(100 contacts left, 50 unknown)" in ran.err
        assert ran.err.rstrip().endswith(f"type: smspop resume x.db --base-url {sandbox.api_url}")


def test_another_text_is_another_send(smspop, sandbox, many, clean):
    """Several sends in one journal; then the command that goes on names the one it means."""
    stopped_in_the_middle(smspop, sandbox, many)
    sandbox.empty_account(0)
    ran = smspop("send", clean, "--message", "Bye!", "--sender", "BRAND1", "--yes", "--journal", "x.db")
    assert ran.code == 4, ran
    assert "x.db (holds 1 send already, 1 not finished)" in ran.err
    second = list_sends("x.db")[1].run
    assert last_line(ran) == f"smspop resume x.db --run {second} --base-url {sandbox.api_url}"


def test_the_template_of_an_unfinished_send_is_known_again(smspop, sandbox, contacts):
    sandbox.empty_account(1)
    words = ("send", contacts, "--message", "Dear $first_name", "--template", "--sender", "BRAND1", "--yes")
    assert smspop(*words, "--journal", "x.db").code == 4
    assert smspop(*words, "--journal", "x.db").code == 1


def test_a_text_that_went_out_before_is_remarked_upon(smspop, sandbox, clean):
    """A finished send is no obstacle, but the recap says who got the text already."""
    for _ in range(2):
        ran = smspop("send", clean, *HELLO, "--journal", "x.db")
        assert ran.code == 0, ran
    assert "holds 1 send already)" in ran.err
    assert "This text went to 3 contacts on " in ran.err
    assert (
        "went to"
        not in smspop("send", clean, "--message", "Bye!", "--sender", "BRAND1", "-y", "--journal", "x.db").err
    )


def test_a_rehearsal_does_not_stand_in_the_way_of_the_real_thing(smspop, sandbox, many, child):
    """What was begun in a sandbox is not the same send."""
    run = child("send", many, *SLOWLY[:-4], "--sandbox", "--chunk-size", 5, "--journal", "x.db")
    run.wait_for_line("contacts (")
    os.kill(run.process.pid, signal.SIGINT)
    assert run.end().code == 130
    again = smspop("send", many, *HELLO, "--sandbox", "--journal", "x.db")
    assert again.err.rstrip().endswith("type: smspop resume x.db --sandbox")
    elsewhere = smspop("send", many, *HELLO, "--journal", "x.db")
    assert elsewhere.code == 0, elsewhere


# What cannot be a journal.


def write_newer(path):
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA application_id = {0x534D5350}")
        connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize("command", ["send", "resume", "report"])
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: path.write_text("263770000001\n"), "is not a journal, but some other file"),
        (
            lambda path: sqlite3.connect(path).execute("CREATE TABLE t (a)").connection.close(),
            "another program",
        ),
        (write_newer, "of version 99"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(20)), "is cut off"),
        (lambda path: path.mkdir(), "is a folder"),
    ],
    ids=["foreign", "database", "newer", "truncated", "folder"],
)
def test_what_is_no_journal_is_refused_in_words_and_left_alone(
    smspop, sandbox, clean, tmp_path, command, make, expected
):
    """1: which file, what is wrong with it, nothing sent, and not a byte of it changed."""
    path = tmp_path / "x.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    words = ("send", clean, *HELLO, "--journal", path) if command == "send" else (command, path)
    ran = smspop(*words)
    assert (ran.code, ran.out, sandbox.posts) == (1, "", 0), ran
    assert ran.err.startswith("smspop: ")
    assert ran.err.count("\n") == 1
    assert expected in ran.err
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_journal_in_no_folder_is_refused_before_the_list_is_read(smspop, sandbox):
    """1, in words."""
    ran = smspop("send", "missing.csv", *HELLO, "--journal", "no/where.db")
    assert (ran.code, "there is no folder" in ran.err) == (1, True), ran


def test_a_folder_that_cannot_be_written_is_refused_before_the_list_is_read(smspop, sandbox, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    ran = smspop("send", "missing.csv", *HELLO, "--journal", "x.db")
    assert (ran.code, "cannot be written" in ran.err) == (1, True), ran


def test_a_report_never_overwrites_the_journal(smspop, sandbox, clean):
    """Nor any of the files beside it."""
    assert smspop("send", clean, *HELLO, "--journal", "x.db").code == 0
    for name in ("x.db", "x.db.lock", "x.db-wal"):
        ran = smspop("send", clean, *HELLO, "--journal", "x.db", "--report", name)
        assert (ran.code, "would overwrite" in ran.err) == (1, True), ran
        assert smspop("report", "x.db", "--csv", name).code == 1
    assert len(sandbox.texts) == 3


def test_a_second_process_is_told_who_holds_the_journal(child, smspop, sandbox, many, clean):
    """1, before any question: the number of the process that has it; a report can be read meanwhile."""
    sandbox.fail_next("hang_before")
    run = child("send", many, *HELLO, "--journal", "x.db", "--grace", 0)
    sandbox.wait_for_requests(1)
    for words in (
        ("send", clean, "--message", "Bye!", "--sender", "BRAND1", "--journal", "x.db"),
        ("resume", "x.db"),
    ):
        ran = smspop(*words)
        assert (ran.code, ran.out) == (1, ""), ran
        assert f"in use by process {run.process.pid} on " in ran.err
        assert "othing was sent" in ran.err
    assert smspop("report", "x.db").code == 0
    os.kill(run.process.pid, signal.SIGINT)
    assert run.end().code == 130


# What nobody may read in it.


def test_the_token_is_nowhere_and_numbers_are_not_shown(child, smspop, sandbox, many):
    """Not in the database and not in the log beside it, of a process that was killed; the screen masks numbers."""
    sandbox.fail_next("hang_before")
    run = child("send", many, *HELLO, "--journal", "x.db")
    sandbox.wait_for_requests(1)
    run.process.kill()
    outputs = [run.end(), smspop("report", "x.db"), smspop("report", "x.db", "--json")]
    files = list(Path().glob("x.db*"))
    assert Path("x.db-wal").stat().st_size > 0
    outputs += [smspop("resume", "x.db", "--yes", "--no-reconcile"), smspop("report", "x.db")]
    for path in files:
        assert b"fake-token" not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0
    for ran in outputs:
        assert "fake-token" not in ran.out + ran.err
        assert "2637700000" not in ran.out + ran.err
        assert "Hello!" not in ran.out + ran.err


# A word to those who do not know that there is a journal.


@pytest.mark.parametrize(
    ("rows", "words", "expected"),
    [(3_001, (), 1), (3_000, (), 0), (3_001, ("--journal", "x.db"), 0), (3_001, ("--sandbox",), 0)],
)
def test_a_long_list_is_told_of_the_journal_once(smspop, tmp_path, rows, words, expected):
    """One line of the recap, where the question can still be answered with no; else not a word of it."""
    path = tmp_path / "long.txt"
    path.write_text("".join(f"26377{n:07d}\n" for n in range(1, rows + 1)))
    ran = smspop("send", path, *HELLO, "--dry-run", "--base-url", "http://127.0.0.1:1/api", *words)
    assert ran.code == 0, ran
    assert ran.out.count("with --journal send.db") == expected
