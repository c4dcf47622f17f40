"""``smspop send`` against a real sandbox over HTTP: exit codes, what is sent, what is said."""

import csv
import io
import json
import re
import sys
from pathlib import Path

import pytest

from smspop_async import Report, Status, Summary
from smspop_async.batch.outcomes import OutcomeBook
from smspop_async.cli import dispatch as dispatching
from smspop_async.cli.confirm import MisuseError, confirmed
from smspop_async.cli.ending import final_screen
from smspop_async.cli.progress import PlainLines
from smspop_async.cli.screen import Screen

HELLO = ("--message", "Hello!", "--sender", "BRAND1", "--yes")
FAILS = "0770009901"
CLI_PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def outcomes_in(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def type_in(monkeypatch: pytest.MonkeyPatch, text: str, *, tty: bool = False) -> None:
    stream = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")
    monkeypatch.setattr(stream, "isatty", lambda: tty, raising=False)
    monkeypatch.setattr(sys, "stdin", stream)


# Exit code 0.


def test_all_sent_is_0(smspop, sandbox, clean):
    """0: every contact was sent to; the result is on standard output, the rest on standard error."""
    ran = smspop("send", clean, *HELLO)
    assert ran.code == 0, ran
    assert sorted(sandbox.texts) == ["263770000001", "263770000002", "263770000003"]
    assert "3 contacts texted" in ran.out
    assert "3 to text" in ran.err
    assert "3 to text" not in ran.out


def test_duplicates_and_suppressed_are_0(smspop, sandbox, clean, tmp_path):
    """0 also where rows were left out on purpose; who is suppressed is not texted."""
    clean.write_text("0770000001\n0770000001\n0770000002\n0770000003\n")
    opted_out = tmp_path / "out.txt"
    opted_out.write_text("+263 77 000 0002\n")
    ran = smspop("send", clean, *HELLO, "--suppress", opted_out)
    assert ran.code == 0, ran
    assert sorted(sandbox.texts) == ["263770000001", "263770000003"]
    assert "1 duplicate, 1 suppressed" in ran.err


@pytest.mark.parametrize("journal", [(), ("--journal", "x.db")])
def test_a_list_of_which_nobody_is_left_is_0_without_a_question(smspop, sandbox, clean, journal):
    """0, as the table says of duplicates and suppressed rows; every row is in the report that was asked for."""
    ran = smspop("send", clean, *HELLO[:-1], "--suppress", clean, "--report", "out.csv", *journal)
    assert (ran.code, sandbox.posts) == (0, 0), ran
    assert "Nobody is texted: clean.txt has no contact to text." in ran.err
    assert [row["status"] for row in outcomes_in(Path("out.csv"))] == ["suppressed"] * 3
    assert "0 contacts texted" in ran.out
    assert smspop("send", clean, *HELLO, "--suppress", clean, "--dry-run").code == 0


def test_a_campaign_whose_reply_was_lost_is_looked_up_and_0(smspop, sandbox, clean):
    """0: accepted is as good as sent, and nothing is sent twice."""
    sandbox.fail_next("reset_after")
    ran = smspop("send", clean, *HELLO)
    assert ran.code == 0, ran
    assert "accepted" in ran.out
    assert len(sandbox.texts) == 3


def test_every_option_reaches_the_run(smspop, sandbox, many):
    """The options of pace and care are those of the library."""
    ran = smspop(
        "send", many, *HELLO, "--chunk-size", 50, "--concurrency", 2, "--rate", 100_000, "--requests-per-second",
        1_000, "--adaptive", "--no-canary", "--no-reconcile", "--timeout", 30, "--name", "Night run", "--grace", 1,
        "--max-credits", 200,
    )  # fmt: skip
    assert ran.code == 0, ran
    assert [campaign.total for campaign in sandbox.campaigns] == [50, 50, 50, 50]
    assert all(campaign.name.startswith("Night run [") for campaign in sandbox.campaigns)
    assert "4 campaigns of up to 50 contacts, 2 at a time" in ran.err


# Exit code 1: nothing was sent.


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("missing.csv", *HELLO), "missing.csv does not exist"),
        (("contacts.pdf", *HELLO), "Cannot read contacts.pdf"),
        (("clean.txt", *HELLO, "--message-file", "no.txt"), "--message or --message-file, not both"),
        (
            ("clean.txt", "--sender", "B", "--yes", "--message-file", "no.txt"),
            "No such file or directory: no.txt",
        ),
        (("clean.txt", "--sender", "B", "--yes", "--message-file", "latin.txt"), "not UTF-8"),
        (("clean.txt", "--sender", "B", "--yes", "--message", "Hello "), "ends with SPACE"),
        (("clean.txt", *HELLO, "--region", "QQ"), "region"),
        (("clean.txt", *HELLO, "--max-credits", "2"), "3 credits, and --max-credits allows 2"),
        (("clean.txt", *HELLO, "--report", "clean.txt"), "would overwrite"),
        (("clean.txt", *HELLO, "--report", "no/where.csv"), "cannot be written"),
        (("clean.txt", *HELLO, "--report", "."), "is not a file"),
        (("clean.txt", *HELLO, "--base-url", "ftp://x"), "base_url"),
        (("clean.txt", *HELLO, "--column", "phone"), "column"),
        (("empty.txt", *HELLO), "no contact to text"),
        (("clean.txt", *HELLO, "--suppress", "words.txt"), "suppression list"),
    ],
)
def test_what_cannot_start_says_so_in_one_line_and_sends_nothing(smspop, sandbox, clean, words, expected):
    """1 (or 2 for what was typed wrongly): one line, no traceback, nothing sent, and it says that."""
    Path("latin.txt").write_bytes(b"caf\xe9")
    Path("empty.txt").write_text("")
    Path("words.txt").write_text("not a number\n")
    ran = smspop("send", *words)
    assert ran.code == (2 if "not both" in expected else 1), ran
    last = ran.err.splitlines()[-1]
    assert last.startswith("smspop: ")
    assert expected in last
    assert "othing was sent" in last
    assert "Traceback" not in ran.err
    assert ran.out == ""
    assert sandbox.posts == 0


