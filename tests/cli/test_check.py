"""``smspop check``: what a send would do, without sending."""

import io
import json
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "contacts.csv"


def test_a_clean_list_is_0(smspop, clean):
    """0, without a token; only the contacts are spoken of when there is no text."""
    ran = smspop("check", clean)
    assert ran.code == 0, ran
    assert "All is well. Nothing was sent." in ran.out
    assert "Message" not in ran.out
    assert ran.err == ""


def test_invalid_rows_are_3(smspop, contacts):
    """3, with line, what stands there (masked) and why."""
    ran = smspop("check", contacts, "--message", "Hello!")
    assert ran.code == 3, ran
    assert "2 invalid, 1 duplicate" in ran.out
    assert "cal…me" not in ran.out
    assert [line.split()[0] for line in ran.out.splitlines() if "phone number" in line and "…" in line] == [
        "4",
        "7",
    ]
    assert "Credits    about 3" in ran.out
    assert "2 rows would not be sent to" in ran.out


def test_the_example_of_the_readme_is_clean(smspop):
    """The first thing that anybody runs ends well: nothing but duplicates in it."""
    plan = json.loads(smspop("check", EXAMPLE, "--json").out)["plan"]
    assert (plan["total"], plan["valid"], plan["invalid"], plan["duplicates"]) == (2986, 2980, 0, 6)


def test_the_damaged_example_shows_what_goes_wrong_in_real_lists(smspop):
    """Each damaged row is named by its line, and what can be read is read."""
    ran = smspop("check", EXAMPLE.with_name("damaged.csv"), "--json")
    plan = json.loads(ran.out)["plan"]
    assert ran.code == 3
    assert (plan["total"], plan["valid"], plan["invalid"], plan["duplicates"]) == (14, 6, 7, 1)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (2, "and 7 more rows: --limit 5, or --json, shows the first 5"),
        (6, "and 4 more rows: no more than the first 5 are listed"),
        (20, "and 4 more rows: no more than the first 5 are listed"),
    ],
)
def test_of_a_wrong_column_the_first_rows_are_listed(smspop, tmp_path, monkeypatch, limit, expected):
    """How many more there are counts those that are shown, and what is to be typed shows what it says."""
    monkeypatch.setattr("smspop_async.batch.plan._LISTED", 5)
    contacts = tmp_path / "names.csv"
    contacts.write_text("phone\n" + "somebody\n" * 9)
    ran = smspop("check", contacts, "--limit", limit)
    assert (ran.code, expected in ran.out) == (3, True), ran.out


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(1, "and 1 more row: --limit 2, or --json, shows all"), (0, "2 rows would not")],
)
def test_the_list_of_problems_has_a_limit(smspop, contacts, limit, expected):
    ran = smspop("check", contacts, "--limit", limit)
    assert expected in ran.out


def test_json_has_all_of_it(smspop, contacts, clean):
    """One object: the plan, and the message where there is one."""
    ran = smspop("check", contacts, "--json", "--message", "It\u2019s")
    values = json.loads(ran.out)
    assert values["exit_code"] == ran.code == 3
    assert [problem["line"] for problem in values["plan"]["problems"]] == [4, 7]
    assert values["message"]["unicode_because"][0]["suggestion"] == "'"
    ran = smspop("check", clean, "--json")
    assert json.loads(ran.out)["message"] is None


def test_suppressed_contacts_are_counted(smspop, clean, tmp_path):
    opted_out = tmp_path / "out.txt"
    opted_out.write_text("0770000001\n")
    ran = smspop("check", clean, "--suppress", opted_out, "--chunk-size", 1)
    assert ran.code == 0, ran
    assert "1 suppressed" in ran.out
    assert "Campaigns  2" in ran.out


@pytest.mark.parametrize(
    ("typed", "words", "code", "expected"),
    [
        (b"07700\x0000001\n", (), 1, "standard input, line 1, holds a NUL"),
        (b"0770000001\n\x81\n", (), 1, "standard input, line 2, is neither UTF-8 nor"),
        (b"0770000001\n", ("--column", "phone"), 2, "Standard input has a number a line and no columns"),
    ],
)
def test_standard_input_is_called_that(smspop, monkeypatch, typed, words, code, expected):
    """Nobody has a file of another name."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed)))
    ran = smspop("check", "-", *words)
    assert (ran.code, expected in ran.err, "stdin.txt" in ran.err) == (code, True, False), ran


@pytest.mark.parametrize(
    ("argument", "code", "expected"),
    [
        ("", 2, "CONTACTS is empty"),
        (" ", 2, "CONTACTS is empty"),
        (".", 1, ". is a folder"),
        ("lists", 1, "lists is a folder"),
    ],
)
@pytest.mark.parametrize(
    "words", [("check",), ("send", "--message", "x", "--sender", "B", "--sandbox", "--yes")]
)
def test_what_is_no_file_is_called_by_its_name(smspop, words, argument, code, expected):
    """As it was typed, and what to type instead."""
    Path("lists").mkdir()
    ran = smspop(words[0], argument, *words[1:])
    assert (ran.code, expected in ran.err, ".csv, .txt or .xlsx" in ran.err) == (code, True, True), ran


def test_a_name_that_no_file_can_have_is_told_in_one_line(smspop):
    ran = smspop("check", f"{'x' * 300}.csv")
    assert (ran.code, ran.err.startswith("smspop: Cannot read x")) == (1, True), ran


def test_a_suppression_list_that_is_no_file_is_called_by_its_name(smspop, clean):
    assert "Cannot read .: " in smspop("check", clean, "--suppress", ".").err


def test_a_suppression_list_with_an_unusual_header_can_be_mended_as_it_says(smspop, clean, tmp_path):
    """No option names its column, so the words give a way that works without one."""
    opted_out = tmp_path / "out.csv"
    opted_out.write_text("Kontakt,Ort\n0770000001,Harare\n")
    ran = smspop("check", clean, "--suppress", opted_out)
    assert ran.code == 1, ran
    assert "Give that column the header phone_number, or save the numbers as a .txt, one a line." in ran.err
    assert "The column of the contacts can be named instead: column, or --column." in ran.err
    opted_out.write_text("phone_number,Ort\n0770000001,Harare\n")
    assert "1 suppressed" in smspop("check", clean, "--suppress", opted_out).out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("check", "missing.csv"), 1),
        (("check", "clean.txt", "--message", " x"), 1),
        (("check", "clean.txt", "--message", "Dear $", "--template"), 1),
        (("check",), 2),
        (("check", "clean.txt", "--limit", "-1"), 2),
    ],
)
def test_what_cannot_be_checked(smspop, clean, words, code):
    ran = smspop(*words)
    assert ran.code == code, ran
    assert ran.err.startswith("smspop: ")
    assert ran.err.count("\n") == 1
