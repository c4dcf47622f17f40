"""``smspop resume``: the rest goes out, nobody is texted twice, and nothing goes where it was not meant to."""

import io
import json
import os
import re
import signal
import sys
from pathlib import Path

import anyio
import pytest
from attrs import evolve

from smspop_async import SmsPop, list_sends, read_report
from smspop_async.batch import job as jobs
from smspop_async.batch.report import Report

HELLO = ("--message", "Hello!", "--sender", "BRAND1", "--yes")
IN_FOUR = ("--chunk-size", 50, "--concurrency", 1)
SMS = "https://sms.example/api"

pytestmark = pytest.mark.usefixtures("soon")


def numbers(path: Path) -> list[str]:
    return sorted(path.read_text().split())


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", stream)


@pytest.fixture
def stopped(smspop, sandbox, many):
    """A journal with a send of 200 of which 100 went out before the credits ran out; there are credits again."""

    def stop(*words, balance=100, journal="x.db"):
        sandbox.empty_account(balance)
        ran = smspop("send", many, *(words or HELLO), *IN_FOUR, "--journal", journal)
        assert ran.code == 4, ran
        sandbox.empty_account(10_000)
        return ran

    return stop


@pytest.fixture
def doubtful(smspop, sandbox, many):
    """A journal with a send of 200 of which 50 are of unknown outcome, and 100 are left."""

    def doubt(fault):
        sandbox.empty_account(50 if fault == "reset_before" else 100)
        sandbox.fail_next(fault)
        ran = smspop("send", many, *HELLO, *IN_FOUR, "--no-reconcile", "--no-canary", "--journal", "x.db")
        assert ran.code == 4, ran
        sandbox.empty_account(10_000)
        [record] = list_sends("x.db")
        assert (record.contacts["unknown"], record.contacts["planned"]) == (50, 100)

    return doubt


def account_of(journal: str) -> dict[str, int]:
    """The counts of its last send, which add up to the rows (law 1)."""
    report = read_report(journal)
    counts = {status.value: rows for status, rows in report.counts.items() if rows}
    assert sum(counts.values()) == report.total
    return counts


# What is left goes out.


def test_the_rest_goes_out(smspop, sandbox, many, stopped):
    """0: everybody is texted once; first it says what is left, and of what."""
    stopped()
    ran = smspop("resume", "x.db", "--yes")
    assert ran.code == 0, ran
    assert sorted(sandbox.texts) == numbers(many)
    assert "100 to text in 2 campaigns, of 200 rows" in ran.err
    assert "Credits  about 100 " in ran.err
    assert "Unknown" not in ran.err
    assert "200 contacts texted, 4 campaigns" in ran.out


def test_where_nothing_is_left_nothing_is_done(smspop, sandbox, many, stopped):
    """0, so that a script may try until it is so; no question is asked."""
    stopped()
    assert smspop("resume", "x.db", "--yes").code == 0
    ran = smspop("resume", "x.db")
    assert (ran.code, sandbox.posts) == (0, 5), ran
    assert "Nothing is left to send in x.db, and nothing is unknown. smspop report x.db tells" in ran.out
    values = json.loads(smspop("resume", "x.db", "--json").out)
    assert (values["exit_code"], values["report"], values["sends"]) == (0, None, [])


def test_a_killed_process_texts_nobody_twice(child, smspop, sandbox, many):
    """After kill -9 in the middle what was under way is looked for, the rest goes out, and every row is told of."""
    sandbox.fail_next("latency", seconds=0.3, times=6)
    run = child("send", many, *HELLO, "--chunk-size", 10, "--concurrency", 2, "--journal", "x.db")
    sandbox.wait_for_requests(4)
    run.process.kill()
    run.end()
    ran = smspop("resume", "x.db", "--yes")
    assert ran.code in (0, 3), ran
    assert re.search(
        r"people in \d campaigns? may have been texted: looked for, not sent to again", ran.err
    ), ran
    assert not sandbox.texted_twice
    counts = account_of("x.db")
    assert counts.get("sent", 0) + counts.get("accepted", 0) + counts.get("unknown", 0) == 200
    assert len(sandbox.texts) >= counts.get("sent", 0) + counts.get("accepted", 0)


