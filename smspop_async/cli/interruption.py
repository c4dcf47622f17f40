"""Ctrl-C, SIGTERM and a closed terminal, by where the command stands.

- Before the sending: a `KeyboardInterrupt`, at once. Nothing was sent.
- While sending: the first asks the run to stop, which lets campaigns under way settle; the second ends the
  process there and then. It ends it with ``os._exit``, because whatever is being waited for is what the
  person no longer wants to wait for.

The handlers are plain `signal` handlers, which work on every platform; `asyncio.run` leaves SIGINT alone
when it finds a handler of somebody else.
"""

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Final, Self

from smspop_async.cli.exits import Exit

_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP")
_SHOW_CURSOR: Final = "\x1b[?25h"


class Interruption:
    """The signals that end a command, for as long as the block lasts."""

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._stop: Callable[[], object] | None = None
        self._last_words: Callable[[], str] = str
        self._asked = False
        self.was_soft: bool = False
        """Whether anything may have been sent: a run was, or is, to be stopped softly."""

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            for name in _SIGNALS:
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                    self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    @contextmanager
    def softly(self, stop: Callable[[], object], last_words: Callable[[], str]) -> Generator[None]:
        """While the block lasts, a first signal calls `stop`, and a second ends the process.

        Args:
            stop: Called in the signal handler: it must only leave word.
            last_words: What the person should know when the process ends at once.
        """
        self.was_soft = True
        self._stop, self._last_words, self._asked = stop, last_words, False
        try:
            yield
        finally:
            self._stop = None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._stop is None:
            raise KeyboardInterrupt
        if self._asked:
            self._leave()
        self._asked = True
        self._stop()

    def _leave(self) -> None:
        # Not through sys.stderr: the signal may have come in the middle of a write to it.
        cursor = _SHOW_CURSOR if os.isatty(2) else ""
        with suppress(OSError):  # the terminal may be gone
            os.write(2, f"{cursor}\n{self._last_words()}\n".encode())
        os._exit(Exit.INTERRUPTED)
