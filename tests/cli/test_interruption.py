"""Ctrl-C and SIGTERM, in a process of its own."""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from smspop_async.cli.dispatch import _Follower
from smspop_async.cli.interruption import Interruption
from smspop_async.cli.journal import WayBack
from smspop_async.cli.screen import Screen
from smspop_async.events import CampaignRetried, CampaignSubmitted

HELLO = ("--message", "Hello!", "--sender", "BRAND1", "--yes")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_what_is_under_way_finish(child, sandbox, many, number):
    """130: nothing more is submitted, the campaign under way settles, and the report is true to the last row."""
    sandbox.fail_next("latency", seconds=0.4, times=20)
    run = child("send", many, *HELLO, "--chunk-size", 10, "--concurrency", 1, "--report", "out.csv", "--json")
    sandbox.wait_for_requests(2)
    os.kill(run.process.pid, number)
    ran = run.end()
    assert ran.code == 130, ran
    assert "Interrupted: nothing more is submitted" in ran.err
    values = json.loads(ran.out)
    counts = values["report"]["counts"]
    assert values["exit_code"] == 130
    assert values["report"]["cancelled"] is True
    assert counts["sent"] == len(sandbox.texts) > 0
    assert counts["not_submitted"] == 200 - counts["sent"] > 0
    assert Path("out.csv").read_text().count("not_submitted") == counts["not_submitted"]


def test_what_does_not_finish_within_the_grace_is_unknown(child, sandbox, clean):
    """130: a campaign that was cut off may have been sent, and is told so."""
    sandbox.fail_next("hang")
    run = child("send", clean, *HELLO, "--grace", 0)
    sandbox.wait_for_requests(1)
    os.kill(run.process.pid, signal.SIGINT)
    ran = run.end()
    assert ran.code == 130, ran
    assert "unknown" in ran.out
    assert "it may have been sent" in ran.out
    assert len(sandbox.texts) == 3


def test_a_second_signal_leaves_at_once(child, sandbox, clean):
    """130 without waiting for the grace; the last words name the campaign to look for."""
    sandbox.fail_next("hang_before")
    run = child("send", clean, *HELLO, "--grace", 600)
    sandbox.wait_for_requests(1)
    os.kill(run.process.pid, signal.SIGINT)
    run.wait_for_line("Interrupted")
    os.kill(run.process.pid, signal.SIGINT)
    ran = run.end()
    assert ran.code == 130, ran
    assert 'The last campaign submitted is "Campaign [' in ran.err


def test_before_the_run_a_signal_ends_it_at_once(smspop, sandbox, clean, monkeypatch):
    """130: nothing was sent, and it says so."""

    def interrupt(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("smspop_async.cli.send.plan_campaign", interrupt)
    ran = smspop("send", clean, *HELLO, "--json")
    assert ran.code == json.loads(ran.out)["exit_code"] == 130, ran
    assert ran.err.endswith("smspop: Interrupted. Nothing was sent.\n")


def test_an_interrupt_while_the_run_is_being_prepared_sends_nothing(smspop, sandbox, clean, monkeypatch):
    async def interrupt(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        await anyio.sleep_forever()

    monkeypatch.setattr("smspop_async.batch.client.open_job", interrupt)
    ran = smspop("send", clean, *HELLO)
    assert (ran.code, sandbox.posts) == (130, 0), ran
    assert "Nothing was sent" in ran.err


def test_after_the_run_a_signal_does_not_claim_that_nothing_was_sent(smspop, sandbox, clean, monkeypatch):
    """130: the texts are out, only the report is missing, and it says that."""

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("smspop_async.batch.report.Report.write_csv", interrupt)
    ran = smspop("send", clean, *HELLO, "--report", "out.csv")
    assert ran.code == 130, ran
    assert "Texts may have been sent" in ran.err
    assert "Nothing was sent" not in ran.err
    assert not list(Path().glob("*.csv"))
    assert not list(Path().glob(".smspop-*"))


def test_while_the_loop_is_taken_down_a_signal_does_not_claim_it_either(smspop, sandbox, clean, monkeypatch):
    """`asyncio.run` may wait for a name that is looked up: the run is over then, and its texts are out."""
    once = anyio.run

    def interrupted(*args):
        once(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr("smspop_async.cli.send.anyio.run", interrupted)
    ran = smspop("send", clean, *HELLO)
    assert sandbox.posts > 0
    assert ran.code == 130, ran
    assert "Texts may have been sent" in ran.err
    assert "Nothing was sent" not in ran.err


def test_a_signal_that_is_ignored_stays_ignored():
    """``nohup`` keeps a run going when the terminal is closed."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_before_anything_was_submitted(monkeypatch):
    """The last words are those of the moment."""
    written = []
    monkeypatch.setattr(os, "write", lambda _, data: written.append(data))
    monkeypatch.setattr(os, "_exit", written.append)
    stops = []
    with Interruption() as interruption, interruption.softly(lambda: stops.append(1), lambda: "Left."):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    assert stops == [1, 1]  # `_exit` does not return; here it did
    assert written[0].endswith(b"\nLeft.\n")
    assert written[1] == 130


@pytest.mark.anyio
async def test_last_words_name_what_may_have_been_sent():
    """Before the first campaign nothing was; after it, its name is what to look for."""
    follower = follower_of()
    assert follower._last_words() == "Left at once. Nothing was sent."
    follower._note(CampaignSubmitted(name="Campaign [r-0001]", contacts=1, run="r"))
    assert '"Campaign [r-0001]"' in follower._last_words()


@pytest.mark.anyio
async def test_last_words_of_a_journal_are_what_goes_on():
    """With a journal the last words end with the command, and say whether anything may have gone out."""
    way_back = WayBack(journal=Path("my x.db"), crowded=True)
    follower = follower_of(way_back=way_back)
    assert follower._last_words() == "Left at once. Nothing was sent."  # the list may not be whole yet
    follower._note(CampaignSubmitted(name="Campaign [r-0001]", contacts=1, run="r"))
    assert follower._last_words().endswith("\nsmspop resume 'my x.db' --run r")
    assert "nothing else is lost" in follower._last_words()
    resumed = follower_of(way_back=way_back, run="r")
    assert "Nothing was sent." in resumed._last_words()
    assert resumed._last_words().endswith("\nsmspop resume 'my x.db' --run r")


def follower_of(way_back=None, run=""):
    return _Follower(SimpleNamespace(way_back=way_back, run=run), Screen(), Interruption())


@pytest.mark.anyio
async def test_retries_are_told_a_few_times(capsys):
    """What makes a run wait is said, and does not fill the log."""
    follower = follower_of()
    for attempt in range(20):
        follower._note(CampaignRetried(name="C [r-0001]", attempt=attempt, delay=2.0, reason="429"))
    err = capsys.readouterr().err
    assert err.count("C [r-0001] was not taken (429): again in 2.0 s") == 5
    assert err.endswith("(more of these are not shown)\n")