def test_without_a_token_it_says_how_to_get_one(smspop, clean):
    """1: the token comes from the environment, and the error says how."""
    ran = smspop("send", clean, *HELLO)
    assert (ran.code, "export SMSPOP_TOKEN=" in ran.err) == (1, True), ran


def test_a_server_that_cannot_be_reached_at_the_start_is_1(smspop, sandbox, clean):
    """1: not a byte left, so the same command may be typed again."""
    ran = smspop("send", clean, *HELLO, "--base-url", "http://127.0.0.1:1/api")
    assert ran.code == 1, ran
    assert "Nobody was texted" in ran.out
    assert "was not taken" in ran.err


def test_a_list_that_changes_under_the_question_is_not_sent(smspop, sandbox, clean, monkeypatch):
    """What was confirmed is what is sent, or nothing."""

    def edit_and_confirm(*_, **__):
        clean.write_text("0770000009\n")
        return True

    monkeypatch.setattr("smspop_async.cli.send.confirmed", edit_and_confirm)
    ran = smspop("send", clean, *HELLO[:-1])
    assert (ran.code, sandbox.posts) == (1, 0), ran
    assert "has changed since the recap" in ran.err


# Exit code 2.


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("send",), "CONTACTS"),
        (("send", "a.csv", "b.csv"), "b.csv"),
        (("send", "clean.txt", "--message", "Hello!"), "Add --sender ID"),
        (("send", "clean.txt", "--sender", "B"), "Add --message"),
        (("send", "clean.txt", *HELLO, "--rate", "0"), "--rate"),
        (("send", "clean.txt", *HELLO, "--chunk-size", "0"), "--chunk-size"),
        (("send", "clean.txt", *HELLO, "--concurrency", "lots"), "--concurrency"),
        (("send", "clean.txt", *HELLO, "--token", "1|fake-token"), "export SMSPOP_TOKEN="),
        (("send", "clean.txt", *HELLO, "--token=1|fake-token"), "never an argument"),
        (("sned",), "smspop --help"),
        (("--wrong",), "--wrong"),
    ],
)
def test_wrong_usage_is_2(smspop, sandbox, clean, words, expected):
    """2: it says what to type, and never repeats a token."""
    ran = smspop(*words)
    assert ran.code == 2, ran
    assert expected in ran.err
    assert "fake-token" not in ran.err
    assert sandbox.posts == 0


