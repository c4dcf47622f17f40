"""Pace and plain lines: pure functions of the progress."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smspop_async import Status
from smspop_async.batch.report import Progress
from smspop_async.cli.progress import Pace, PlainLines, duration


def pace(done=0, expected=100, elapsed=1.0, **counts):
    full = dict.fromkeys(Status, 0) | {Status(word): number for word, number in counts.items()}
    return Pace.of(
        Progress(
            total=expected,
            settled=done + full[Status.INVALID] + full[Status.NOT_SUBMITTED],
            counts=full,
            campaigns=0,
            in_flight=0,
            reconciling=counts.get("unknown", 0),
            elapsed=elapsed,
            finished=False,
        ),
        expected,
    )


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