def test_a_resumed_send_can_be_interrupted_and_resumed(child, smspop, sandbox, many, stopped, shell):
    """130, with the same command; it is the last line again."""
    stopped(balance=50)
    sandbox.fail_next("latency", seconds=0.5, times=2)
    run = child("resume", "x.db", "--yes")
    sandbox.wait_for_requests(3)
    os.kill(run.process.pid, signal.SIGINT)
    ran = run.end()
    assert ran.code == 130, ran
    again = shell(ran.out.rstrip().splitlines()[-1])
    assert again.code == 0, again
    assert sorted(sandbox.texts) == numbers(many)


def test_every_option_of_pace_reaches_the_run(smspop, sandbox, stopped, monkeypatch):
    """What is typed holds, and what is not typed is as the send was begun."""
    stopped(*HELLO, "--rate", 5_000, "--timeout", 7)
    seen = []
    resume_stream = SmsPop.resume_stream

    def spy(self, journal, **options):
        seen.append(options)
        return resume_stream(self, journal, **options)

    monkeypatch.setattr(SmsPop, "resume_stream", spy)
    words = (
        "--requests-per-second",
        900,
        "--concurrency",
        3,
        "--grace",
        2,
        "--no-reconcile",
        "--timeout",
        20,
    )
    ran = smspop("resume", "x.db", "--yes", *words)
    assert ran.code == 0, ran
    [options] = seen
    limit = options["rate_limit"]
    assert (limit.contacts_per_second, limit.requests_per_second) == (5_000, 900)
    assert (options["max_concurrency"], options["grace"], options["reconcile"]) == (3, 2, None)


def test_the_report_has_every_row_of_the_send(smspop, sandbox, stopped):
    """Also those that earlier processes sent."""
    stopped()
    ran = smspop("resume", "x.db", "--yes", "--report", "out.csv")
    assert ran.code == 0, ran
    assert Path("out.csv").read_text().count(",sent,") == 200
    assert "Every row and its outcome: out.csv" in ran.out


@pytest.mark.parametrize("words", [(), ("--json",)])
@pytest.mark.parametrize("named", [True, False])
def test_a_report_is_written_also_where_nothing_is_left(smspop, sandbox, stopped, words, named):
    """Who asks for every row and its outcome gets it, however often the command was typed before."""
    stopped()
    assert smspop("resume", "x.db", "--yes").code == 0
    [record] = list_sends("x.db")
    ran = smspop(
        "resume", "x.db", "--yes", "--report", "out.csv", *(("--run", record.run) if named else ()), *words
    )
    assert ran.code == 0, ran
    assert Path("out.csv").read_text().count(",sent,") == 200
    assert words or "Every row and its outcome: out.csv" in ran.out


def test_a_report_of_what_was_finished_needs_to_know_of_which(smspop, sandbox, stopped):
    """2, as where several are not finished: --run names one."""
    for text in ("Hello!", "Bye!"):
        stopped("--message", text, "--sender", "BRAND1", "--yes")
        assert smspop("resume", "x.db", "--yes").code == 0
    runs = [record.run for record in list_sends("x.db")]
    ran = smspop("resume", "x.db", "--yes", "--report", "out.csv")
    assert (ran.code, Path("out.csv").exists()) == (2, False), ran
    assert f"--report is of one send, and x.db holds 2: add --run, with one of {', '.join(runs)}." in ran.err
    assert smspop("resume", "x.db", "--yes", "--report", "out.csv", "--run", runs[0]).code == 0
    assert Path("out.csv").exists()


