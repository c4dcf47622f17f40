"""Processes that kill themselves at a chosen step of a send, and those that start them.

Run as a script this is the nursery: it imports the library once, and forks a child for every order that it reads, so
that a death costs some milliseconds and not an interpreter's start. The child makes itself mortal (`Death`): it
wraps one function of the library, or every statement that goes to SQLite, and sends itself SIGKILL before or after the
n-th use. The library knows nothing of it.

An order is one line of JSON; the answer is two: the child's process id as soon as it lives, and how it ended.
"""

import asyncio
import gc
import importlib
import inspect
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from functools import partial, wraps
from pathlib import Path
from string import Template
from typing import Any

RETRY = {"attempts": 4, "initial_backoff": 0.0, "max_backoff": 0.0}
SOON = {"first": 0.001, "horizon": 0.002}


@dataclass(frozen=True, kw_only=True)
class Death:
    """Where a process ends."""

    target: str = ""
    """``package.module:Class.function``; or `STATEMENT`, `PAUSE`, `DELAY`; empty: it lives."""
    when: str = "before"
    """``before`` or ``after``."""
    nth: int = 1
    match: str = ""
    """Of statements: a regular expression for those that count."""
    settled: bool = False
    """Of coroutine functions: whether all that was ordered before is on the disk then."""
    seconds: float = 0.0
    """For `DELAY`."""


STATEMENT = "statement"
"""A statement on the connection that writes, or its closing."""
PAUSE = "pause"
"""The wait for a ``Retry-After``, when all that was ordered is on the disk."""
DELAY = "delay"
"""So many seconds after the birth, whatever is going on."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a child does until it dies."""

    journal: str
    base_url: str
    act: str = "send"
    """``send``, ``stream``, ``endless`` (a stream over a generator) or ``resume``."""
    rows: list[Any] = field(default_factory=list)
    file: str = ""
    """A file of contacts in the place of `rows`."""
    message: str = "Hello!"
    template: bool = False
    suppress: list[str] = field(default_factory=list)
    chunk_size: int = 2
    max_concurrency: int = 1
    resend_unknown: bool = False
    reconcile: bool = True
    death: Death = Death()


# --- the child ---


class _Fate:
    """Counts down to the end."""

    def __init__(self, death: Death) -> None:
        self._death = death
        self._left = death.nth
        self._lock = threading.Lock()

    def met(self, when: str) -> None:
        if when == self._death.when:
            with self._lock:
                self._left -= 1
                if not self._left:
                    die()

    def statement(self, when: str, sql: str) -> None:
        if re.search(self._death.match, sql):
            self.met(when)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()  # it takes a moment, in which nothing may go on


def make_mortal(death: Death) -> None:
    """Wrap what the death waits for."""
    if not death.target:
        return
    _remember_writers()
    fate = _Fate(death)
    if death.target == STATEMENT:
        sqlite3.connect = partial(_connect, sqlite3.connect, fate)  # type: ignore[assignment]
    elif death.target == PAUSE:
        _die_in_a_pause()
    elif death.target == DELAY:
        threading.Timer(death.seconds, die).start()
    else:
        _wrap(death, fate)


def _connect(connect: Callable[..., sqlite3.Connection], fate: _Fate, *args: Any, **words: Any) -> Any:
    if words.get("uri"):
        return connect(*args, **words)  # one that reads only

    class Mortal(sqlite3.Connection):
        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            fate.statement("before", sql)
            cursor = super().execute(sql, *rest)
            fate.statement("after", sql)
            return cursor

        def executemany(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            fate.statement("before", sql)
            cursor = super().executemany(sql, *rest)
            fate.statement("after", sql)
            return cursor

        def close(self) -> None:
            fate.statement("before", "close")
            super().close()
            fate.statement("after", "close")

    return connect(*args, **words, factory=Mortal)


def _wrap(death: Death, fate: _Fate) -> None:
    module, _, path = death.target.partition(":")
    *parents, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)

    @wraps(original)
    async def slow(*args: Any, **words: Any) -> Any:
        if death.settled:
            await _settled()
        fate.met("before")
        result = await original(*args, **words)
        fate.met("after")
        return result

    @wraps(original)
    def quick(*args: Any, **words: Any) -> Any:
        fate.met("before")
        result = original(*args, **words)
        fate.met("after")
        return result

    setattr(owner, name, slow if inspect.iscoroutinefunction(original) else quick)