def test_without_a_terminal_it_asks_for_yes(smspop, sandbox, clean, monkeypatch):
    """2: nobody can be asked, so nothing is sent."""
    type_in(monkeypatch, "y\n")
    ran = smspop("send", clean, *HELLO[:-1])
    assert (ran.code, sandbox.posts) == (2, 0), ran
    assert "with --yes" in ran.err


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "yep\n"])
def test_the_answer_is_no_unless_it_is_yes(smspop, sandbox, clean, monkeypatch, answer):
    """1: not confirmed, nothing sent."""
    type_in(monkeypatch, answer, tty=True)
    ran = smspop("send", clean, *HELLO[:-1])
    assert (ran.code, sandbox.posts) == (1, 0), ran
    assert "Text 3 contacts now, for about 3 credits? [y/N]" in ran.err
    assert "not confirmed" in ran.err


@pytest.mark.parametrize("answer", ["y\n", "YES\n"])
def test_yes_is_yes(smspop, sandbox, clean, monkeypatch, answer):
    type_in(monkeypatch, answer, tty=True)
    assert smspop("send", clean, *HELLO[:-1]).code == 0
    assert len(sandbox.texts) == 3


def test_contacts_on_stdin_cannot_answer(monkeypatch, tmp_path):
    """A list that came through standard input is asked about on the terminal, or not at all."""
    monkeypatch.setattr("smspop_async.cli.confirm._TERMINAL", tmp_path / "none" / "tty")
    with pytest.raises(MisuseError, match="standard input"):
        confirmed("Go?", Screen(), stdin_taken=True)


# Exit code 3.


def test_invalid_rows_are_3(smspop, sandbox, contacts):
    """3: what can be sent is sent; what cannot is shown with its line, masked."""
    ran = smspop("send", contacts, *HELLO)
    assert ran.code == 3, ran
    assert sorted(sandbox.texts) == ["263770000001", "263770000002", "263770000003"]
    for output in (ran.out, ran.err):
        assert " 4 " in output
        assert " 7 " in output
    assert "770000001" not in ran.out + ran.err
    assert "call me" not in ran.out + ran.err


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_a_list_of_invalid_rows_only_is_3(smspop, sandbox, clean, words):
    """3, as of ``check``: nobody could be texted, and each row is told of with its line."""
    clean.write_text("call me\n12\n")
    ran = smspop("send", clean, *HELLO, "--report", "out.csv", *words)
    assert (ran.code, sandbox.posts) == (3, 0), ran
    assert "2 invalid" in ran.err + ran.out
    if not words:
        assert [row["status"] for row in outcomes_in(Path("out.csv"))] == ["invalid"] * 2


def test_a_list_of_which_nobody_is_left_has_its_json(smspop, sandbox, clean):
    """The plan and the report of it, as of any other."""
    values = json.loads(smspop("send", clean, *HELLO, "--suppress", clean, "--json").out)
    assert (values["exit_code"], values["error"]) == (0, None)
    assert (values["plan"]["suppressed"], values["report"]["counts"]["suppressed"]) == (3, 3)


def test_failed_contacts_are_3(smspop, sandbox, clean):
    """3: the row that failed is named by its line."""
    clean.write_text(f"0770000001\n{FAILS}\n")
    ran = smspop("send", clean, *HELLO)
    assert ran.code == 3, ran
    assert "263…01  failed  the API says it failed" in ran.out
    assert "--report out.csv" in ran.out


def test_unknown_contacts_are_3(smspop, sandbox, clean):
    """3: it says that they may have been texted, and where to look."""
    sandbox.fail_next("reset_before")
    ran = smspop("send", clean, *HELLO, "--no-reconcile")
    assert ran.code == 3, ran
    assert "may have been texted" in ran.out
    assert "smspop campaigns" in ran.out