def test_where_nothing_is_left_a_report_that_cannot_be_written_is_3(smspop, sandbox, stopped, monkeypatch):
    stopped()
    assert smspop("resume", "x.db", "--yes").code == 0

    def fail(self, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("smspop_async.batch.report.Report.write_csv", fail)
    ran = smspop("resume", "x.db", "--yes", "--report", "out.csv", "--json")
    assert (ran.code, json.loads(ran.out)["exit_code"], Path("out.csv").exists()) == (3, 3, False), ran
    assert "--report out.csv cannot be written" in ran.err


def test_each_contact_gets_the_text_that_was_made_for_it(smspop, sandbox, contacts):
    """A template is filled from the journal; the list is not needed any more."""
    sandbox.empty_account(1)
    ran = smspop(
        "send", contacts, "--message", "Dear $first_name", "--template", "--sender", "BRAND1", "--yes",
        "--concurrency", 1, "--journal", "x.db",
    )  # fmt: skip
    assert ran.code == 4, ran
    sandbox.empty_account(10)
    contacts.unlink()
    ran = smspop("resume", "x.db", "--yes")
    assert ran.code == 3, ran  # two rows of the list are no numbers
    assert "a text for each contact" in ran.err
    assert "Credits  about 2 " in ran.err
    assert sorted(each.message for each in sandbox.campaigns) == ["Dear Chipo", "Dear Rudo", "Dear Tariro"]


# The question.


@pytest.mark.parametrize("answer", ["", "\n", "n\n"])
def test_the_answer_is_no_unless_it_is_yes(smspop, sandbox, stopped, monkeypatch, answer):
    """1: not confirmed, nothing sent, and it can be asked again."""
    stopped()
    type_in(monkeypatch, answer)
    ran = smspop("resume", "x.db")
    assert (ran.code, sandbox.posts) == (1, 3), ran
    assert "Text the 100 contacts that are left now, for about 100 credits? [y/N]" in ran.err
    assert "Nothing was sent" in ran.err
    type_in(monkeypatch, "y\n")
    assert smspop("resume", "x.db").code == 0


def test_without_a_terminal_it_asks_for_yes(smspop, sandbox, stopped, monkeypatch):
    stopped()
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    ran = smspop("resume", "x.db")
    assert (ran.code, sandbox.posts, "with --yes" in ran.err) == (2, 3, True), ran


def test_it_sends_nothing_that_costs_too_much(smspop, sandbox, stopped):
    stopped()
    ran = smspop("resume", "x.db", "--yes", "--max-credits", 99)
    assert (ran.code, sandbox.posts) == (1, 3), ran
    assert "would take about 100 credits, and --max-credits allows 99" in ran.err


# Contacts of unknown outcome.


def test_what_is_not_looked_for_is_said(smspop, sandbox, doubtful):
    doubtful("reset_before")
    ran = smspop("resume", "x.db", "--yes", "--no-reconcile")
    assert (ran.code, "may have been texted: not looked for, not sent to again" in ran.err) == (3, True), ran


def test_unknown_campaigns_that_are_found_are_accepted(smspop, sandbox, many, doubtful):
    """The texts went out, the reply was lost: the list of campaigns has it, and nobody is texted twice."""
    doubtful("reset_after")
    ran = smspop("resume", "x.db", "--yes")
    assert ran.code == 0, ran
    assert account_of("x.db") == {"accepted": 50, "sent": 150}
    assert sorted(sandbox.texts) == numbers(many)


def test_unknown_campaigns_that_are_not_found_are_held(smspop, sandbox, doubtful):
    """3: not being found proves nothing, so nobody is texted; it says what would, and what that risks."""
    doubtful("reset_before")
    ran = smspop("resume", "x.db", "--yes")
    assert ran.code == 3, ran
    assert account_of("x.db") == {"unknown": 50, "sent": 150}
    assert "with --resend-unknown it sends to them again, which may text them twice" in ran.out
    assert len(sandbox.texts) == 150


def test_looking_for_unknown_campaigns_asks_nothing(smspop, sandbox, doubtful, monkeypatch):
    """Where nothing can be sent there is nothing to confirm."""
    doubtful("reset_before")
    assert smspop("resume", "x.db", "--yes").code == 3
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    ran = smspop("resume", "x.db")
    assert (ran.code, len(sandbox.texts)) == (3, 150), ran
    assert "[y/N]" not in ran.err


@pytest.mark.parametrize("fault", ["reset_before", "reset_after"])
def test_resend_unknown_sends_what_is_not_found_once_more(smspop, sandbox, many, doubtful, fault):
    """With --yes it does not ask; what is found in the list is not sent again."""
    doubtful(fault)
    ran = smspop("resume", "x.db", "--yes", "--resend-unknown")
    assert ran.code == 0, ran
    assert sorted(sandbox.texts) == numbers(many)
    assert "--resend-unknown: 50 people in 1 campaign may have been texted already." in ran.err
    assert "Credits  about 150 " in ran.err


@pytest.mark.parametrize("answer", ["y\n", "\n", "49\n"])
def test_resend_unknown_is_not_confirmed_by_habit(smspop, sandbox, doubtful, monkeypatch, answer):
    """1: it asks separately, for their number; a y is not one. Nothing is sent, not even what is left."""
    doubtful("reset_before")
    posts = sandbox.posts
    type_in(monkeypatch, f"{answer}y\n")
    ran = smspop("resume", "x.db", "--resend-unknown")
    assert (ran.code, sandbox.posts) == (1, posts), ran
    assert "these people may get the text twice, and you pay twice." in ran.err
    assert "To send to them again, type their number (50): " in ran.err
    assert "[y/N]" not in ran.err
    assert "Without --resend-unknown, only what is left is sent" in ran.err


def test_resend_unknown_is_confirmed_by_their_number(smspop, sandbox, many, doubtful, monkeypatch):
    """And what is left is asked about as ever."""
    doubtful("reset_before")
    type_in(monkeypatch, "50\ny\n")
    ran = smspop("resume", "x.db", "--resend-unknown")
    assert ran.code == 0, ran
    assert sorted(sandbox.texts) == numbers(many)


def test_a_second_try_that_was_cut_short_is_not_finished_without_a_word(smspop, sandbox, many, doubtful):
    """3: the rest goes out; who may have been texted is sent to again only by a command that says so, each time."""
    doubtful("reset_before")
    sandbox.empty_account(0)
    ran = smspop("resume", "x.db", "--yes", "--resend-unknown")
    assert ran.code == 4, ran
    assert "with the risk that people get the text twice" in ran.out
    assert ran.out.rstrip().splitlines()[-1].startswith("smspop resume x.db --resend-unknown")
    sandbox.empty_account(1_000)
    held = smspop("resume", "x.db", "--yes", "--no-reconcile")
    assert (held.code, len(sandbox.texts)) == (3, 150), held
    assert "50 unknown" in held.out + held.err
    again = smspop("resume", "x.db", "--yes", "--resend-unknown")
    assert again.code == 0, again
    assert "--resend-unknown: 50 people in 1 campaign may have been texted already." in again.err
    assert sorted(sandbox.texts) == numbers(many)


def test_resend_unknown_without_looking_is_refused(smspop, stopped):
    """2: it never sends again what it has not looked for."""
    stopped()
    ran = smspop("resume", "x.db", "--resend-unknown", "--no-reconcile", "--yes")
    assert (ran.code, "leave --no-reconcile out" in ran.err) == (2, True), ran


def test_the_help_says_what_yes_covers(smspop):
    text = " ".join(smspop("resume", "--help").out.replace("│", " ").split())
    assert (
        "THEY MAY GET THE TEXT TWICE, and you pay twice. It asks for their number; together with --yes"
        in text
    )


# Several sends.


def test_one_command_finishes_all_sends(smspop, sandbox, many, stopped):
    """In the order of their beginnings, one after another, after one question for all."""
    stopped()
    stopped("--message", "Bye!", "--sender", "BRAND1", "--yes", "--name", "Second")
    ran = smspop("resume", "x.db", "--yes")
    assert ran.code == 0, ran
    assert [(each.name.split()[0], each.message) for each in sandbox.campaigns][-4:] == [
        ("Campaign", "Hello!"),
        ("Campaign", "Hello!"),
        ("Second", "Bye!"),
        ("Second", "Bye!"),
    ]
    assert "Send 1 of 2" in ran.err
    assert "Send 2 of 2" in ran.err
    assert ran.out.count("200 contacts texted, 4 campaigns") == 2
    assert sorted(sandbox.texts) == sorted(numbers(many) * 2)


def test_run_picks_one_of_them(smspop, sandbox, stopped):
    """The others are left as they are."""
    stopped()
    stopped("--message", "Bye!", "--sender", "BRAND1", "--yes")
    first, second = (record.run for record in list_sends("x.db"))
    ran = smspop("resume", "x.db", "--yes", "--run", second, "--report", "out.csv")
    assert ran.code == 0, ran
    assert [record.finished for record in list_sends("x.db")] == [False, True]
    assert first in smspop("resume", "x.db", "--yes").err


def test_an_empty_account_ends_all_of_it(smspop, sandbox, stopped):
    """4: what stops one send would stop the next; the rest of them waits, with the command that goes on."""
    stopped()
    stopped("--message", "Bye!", "--sender", "BRAND1", "--yes")
    sandbox.empty_account(0)
    ran = smspop("resume", "x.db", "--yes")
    assert ran.code == 4, ran
    assert "1 more send not gone on with. This goes on with all:" in ran.err
    assert ran.err.rstrip().splitlines()[-1] == f"smspop resume x.db --base-url {sandbox.api_url}"
    sandbox.empty_account(10_000)
    assert smspop("resume", "x.db", "--yes").code == 0
    assert len(sandbox.texts) == 400


def test_a_refused_text_does_not_keep_the_next_send_waiting(smspop, sandbox, stopped):
    """4, but the other send, which has nothing to do with it, goes out."""
    stopped()
    stopped("--message", "Bye!", "--sender", "BRAND1", "--yes")
    sandbox.fail_next(403, category="political")
    ran = smspop("resume", "x.db", "--yes", "--json")
    assert ran.code == 4, ran
    values = json.loads(ran.out)
    assert [each["exit_code"] for each in values["sends"]] == [4, 0]
    assert (values["exit_code"], values["report"], values["journal"]) == (4, None, None)
    first = values["sends"][0]
    assert first["report"]["stopped_by"]["error"] == "ContentRejectedError"
    assert first["journal"]["resume"].startswith("smspop resume x.db --run ")
    assert values["sends"][1]["journal"]["resume"] is None


def test_a_send_that_cannot_begin_does_not_hide_what_the_first_did(smspop, sandbox, stopped, monkeypatch):
    """3: what was sent is told, with the error that kept the next one from beginning."""
    stopped()
    stopped("--message", "Bye!", "--sender", "BRAND1", "--yes")
    resume_stream = SmsPop.resume_stream
    calls = []

    def once(self, journal, **options):
        calls.append(options)
        if len(calls) > 1:
            raise OSError(5, "Input/output error")
        return resume_stream(self, journal, **options)

    monkeypatch.setattr(SmsPop, "resume_stream", once)
    ran = smspop("resume", "x.db", "--yes")
    assert ran.code == 3, ran
    assert "200 contacts texted" in ran.out
    assert "Input/output error" in ran.err
    assert "othing was sent" not in ran.err
    assert "1 more send not gone on with" in ran.err


def test_a_report_is_of_one_send(smspop, sandbox, stopped):
    """2: it says which runs there are."""
    stopped()
    stopped("--message", "Bye!", "--sender", "BRAND1", "--yes")
    ran = smspop("resume", "x.db", "--yes", "--report", "out.csv")
    assert (ran.code, sandbox.posts) == (2, 6), ran
    assert f"add --run, with one of {list_sends('x.db')[0].run}, " in ran.err


def test_json_is_one_object_as_that_of_send(smspop, sandbox, stopped):
    """The keys of ``send --json``; ``sends`` only where there are several."""
    stopped()
    values = json.loads(smspop("resume", "x.db", "--yes", "--json").out)
    assert list(values) == ["exit_code", "error", "plan", "message", "report", "journal", "sends"]
    assert values["report"]["counts"]["sent"] == values["report"]["total"] == 200
    assert (values["journal"]["resumable"], values["sends"]) == (False, None)
    wrong = smspop("resume", "y.db", "--json")
    assert json.loads(wrong.out)["error"]["error"] == "JournalError"


# What cannot be resumed.


def test_what_is_not_there_is_told(smspop, sandbox, stopped):
    """1, with what there is."""
    ran = smspop("resume", "nowhere.db")
    assert (ran.code, "nowhere.db. See how its name is spelled." in ran.err) == (1, True), ran
    assert not list(Path().glob("nowhere*"))
    stopped()
    ran = smspop("resume", "x.db", "--run", "nonsense")
    assert (ran.code, f"It has: {list_sends('x.db')[0].run}." in ran.err) == (1, True), ran


def test_without_a_token_nothing_is_touched(smspop, stopped, monkeypatch):
    stopped()
    monkeypatch.delenv("SMSPOP_TOKEN")
    ran = smspop("resume", "x.db", "--yes")
    assert (ran.code, "export SMSPOP_TOKEN=" in ran.err) == (1, True), ran


def test_a_rehearsal_never_reaches_people(smspop, sandbox, stopped, monkeypatch):
    """1: begun in a sandbox, it is refused for another place, however that place is named."""
    stopped()
    monkeypatch.delenv("SMSPOP_BASE_URL")
    for words in ((), ("--base-url", SMS)):
        ran = smspop("resume", "x.db", "--yes", *words)
        assert ran.code == 1, ran
        assert f"was begun in a sandbox at {sandbox.api_url}, and would now text people" in ran.err
        assert f"add --base-url {sandbox.api_url}" in ran.err
    assert smspop("resume", "x.db", "--yes", "--base-url", sandbox.api_url).code == 0


def test_people_are_never_written_down_as_texted_by_a_sandbox(smspop, sandbox, clean, monkeypatch):
    """1: the other way round, a send to people is not resumed in a sandbox."""
    forge_place(smspop, sandbox, clean, monkeypatch)
    for words in ((), ("--base-url", sandbox.api_url), ("--sandbox",)):
        ran = smspop("resume", "y.db", "--yes", *words)
        assert (ran.code, sandbox.posts) == (1, 1), ran
        assert "its people would be written down as texted" in ran.err
        assert ran.err.rstrip().endswith(f"add --base-url {SMS}")


def forge_place(smspop, sandbox, clean, monkeypatch):
    """Have an unfinished send to `SMS` in y.db, without a word to that place."""
    plan = jobs._plan

    def elsewhere(*words):
        return evolve(plan(*words), base_url=SMS)

    sandbox.empty_account(0)
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "_plan", elsewhere)
        assert smspop("send", clean, *HELLO, "--journal", "y.db").code == 4


