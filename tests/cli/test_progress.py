"""Pace and plain lines: pure functions of the progress."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smspop_async import Status
from smspop_async.batch.report import Progress
from smspop_async.cli.progress import PlainLines, Yardstick, duration


def progress(done=0, total=100, elapsed=1.0, **counts):
    full = dict.fromkeys(Status, 0) | {Status(word): number for word, number in counts.items()}
    return Progress(
        total=total,
        settled=done + full[Status.INVALID] + full[Status.NOT_SUBMITTED],
        counts=full,
        campaigns=0,
        in_flight=0,
        reconciling=counts.get("unknown", 0),
        elapsed=elapsed,
        finished=False,
    )


def pace(done=0, expected=100, elapsed=1.0, **counts):
    return Yardstick(expected=expected).pace(progress(done, expected, elapsed, **counts))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3900, "1 h 5 min")],
)
def test_durations_read_as_they_are_said(seconds, words):
    assert duration(seconds) == words


def test_pace_in_words():
    assert (pace(50).speed, pace(50).left, pace(50).percent) == ("50/s", "1 s", 50)
    assert pace(5, elapsed=2).speed == "2.5/s"
    assert (pace(0).speed, pace(0).left) == ("…/s", "…")
    assert pace(0, expected=0).percent == 100
    assert pace(3, failed=1, rejected=2).remarks == "3 failed"
    assert pace(3, unknown=3).remarks == "3 unknown, looking them up"
    assert pace(100, unknown=3).left == "…"


def test_what_is_never_submitted_is_not_done():
    """A run that was stopped does not jump to the end."""
    assert pace(20, not_submitted=80, invalid=7).done == 20


@given(steps=st.lists(st.tuples(st.integers(0, 30), st.floats(0, 3)), max_size=60))
def test_plain_lines_are_few_and_never_long_in_coming(steps):
    """A line for each tenth of the way at most, and otherwise one every five seconds at most."""
    lines = []
    display = PlainLines(SimpleNamespace(say=lines.append))
    done, elapsed = 0, 0.0
    with display:
        for more, seconds in steps:
            done, elapsed = min(100, done + more), elapsed + seconds
            display.show(pace(done, elapsed=elapsed))
    assert len(lines) <= 10 + elapsed / 5
    if done >= 10 or elapsed >= 5:
        assert lines


def test_a_list_that_is_being_written_down_is_measured_in_rows():
    """With a journal the rows come first: how many are written down by now."""
    stick = Yardstick(expected=90, rows=100)
    writing = stick.pace(progress(total=40, invalid=4), submitting=False)
    assert (writing.done, writing.expected) == (40, 100)
    assert writing.remarks == "writing the list down"
    assert stick.pace(progress(total=100), submitting=False).remarks == ""
    sending = stick.pace(progress(30, total=100), submitting=True)
    assert (sending.done, sending.expected, sending.remarks) == (30, 90, "")


def test_a_resumed_run_is_measured_by_what_is_left():
    """What earlier processes did counts neither as done now nor for the speed."""
    stick = Yardstick(expected=40, before=60)
    assert stick.at_first().remarks == "reading the journal"
    assert (stick.pace(progress(60)).done, stick.pace(progress(80)).done) == (0, 20)
    assert stick.pace(progress(100, elapsed=2)).speed == "20/s"


def test_a_second_try_is_done_when_it_is_known():
    """With --resend-unknown contacts are decided when they are not unknown any more."""
    stick = Yardstick(expected=40, before=60, trying_again=True)
    assert stick.pace(progress(100, unknown=40)).done == 0
    assert stick.pace(progress(100, unknown=10)).done == 30


def test_lines_about_the_writing_come_only_where_it_takes_long():
    """One every five seconds; the contacts begin anew at 0 % after it."""
    lines = []
    display = PlainLines(SimpleNamespace(say=lines.append))
    stick = Yardstick(expected=90, rows=100)
    for second in range(1, 8):
        display.show(stick.pace(progress(total=10 * second, elapsed=float(second)), submitting=False))
    assert lines == ["50 of 100 rows (50 %), 10/s, 5 s left; writing the list down"]
    display.show(stick.pace(progress(9, total=100, elapsed=8.0), submitting=True))
    assert lines[1].startswith("9 of 90 contacts (10 %)")