def test_many_problems_of_one_kind_take_few_lines(smspop, sandbox, many):
    """A screen is for a person: three rows of a kind, and how many more."""
    sandbox.fail_next("reset_before")
    ran = smspop("send", many, *HELLO, "--no-reconcile")
    assert "and 197 more rows" in ran.out
    assert ran.out.count("the same") == 2


def test_a_run_that_stops_in_the_middle_says_how_to_send_the_rest(smspop, sandbox, many):
    """The rest can be told from those who were texted, by the report and by nothing else."""
    sandbox.empty_account(100)
    ran = smspop("send", many, *HELLO, "--chunk-size", 50, "--concurrency", 1, "--report", "the report.csv")
    assert ran.code == 4, ran
    assert """awk -F, '$4=="not_submitted" {print $3}' 'the report.csv' > rest.txt""" in ran.out
    rows = outcomes_in(Path("the report.csv"))
    assert [row["status"] for row in rows].count("not_submitted") == 50


@pytest.mark.parametrize("template", [True, False])
def test_without_a_report_it_warns_against_typing_it_again(smspop, sandbox, many, template):
    sandbox.empty_account(100)
    words = ["send", many, *HELLO, "--chunk-size", 50, "--concurrency", 1]
    ran = smspop(*words, *(["--template"] if template else []))
    assert ran.code == 4, ran
    assert "do not type the same command again" in ran.out


# Exit code 4.


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        (401, "export SMSPOP_TOKEN="),
        (402, "Buy credits"),
        (403, ""),
        (422, ""),
    ],
)
def test_a_refusal_of_the_api_is_4(smspop, sandbox, many, fault, remedy):
    """4: one request, then the run stops; nobody was texted and it says so."""
    sandbox.fail_next(fault)
    ran = smspop("send", many, *HELLO, "--chunk-size", 50)
    assert ran.code == 4, ran
    assert sandbox.posts == 1
    assert f"({fault}" in ran.out
    assert remedy in ran.out
    assert "Nobody was texted" in ran.out


@pytest.mark.parametrize("fault", [401, 402, 403, 422, "revoke_token"])
def test_a_refusal_in_the_middle_does_not_say_that_nothing_was_sent(smspop, sandbox, many, fault):
    """What stopped it speaks of its own request: the contacts before it were texted, as the first line says."""
    sandbox.fail_next("latency", seconds=0, times=2)
    sandbox.fail_next(fault)
    ran = smspop("send", many, *HELLO, "--chunk-size", 50, "--concurrency", 1)
    assert ran.code == 4, ran
    assert "100 contacts texted" in ran.out
    assert "Nothing was sent by this request." in ran.out
    assert "Nothing was sent." not in ran.out


def test_content_that_is_refused_is_4(smspop, sandbox, clean):
    sandbox.fail_next(403, category="political")
    ran = smspop("send", clean, *HELLO)
    assert ran.code == 4, ran
    assert "Change the text" in ran.out


def test_an_inactive_account_is_4(smspop, sandbox, clean):
    sandbox.fail_next(403, message="Your account is inactive. Please contact support.")
    ran = smspop("send", clean, *HELLO)
    assert (ran.code, "enable the account" in ran.out) == (4, True), ran


def test_an_unknown_sender_is_4(smspop, sandbox, clean):
    ran = smspop("send", clean, "--message", "Hello!", "--sender", "NOBODY", "-y")
    assert (ran.code, "--sender ID" in ran.out) == (4, True), ran


# JSON.


def test_json_is_one_object_and_nothing_else(smspop, sandbox, contacts):
    """Standard output is one JSON object with plan, report and exit code, and no whole number."""
    ran = smspop("send", contacts, *HELLO, "--json")
    values = json.loads(ran.out)
    assert values["exit_code"] == ran.code == 3
    assert values["error"] is None
    assert values["plan"]["valid"] == 3
    assert values["plan"]["problems"][0] == {
        "line": 4,
        "shown": "…",
        "reason": values["plan"]["problems"][0]["reason"],
    }
    assert values["message"]["segments"] == 1
    assert values["report"]["counts"]["sent"] == 3
    assert sum(values["report"]["counts"].values()) == values["report"]["total"] == 6
    assert "770000001" not in ran.out