def test_another_address_must_be_named(smspop, sandbox, clean, monkeypatch):
    """1: the next morning the environment may lead elsewhere; the one that is meant is typed with the command."""
    forge_place(smspop, sandbox, clean, monkeypatch)
    monkeypatch.setenv("SMSPOP_BASE_URL", "https://other.example/api")
    ran = smspop("resume", "y.db", "--yes")
    assert ran.code == 1, ran
    assert f"was begun at {SMS}, and would now go to https://other.example/api" in ran.err
    reached = smspop("resume", "y.db", "--base-url", "https://127.0.0.2.example/api", "--max-credits", 1)
    assert "--max-credits allows 1" in reached.err


def test_a_signal_between_two_sends_says_how_to_go_on(smspop, sandbox, stopped, monkeypatch):
    """130: it does not claim that nothing was sent."""
    stopped()

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Report, "write_csv", interrupt)
    ran = smspop("resume", "x.db", "--yes", "--report", "out.csv")
    assert ran.code == 130, ran
    assert f"Interrupted. To go on, type: smspop resume x.db --base-url {sandbox.api_url}" in ran.err
    assert "othing was sent" not in ran.err


def test_a_signal_before_anything_is_begun_sends_nothing(smspop, sandbox, stopped, monkeypatch):
    """130 while the journal is read."""
    stopped()

    async def interrupt(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        await anyio.sleep_forever()

    monkeypatch.setattr("smspop_async.batch.client.open_resumption", interrupt)
    ran = smspop("resume", "x.db", "--yes")
    assert (ran.code, sandbox.posts) == (130, 3), ran


def test_a_result_that_cannot_be_written_costs_nothing(smspop, sandbox, stopped, monkeypatch):
    """A full disk behind standard output is told, and the exit code is that of the run."""
    stopped()

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("smspop_async.cli.screen.Screen.tell", fail)
    ran = smspop("resume", "x.db", "--yes")
    assert (ran.code, "No space left on device" in ran.err) == (0, True), ran
