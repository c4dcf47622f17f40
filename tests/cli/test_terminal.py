"""On a real (pseudo) terminal: the question, the bar, the colours."""

import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest

IN_A_TERMINAL = """\
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "smspop_async.cli", *sys.argv[1:]])
"""
"""Makes the terminal on descriptor 2 the controlling one, and becomes the command."""


class Terminal:
    """A command on a pseudo-terminal, which is read until something appears."""

    def __init__(self, words, environment, *, stdin=None):
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_A_TERMINAL, *map(str, words)],
            stdin=subprocess.PIPE if stdin is not None else slave,
            stdout=slave,
            stderr=slave,
            env=environment,
        )
        os.close(slave)
        if stdin is not None:
            self.process.stdin.write(stdin)
            self.process.stdin.close()
        self.seen = ""

    def read_until(self, words):
        """Read on until the words appear, or to the end."""
        while words not in self.seen:
            chunk = b""
            with suppress(OSError):  # how Linux says that the other side is closed
                chunk = os.read(self._master, 4096)
            if not chunk:
                return
            self.seen += chunk.decode(errors="replace")

    def type(self, text):
        os.write(self._master, text.encode())

    def end(self):
        self.read_until("\0 never \0")
        os.close(self._master)
        return self.process.wait(timeout=60)


@pytest.fixture
def terminal(environment):
    terminals = []

    def open_terminal(*words, stdin=None, **variables):
        variables = {"TERM": "xterm-256color"} | variables
        terminals.append(Terminal(words, environment(**variables), stdin=stdin))
        return terminals[-1]

    yield open_terminal
    for each in terminals:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


def test_the_question_and_the_bar(terminal, sandbox, many):
    """It asks, draws a bar with rate and time left, and leaves the cursor as it was."""
    screen = terminal("send", many, "--message", "Hello!", "--sender", "BRAND1", "--chunk-size", 20)
    screen.read_until("[y/N]")
    assert sandbox.posts == 0
    screen.type("y\n")
    assert screen.end() == 0
    assert "━" in screen.seen
    assert "200/200" in screen.seen
    assert "/s" in screen.seen
    assert screen.seen.rindex("\x1b[?25h") > screen.seen.rindex("\x1b[?25l")
    assert len(sandbox.texts) == 200


def test_no_colour_where_none_is_wanted(terminal, sandbox, clean):
    """NO_COLOR."""
    words = ("send", clean, "--message", "Hello!", "--sender", "BRAND1", "--yes")
    coloured, plain = terminal(*words), terminal(*words, NO_COLOR="1")
    assert (coloured.end(), plain.end()) == (0, 0)
    assert "\x1b[32m" in coloured.seen
    assert "\x1b[32m" not in plain.seen


def test_a_dumb_terminal_gets_lines(terminal, sandbox, clean):
    screen = terminal("send", clean, "--message", "Hello!", "--sender", "BRAND1", "--yes", TERM="dumb")
    assert screen.end() == 0
    assert "3 of 3 contacts (100 %)" in screen.seen
    assert "\x1b[?25l" not in screen.seen


def test_a_list_from_a_pipe_is_asked_about_on_the_terminal(terminal, sandbox):
    """``smspop send -``: the answer comes from the terminal, not from the list."""
    screen = terminal("send", "-", "--message", "Hello!", "--sender", "BRAND1", stdin=b"0770000001\ny\n")
    screen.read_until("[y/N]")
    screen.type("n\n")
    assert screen.end() == 1
    assert sandbox.posts == 0


def test_ctrl_c_at_the_question_sends_nothing(terminal, sandbox, clean):
    """130, typed as a person types it."""
    screen = terminal("send", clean, "--message", "Hello!", "--sender", "BRAND1")
    screen.read_until("[y/N]")
    screen.type("\x03")
    assert screen.end() == 130
    assert "Nothing was sent" in screen.seen
    assert sandbox.posts == 0