def test_json_has_what_stopped_the_run(smspop, sandbox, clean):
    sandbox.fail_next(402)
    values = json.loads(smspop("send", clean, *HELLO, "--json").out)
    assert values["exit_code"] == 4
    assert values["report"]["stopped_by"]["error"] == "InsufficientCreditsError"


@pytest.mark.parametrize("words", [("missing.csv", *HELLO), ("clean.txt", "--message", "x"), (*HELLO,)])
def test_json_of_what_could_not_start(smspop, sandbox, clean, words):
    """Also a run that never began leaves one object behind, and the reason on standard error."""
    ran = smspop("send", *words, "--json")
    values = json.loads(ran.out)
    assert values["exit_code"] == ran.code
    assert values["report"] is None
    assert values["error"]["message"] in ran.err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("clean.txt", *HELLO, "--bogus"), "MisuseError"),
        (("clean.txt", *HELLO[:-1]), "MisuseError"),
        (("clean.txt", "--sender", "B", "--yes", "--message-file", "no.txt"), "FileNotFoundError"),
        (("missing.csv", *HELLO), "ContactSourceError"),
    ],
)
def test_an_error_before_the_run_has_its_delivery(smspop, sandbox, clean, monkeypatch, words, error):
    """Whatever kept it from its work, a program may conclude that nothing was sent."""
    type_in(monkeypatch, "y\n")
    told = json.loads(smspop("send", *words, "--json").out)["error"]
    assert (told["error"], told["delivery"]) == (error, "not_sent")


@pytest.mark.parametrize(("late", "delivery"), [(True, "unknown"), (False, "not_sent")])
def test_an_interruption_has_its_delivery(smspop, sandbox, clean, monkeypatch, late, delivery):
    """Before the run nothing was sent; after it nobody may conclude that."""

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    where = "aftermath" if late else "plan_campaign"
    monkeypatch.setattr(f"smspop_async.cli.send.{where}", interrupt)
    ran = smspop("send", clean, *HELLO, "--json")
    values = json.loads(ran.out)
    assert (values["exit_code"], values["error"]["delivery"]) == (130, delivery)


def test_a_dry_run_needs_no_token_and_sends_nothing(smspop, contacts, clean):
    """0 or 3 as ``check``; the recap is the result."""
    ran = smspop("send", contacts, *HELLO, "--dry-run")
    assert ran.code == 3, ran
    assert "https://smspop.co.zw/api" in ran.out
    assert "Dry run: nothing was sent." in ran.out
    ran = smspop("send", clean, *HELLO, "--dry-run", "--json")
    values = json.loads(ran.out)
    assert (ran.code, values["exit_code"], values["report"]) == (0, 0, None)


# The recap.


def test_the_recap_names_the_character_that_costs(smspop, clean):
    """Which character, where, what to write instead, and what that saves."""
    ran = smspop(
        "send", clean, "--sender", "B", "--dry-run", "--message", "It\u2019s " + "long " * 15 + "text"
    )
    assert '(RIGHT SINGLE QUOTATION MARK) at character 3: write "\'" instead' in ran.out
    assert "That would make it 1 segment and save 3 credits" in ran.out


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Hello 😀", "(GRINNING FACE) at character 7: leave it out, or the text stays Unicode"),
        ("a\u200bb", "(ZERO WIDTH SPACE) at character 2: leave it out"),
        ("абвгд", "and 2 more such characters"),
        ("Dear $first_name", "$first_name would be sent as it stands: did you mean --template?"),
        ("Dear ${name}, $$", "$name would be sent as it stands"),
    ],
)
def test_the_recap_warns(smspop, clean, message, expected):
    assert expected in smspop("send", clean, "--sender", "B", "--dry-run", "--message", message).out


