"""Writing that must not fail, and words that must not steer."""

import errno
import io

import pytest

from smspop_async.cli.screen import Screen, _Steady, printable


class Broken(io.StringIO):
    """A stream whose other end is gone, or whose disk is full."""

    def __init__(self, number: int, *, at: str) -> None:
        super().__init__()
        self.number, self.at, self.calls = number, at, 0

    def write(self, text: str) -> int:
        return self._maybe("write", len(text))

    def flush(self) -> None:
        self._maybe("flush", 0)

    def _maybe(self, what: str, result: int) -> int:
        if what == self.at:
            self.calls += 1
            raise OSError(self.number, "gone")
        return result


@pytest.mark.parametrize("at", ["write", "flush"])
def test_standard_error_never_fails(monkeypatch, at):
    """A run goes on when its terminal is closed: one failure, then silence."""
    stream = Broken(errno.EIO, at=at)
    monkeypatch.setattr("sys.stderr", stream)
    screen = Screen()
    for _ in range(3):
        screen.say("Hello")
        screen.complain("Oh")
    assert stream.calls == 1


@pytest.mark.parametrize("at", ["write", "flush"])
def test_a_reader_that_has_gone_is_no_error(monkeypatch, at):
    """``smspop campaigns | head``."""
    stream = Broken(errno.EPIPE, at=at)
    monkeypatch.setattr("sys.stdout", stream)
    screen = Screen()
    screen.tell("Hello")
    screen.tell_json({"a": 1})
    assert stream.calls == 1


@pytest.mark.parametrize("at", ["write", "flush"])
def test_a_full_disk_is_an_error_of_standard_output(monkeypatch, at):
    monkeypatch.setattr("sys.stdout", Broken(errno.ENOSPC, at=at))
    with pytest.raises(OSError, match="gone"):
        Screen().tell_json({"a": 1})


def test_a_result_that_cannot_be_written_does_not_hide_the_run(smspop, sandbox, clean, monkeypatch):
    """The exit code is the run's; the failure is told on standard error."""
    monkeypatch.setattr("sys.stdout", Broken(errno.ENOSPC, at="write"))
    ran = smspop("send", clean, "--message", "Hello!", "--sender", "BRAND1", "--yes", "--json")
    assert ran.code == 0, ran
    assert "cannot be written to standard output: gone. The run is over." in ran.err


def test_what_is_not_printable_becomes_a_space():
    assert printable("a\x1b[2Jb\nc") == "a [2Jb c"


def test_a_stream_that_was_closed_is_not_flushed():
    """What the interpreter collects late it flushes, and nobody wants to hear that the stream is gone."""
    below = io.StringIO()
    steady = _Steady(below, forgiving=False)
    below.close()
    steady.flush()
