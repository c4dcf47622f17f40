"""A sandbox in a thread of its own, so that the command, which owns its event loop, can be called beside it."""

import os
import pty
import shlex
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

import smspop_async
from smspop_async import ReconcilePolicy
from smspop_async.cli import main
from smspop_async.sandbox import Sandbox

TOKEN = "1|fake-token"
PACKAGE = Path(smspop_async.__file__).parents[1]


class Remote:
    """The sandbox, called from the thread of the test."""

    def __init__(self, sandbox: Sandbox, portal: BlockingPortal) -> None:
        self._sandbox, self._portal = sandbox, portal

    @property
    def api_url(self) -> str:
        return self._sandbox.api_url

    @property
    def credits(self) -> int:
        return self._sandbox.credits

    @property
    def senders(self) -> tuple[str, ...]:
        return self._sandbox.senders

    @property
    def texts(self) -> list[str]:
        """The number of every text sent."""
        return self._portal.call(lambda: [message.to for message in self._sandbox.messages()])

    @property
    def texted_twice(self) -> list[str]:
        """The numbers that got more than one text."""
        return [number for number, texts in Counter(self.texts).items() if texts > 1]

    @property
    def posts(self) -> int:
        return self._portal.call(lambda: sum(each.method == "POST" for each in self._sandbox.requests))

    @property
    def campaigns(self) -> list[Any]:
        return self._portal.call(lambda: self._sandbox.campaigns)

    def fail_next(self, kind: int | str, **options: Any) -> None:
        self._portal.call(partial(self._sandbox.fail_next, kind, **options))

    def empty_account(self, balance: int) -> None:
        self._portal.call(lambda: setattr(self._sandbox, "credits", balance))

    def wait_for_requests(self, count: int) -> None:
        self._portal.call(partial(self._sandbox.wait_for_requests, count=count, timeout=60))


@pytest.fixture(scope="module")
def _portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal("asyncio") as portal:
        yield portal


@pytest.fixture
def sandbox(_portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    """A sandbox that the environment points at."""
    with _portal.wrap_async_context_manager(Sandbox(token=TOKEN)) as running:
        monkeypatch.setenv("SMSPOP_TOKEN", TOKEN)
        monkeypatch.setenv("SMSPOP_BASE_URL", running.api_url)
        yield Remote(running, _portal)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("SMSPOP_") or name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _signals_are_heard() -> Iterator[None]:
    """Commands start as from a terminal: ``nohup`` and ``&`` leave signals ignored, and children inherit that."""
    usual = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    ignored = [number for number in usual if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, usual[number])
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


class Ran:
    """What a command left behind."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"


@pytest.fixture
def smspop(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command in this process."""

    def run(*words: object) -> Ran:
        capfd.readouterr()
        code = main([str(word) for word in words])
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture
def contacts(tmp_path: Path) -> Path:
    """Six rows: three contacts, a duplicate, and two that are none."""
    path = tmp_path / "contacts.csv"
    path.write_text(
        "first_name,phone_number\nTariro,0770 000 001\nRudo,+263 77 000 0002\nFarai,12\n"
        "Chipo,263770000003\nTariro,0770000001\nSimba,call me\n"
    )
    return path


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """Three contacts and nothing else."""
    path = tmp_path / "clean.txt"
    path.write_text("0770000001\n0770000002\n0770000003\n")
    return path


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Two hundred contacts."""
    path = tmp_path / "many.txt"
    path.write_text("".join(f"26377{n:07d}\n" for n in range(1, 201)))
    return path


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a child process: the package as it is here, wherever the child runs."""
    return os.environ | {"PYTHONPATH": str(PACKAGE)} | more


@pytest.fixture
def environment() -> Callable[..., dict[str, str]]:
    """The environment for a child process."""
    return child_environment


class Child:
    """``python -m smspop_async.cli`` in a process of its own, without a terminal."""

    def __init__(self, *words: object, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "smspop_async.cli", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=child_environment(**environment),
            start_new_session=True,  # no terminal to ask on, even where the tests have one
        )
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._more:
                self._lines.append(line)
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def wait_for_line(self, words: str) -> None:
        """Wait until standard error has a line with these words."""
        with self._more:
            self._more.wait_for(lambda: self._ended or any(words in line for line in self._lines), timeout=60)
            assert any(words in line for line in self._lines), self._lines

    def end(self) -> Ran:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        out = self.process.stdout.read()
        code = self.process.wait(timeout=60)
        self._reader.join(timeout=60)
        self.process.stdout.close()
        self.process.stderr.close()
        return Ran(code, out, "".join(self._lines))


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """Start a command in a process of its own; one that is left over is killed."""
    children: list[Child] = []

    def start(*words: object, **environment: str) -> Child:
        children.append(Child(*words, **environment))
        return children[-1]

    yield start
    for each in children:
        if each.process.poll() is None:
            each.process.kill()
            each.end()


IN_A_TERMINAL = """\
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
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
        words = (sys.executable, "-m", "smspop_async.cli", *words)
        terminals.append(Terminal(words, environment(**variables), stdin=stdin))
        return terminals[-1]

    yield open_terminal
    for each in terminals:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


@pytest.fixture
def shell(tmp_path: Path, environment: Callable[..., dict[str, str]]) -> Iterator[Callable[[str], Ran]]:
    """Type a command line into a shell on a terminal, as it was printed, and y at each question."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "smspop"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m smspop_async.cli "$@"\n')
    script.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    terminals: list[Terminal] = []

    def type_in(line: str) -> Ran:
        variables = environment(PATH=path, TERM="dumb", COLUMNS="200")
        screen = Terminal(("sh", "-c", line), variables)
        terminals.append(screen)
        screen.read_until("[y/N]")
        if "[y/N]" in screen.seen:
            screen.type("y\n")
        return Ran(screen.end(), screen.seen, "")

    yield type_in
    for each in terminals:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in this process look for campaigns of unknown outcome for a moment only."""
    quick = ReconcilePolicy(first=0.01, horizon=0.05)
    monkeypatch.setattr("smspop_async.cli.send.ReconcilePolicy", lambda: quick)
    monkeypatch.setattr("smspop_async.cli.resume.ReconcilePolicy", lambda: quick)