def test_a_template_is_filled_from_the_columns(smspop, sandbox, contacts):
    """Merge fields; a text of its own for each row."""
    ran = smspop("send", contacts, "--message", "Dear $first_name", "--template", "--sender", "BRAND1", "-y")
    assert ran.code == 3, ran
    assert {campaign.message for campaign in sandbox.campaigns} == {"Dear Tariro", "Dear Rudo", "Dear Chipo"}
    assert "the longest text" in ran.err


def test_a_row_that_lacks_a_merge_field_is_not_said_to_lack_a_number(smspop, sandbox, contacts):
    """3: its line and what it lacks are in the table, and the sum above it fits both kinds of invalid rows."""
    contacts.write_text("first_name,phone_number\nTariro,0770000001\n,0770000002\n")
    ran = smspop("send", contacts, "--message", "Dear $first_name", "--template", "--sender", "BRAND1", "-y")
    assert (ran.code, len(sandbox.texts)) == (3, 1), ran
    assert "1  invalid  no phone number, or no value for a merge field; not texted" in ran.out
    assert "first_name" in ran.out


def test_the_message_may_come_from_a_file(smspop, sandbox, clean):
    """UTF-8 with or without its mark; the line end that editors add is not sent."""
    Path("text.txt").write_bytes("\ufeffHello\r\nyou\r\n".encode())
    assert smspop("send", clean, "--message-file", "text.txt", "--sender", "BRAND1", "-y").code == 0
    assert sandbox.campaigns[0].message == "Hello\nyou"


def test_a_message_may_begin_with_a_hyphen(smspop, sandbox, clean):
    assert smspop("send", clean, "--message", "-50% today", "--sender", "BRAND1", "-y").code == 0
    assert sandbox.campaigns[0].message == "-50% today"


def test_more_problems_than_a_screen_takes(smspop, sandbox, clean):
    clean.write_text("0770000001\n" + "no\n" * 15)
    assert "and 5 more rows: smspop check lists them" in smspop("send", clean, *HELLO).err


def test_plain_http_to_another_machine_is_warned_about_once(smspop, clean):
    ran = smspop("send", clean, *HELLO, "--dry-run", "--base-url", "http://sms.example/api")
    assert ran.err.count("unencrypted to sms.example") == 1


# Where contacts come from.


def test_contacts_from_stdin(smspop, sandbox, monkeypatch):
    """``-``: one number a line, with lines, and with --yes."""
    type_in(monkeypatch, "0770 000 001\nno\n+263770000002\n")
    ran = smspop("send", "-", *HELLO)
    assert ran.code == 3, ran
    assert sorted(sandbox.texts) == ["263770000001", "263770000002"]
    assert "standard input" in ran.err
    assert "   2  " in ran.out