_writers: list[Any] = []


def _remember_writers() -> None:
    from smspop_async.journal.commit import GroupCommit

    init = GroupCommit.__init__

    def remember(self: GroupCommit, *args: Any) -> None:
        init(self, *args)
        _writers.append(self)

    GroupCommit.__init__ = remember  # type: ignore[method-assign]


async def _settled() -> None:
    """Wait until all is on the disk that was ordered."""
    for writer in _writers:
        await writer.run(lambda connection: None)


def _die_in_a_pause() -> None:
    from smspop_async.api.gate import Gate

    async def passing(self: Gate, *_: Any, **__: Any) -> None:
        await _settled()
        die()

    Gate.passing = passing  # type: ignore[method-assign]


async def perform(order: Order) -> None:
    """Do what was ordered."""
    from smspop_async import ReconcilePolicy, RetryPolicy, SmsPop

    reconcile = ReconcilePolicy(**SOON) if order.reconcile else None
    async with SmsPop(token="1|fake-token", base_url=order.base_url, retry=RetryPolicy(**RETRY)) as sms:
        if order.act == "resume":
            await sms.resume(order.journal, resend_unknown=order.resend_unknown, reconcile=reconcile)
            return
        arguments: dict[str, Any] = {
            "message": Template(order.message) if order.template else order.message,
            "sender_id": "DEMO",
            "chunk_size": order.chunk_size,
            "max_concurrency": order.max_concurrency,
            "suppress": order.suppress or None,
            "reconcile": reconcile,
            "journal": order.journal,
        }
        rows: Any = Path(order.file) if order.file else order.rows
        if order.act == "send":
            await sms.send(rows, **arguments)
            return
        rows = _unending(order.rows) if order.act == "endless" else rows
        async with sms.stream(rows, **arguments) as batch:
            async for _ in batch:
                pass


async def _unending(rows: list[Any]) -> AsyncIterator[Any]:
    """Rows of which nobody can know that they end."""
    for row in rows:
        yield row
        await asyncio.sleep(0)


# --- the nursery ---


def _serve() -> None:
    _warm_up()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        words = json.loads(line)
        order = Order(**{**words, "death": Death(**words["death"])})
        child = os.fork()
        if not child:
            _live(order)
        print(json.dumps({"pid": child}), file=answers)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), file=answers)


def _warm_up() -> None:
    """Import and read, once, what every child needs: by a send that nobody answers."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and not listening
        base_url = f"http://127.0.0.1:{nobody.getsockname()[1]}/api"
        asyncio.run(
            perform(Order(journal=f"{folder}/j.db", base_url=base_url, rows=["263770000001", "junk"]))
        )
    for thread in threading.enumerate():  # a process that forks has one thread
        if thread is not threading.current_thread():
            thread.join()
    gc.freeze()


def _live(order: Order) -> None:
    code = 1
    try:
        make_mortal(order.death)
        asyncio.run(perform(order))
        code = 0
    except BaseException:  # noqa: BLE001 - a child must not go on as a nursery
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


# --- those who start them ---


class Nursery:
    """Starts children one after another. Blocks: call it in a thread where a server of the test must answer."""

    def __init__(self) -> None:
        root = Path(__file__).parents[2]
        path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
        )

    def run(self, order: Order, born: Callable[[int], object] = lambda pid: None) -> bool:
        """Have an order carried out.

        Args:
            order: What to do.
            born: Told the child's process id.

        Returns:
            Whether the child was killed. One that ends by itself must end well.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        born(self._answer()["pid"])
        code = self._answer()["code"]
        assert code in (0, -signal.SIGKILL), f"the child ended with {code}: see its traceback"
        return code != 0

    def _answer(self) -> dict[str, int]:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it; it has no children then."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


if __name__ == "__main__":
    _serve()
