"""Standard streams that are closed, as ``>&-`` and some schedulers leave them."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

SEND = ("send", "clean.txt", "--message", "Hello!", "--sender", "BRAND1", "--yes")


@pytest.fixture
def closed(environment):
    """Run a command with some of its standard streams closed."""

    def run(streams, *words):
        command = shlex.join((sys.executable, "-m", "smspop_async.cli", *map(str, words)))
        return subprocess.run(
            ["sh", "-c", f"exec {command} {streams}"],
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_list_is_sent_to_whatever_is_closed(closed, sandbox, clean, streams):
    """0, and everybody is texted: who closes a stream does not want to read it, and nothing else."""
    ran = closed(streams, *SEND, "--report", "out.csv", "--journal", "x.db")
    assert ran.returncode == 0, ran
    assert len(sandbox.texts) == 3
    assert "Traceback" not in ran.stderr
    assert Path("out.csv").read_text().count(",sent,") == 3


@pytest.mark.parametrize("words", [("check", "clean.txt"), ("--help",), ("--version",)])
def test_a_closed_standard_output_is_no_error(closed, clean, words):
    ran = closed(">&-", *words)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_an_error_without_a_place_to_tell_it_keeps_its_exit_code(closed):
    assert closed("2>&-", "check", "missing.csv").returncode == 1
    assert closed(">&- 2>&-", "check", "missing.csv", "--bogus").returncode == 2


def test_a_file_that_is_opened_does_not_take_the_place_of_a_closed_stream(environment):
    """What a library writes to descriptor 1 or 2 must not end in a journal or a connection."""
    code = (
        "import os, sys; from smspop_async.cli import main; main(['--version']); "
        "sys.exit(os.open('any.txt', os.O_CREAT | os.O_WRONLY) < 3)"
    )
    command = shlex.join((sys.executable, "-c", code))
    subprocess.run(["sh", "-c", f"exec {command} <&- >&- 2>&-"], env=environment(), timeout=60, check=True)


def test_a_program_without_streams_may_call_it(smspop, monkeypatch, clean):
    """Its descriptors may be files of its own by now: nothing is written to them."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    ran = smspop("check", clean)
    assert (ran.code, ran.out, ran.err) == (0, "", "")


@pytest.mark.parametrize("command", ["check", "send"])
def test_a_list_cannot_come_from_a_closed_standard_input(closed, sandbox, command):
    """2, in one line that says what to type."""
    ran = closed("<&-", command, "-", *(SEND[2:] if command == "send" else ()))
    assert (ran.returncode, ran.stdout, sandbox.posts) == (2, "", 0), ran
    assert ran.stderr.startswith("smspop: Standard input is closed")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["send", "resume"])
def test_nobody_can_be_asked_where_standard_input_is_closed(closed, smspop, sandbox, many, command):
    """2, as where it is no terminal."""
    if command == "resume":
        sandbox.empty_account(50)
        smspop("send", many, *SEND[2:], "--chunk-size", 50, "--concurrency", 1, "--journal", "x.db")
        sandbox.empty_account(1_000)
    texted = len(sandbox.texts)
    words = ("resume", "x.db") if command == "resume" else ("send", many, *SEND[2:-1])
    ran = closed("<&-", *words)
    assert (ran.returncode, len(sandbox.texts)) == (2, texted), ran
    assert "with --yes" in ran.stderr