def test_the_documented_pipe_of_a_column_sends_to_everybody(sandbox, shell):
    """0: the line of the page, as it stands there, with a file as most are: with a header."""
    [line] = re.findall(r"^\$ (.*\| smspop send - .*)$", CLI_PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    Path("members.csv").write_text("name,phone\nRudo,0770000001\nFarai,0770000002\n")
    ran = shell(line)
    assert (ran.code, sorted(sandbox.texts)) == (0, ["263770000001", "263770000002"]), ran


def test_typing_contacts_is_explained(smspop, sandbox, monkeypatch):
    type_in(monkeypatch, "0770 000 001\n", tty=True)
    assert "Ctrl-D" in smspop("send", "-", *HELLO).err


# The sandbox of one's own.


def test_a_rehearsal_needs_nothing(smspop, contacts, monkeypatch):
    """``--sandbox``: no token, no message, no sender, no account; and nobody is texted, which is said."""
    monkeypatch.setattr(dispatching, "_SANDBOX_LATENCY", 0.0)
    ran = smspop("send", contacts, "--sandbox", "--yes")
    assert ran.code == 3, ran
    assert "Sandbox at http://127.0.0.1:" in ran.err
    assert ran.err.count("nobody is texted") == 2
    assert "the sandbox holds 3 texts, and nobody got one" in ran.out
    assert f"smspop send {contacts}" in ran.out


def test_a_rehearsal_leaves_the_account_alone(smspop, sandbox, clean, monkeypatch):
    """SMSPOP_TOKEN and SMSPOP_BASE_URL are not used; a sender is what was given."""
    monkeypatch.setattr(dispatching, "_SANDBOX_LATENCY", 0.0)
    type_in(monkeypatch, "y\n", tty=True)
    ran = smspop("send", clean, "--sandbox", "--sender", "MYBRAND")
    assert ran.code == 0, ran
    assert "Rehearse with 3 contacts? Nobody is texted. [y/N]" in ran.err
    assert sandbox.posts == 0


# The report.


def test_the_report_has_every_row(smspop, sandbox, contacts):
    """One line for each row, in the order of the list, readable by its owner alone."""
    ran = smspop("send", contacts, *HELLO, "--report", "out.csv")
    rows = outcomes_in(Path("out.csv"))
    assert [row["status"] for row in rows] == ["sent", "sent", "invalid", "sent", "duplicate", "invalid"]
    assert [row["line"] for row in rows] == ["2", "3", "4", "5", "6", "7"]
    assert rows[0]["phone_number"] == "263770000001"
    assert Path("out.csv").stat().st_mode & 0o777 == 0o600
    assert "Every row and its outcome: out.csv" in ran.out
    assert not list(Path().glob(".smspop-*"))


def test_the_report_runs_no_formula(smspop, sandbox, clean):
    clean.write_text("0770000001\n=HYPERLINK(A1)\n")
    smspop("send", clean, *HELLO, "--report", "out.csv")
    assert outcomes_in(Path("out.csv"))[1]["phone_number"] == "'=HYPERLINK(A1)"


def test_an_older_report_is_replaced_and_the_recap_says_so(smspop, sandbox, clean):
    Path("out.csv").write_text("old")
    ran = smspop("send", clean, *HELLO, "--report", "out.csv")
    assert "out.csv (replaces the one that is there)" in ran.err
    assert len(outcomes_in(Path("out.csv"))) == 3


def test_a_refused_run_leaves_an_older_report_alone(smspop, sandbox, clean):
    Path("out.csv").write_text("old")
    assert smspop("send", clean, *HELLO, "--report", "out.csv", "--max-credits", 1).code == 1
    assert Path("out.csv").read_text() == "old"


def test_a_report_that_cannot_be_written_is_saved_elsewhere(smspop, sandbox, clean, monkeypatch, tmp_path):
    """The account of who was texted is not lost for a folder that has gone."""
    folder = tmp_path / "folder"
    folder.mkdir()
    refuge = tmp_path / "refuge"
    refuge.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(refuge))

    def remove_and_confirm(*_, **__):
        folder.rmdir()
        return True

    monkeypatch.setattr("smspop_async.cli.send.confirmed", remove_and_confirm)
    ran = smspop("send", clean, *HELLO[:-1], "--report", folder / "out.csv")
    assert ran.code == 3, ran
    [saved] = refuge.glob("smspop-*.csv")
    assert len(outcomes_in(saved)) == 3
    assert f"the report is in {saved}" in " ".join(ran.err.split())


def test_a_report_that_can_be_written_nowhere_is_told(smspop, sandbox, clean, monkeypatch):
    """The run's result is still shown, and nothing half-written is left."""

    def fail(self, path):
        Path(path).write_text("half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("smspop_async.batch.report.Report.write_csv", fail)
    monkeypatch.setattr("tempfile.tempdir", str(clean.parent))
    ran = smspop("send", clean, *HELLO, "--report", "out.csv")
    assert ran.code == 3, ran
    assert "No space left on device" in ran.err
    assert "3 contacts texted" in ran.out
    assert not list(Path().glob("*.csv"))
    assert not list(Path().glob(".smspop-*"))


def test_what_the_api_contradicts_itself_about_is_told(smspop, sandbox, clean):
    """A row missing from a reply is a discrepancy, told with the campaign's name."""
    clean.write_text("0770000001\n0770009904\n")
    ran = smspop("send", clean, *HELLO, "--no-reconcile")
    assert ran.code == 3, ran
    assert "Discrepancy: Campaign [" in ran.out


def test_discrepancies_do_not_fill_the_screen(capsys):
    report = Report(
        run="r",
        name="n",
        total=0,
        counts=dict.fromkeys(Status, 0),
        summary=Summary(),
        campaigns=(),
        discrepancies=("n [r-0001]: odd",) * 7,
        book=OutcomeBook(),
    )
    Screen().tell(final_screen(report, [], delivered=None))
    out = capsys.readouterr().out
    assert out.count("Discrepancy: n [r-0001]: odd") == 5
    assert "and 2 more (see --json)" in out


# When something in here breaks.


def test_a_bug_in_the_middle_does_not_lose_the_report(smspop, sandbox, clean, monkeypatch):
    """3: an unexpected error is told in one line, and who was texted is told all the same."""

    def explode(self, part, settlement, detail=""):
        self.book.settle(part.chunk.rows, settlement.statuses, {})
        raise RuntimeError("boom 263770000001")

    monkeypatch.setattr("smspop_async.batch.account.Account.settled", explode)
    ran = smspop("send", clean, *HELLO, "--json")
    assert ran.code == 3, ran
    assert "An error that should not happen: RuntimeError: boom 263…01" in ran.err
    assert "Traceback" not in ran.err
    values = json.loads(ran.out)
    assert values["report"]["counts"]["sent"] == 3
    assert (values["error"]["error"], values["error"]["delivery"]) == ("RuntimeError", "unknown")


def test_a_bug_before_anything_was_sent_is_1(smspop, sandbox, clean, monkeypatch):
    """1, with the traceback only where it was asked for."""

    def explode(*_, **__):
        raise RuntimeError

    monkeypatch.setattr("smspop_async.batch.dispatch.Submission", explode)
    ran = smspop("send", clean, *HELLO)
    assert (ran.code, "Traceback" in ran.err) == (1, False), ran
    assert json.loads(smspop("send", clean, *HELLO, "--json").out)["error"]["delivery"] == "not_sent"
    monkeypatch.setenv("SMSPOP_DEBUG", "1")
    assert "Traceback" in smspop("send", clean, *HELLO).err


def test_a_progress_that_fails_costs_nothing(smspop, sandbox, clean, monkeypatch):
    """A run is not lost for its progress bar."""
    seen = []

    def explode(self, pace):
        seen.append(pace)
        if len(seen) == 1:
            raise RuntimeError

    monkeypatch.setattr(PlainLines, "show", explode)
    ran = smspop("send", clean, *HELLO)
    assert (ran.code, len(sandbox.texts)) == (0, 3), ran


def test_a_list_that_cannot_be_opened_any_more_is_1(smspop, sandbox, clean, monkeypatch):
    """1: a list that vanishes before its first row is read; one line, nothing sent."""

    def vanish(*_, **__):
        clean.unlink()
        return True

    monkeypatch.setattr("smspop_async.cli.send.confirmed", vanish)
    monkeypatch.setattr("smspop_async.cli.send.fingerprint", lambda _: None)
    ran = smspop("send", clean, *HELLO[:-1])
    assert (ran.code, sandbox.posts) == (1, 0), ran
    assert "does not exist" in ran.err


def test_the_token_and_the_numbers_are_never_shown(smspop, sandbox, contacts, monkeypatch):
    """Law 7, Discretion: not in the recap, the progress, the report on the screen or the JSON."""
    sandbox.fail_next(401)
    outputs = [smspop("send", contacts, *HELLO, *extra) for extra in ((), ("--json",), ("--report", "o.csv"))]
    sandbox.fail_next(402)
    monkeypatch.setenv("SMSPOP_DEBUG", "1")
    outputs.append(smspop("send", contacts, *HELLO))
    for ran in outputs:
        assert "fake-token" not in ran.out + ran.err
        assert "26377000000" not in ran.out + ran.err
        assert "Hello!" not in ran.out + ran.err
