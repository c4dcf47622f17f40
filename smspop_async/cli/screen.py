"""What the command writes on: results on standard output, everything else on standard error.

A run that sends texts must not die of a closed terminal or of ``| head``. So nothing that is written to
standard error can fail, and a reader of standard output that has gone away is no error either. Other
failures of standard output (a full disk) are the caller's to tell.
"""

import io
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO, cast

from rich.console import Console, RenderableType
from rich.text import Text

_WIDE: Final = 200
"""Columns assumed where there is no terminal, so that a row of a table stays one line of the log."""


class _Steady(io.TextIOBase):
    """A stream that goes silent instead of failing.

    Args:
        stream: Where to write.
        forgiving: Whether every failure is forgiven, or only a reader that has gone.
    """

    def __init__(self, stream: TextIO, *, forgiving: bool) -> None:
        self._stream = stream
        self._forgiving = forgiving
        self._silent = False
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show "…" is no reason to stop

    @property
    def encoding(self) -> str:  # type: ignore[override] # read-only is all that is needed
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str, /) -> int:
        if not self._silent:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._fail(error)
        return len(text)

    def flush(self) -> None:
        # The interpreter flushes what it collects (IOBase.__del__), also when the stream below was closed before.
        if not self._silent and not self._stream.closed:
            try:
                self._stream.flush()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        self._silent = True
        _send_to_nowhere(self._stream)
        if not (self._forgiving or isinstance(error, BrokenPipeError)):
            raise error


def _send_to_nowhere(stream: TextIO) -> None:
    """Keep what is buffered from failing once more when the interpreter flushes it at its end."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except OSError:  # a stream that has no descriptor is not flushed by the interpreter either
        pass


def _console(stream: TextIO, *, forgiving: bool) -> Console:
    tty = stream.isatty()
    return Console(
        file=cast("TextIO", _Steady(stream, forgiving=forgiving)),
        width=None if tty else _WIDE,
        highlight=False,
        markup=False,
        emoji=False,
    )


class Screen:
    """The two streams of the process, as they are at this moment. NO_COLOR is honoured (by rich)."""

    def __init__(self) -> None:
        self._out = _console(sys.stdout, forgiving=False)
        self.err: Console = _console(sys.stderr, forgiving=True)

    @property
    def live(self) -> bool:
        """Whether a progress bar can be drawn: standard error is a terminal that can move its cursor."""
        return self.err.file.isatty() and not self.err.is_dumb_terminal

    def say(self, content: RenderableType = "", style: str = "") -> None:
        """Write to standard error: progress, questions, errors."""
        _write(self.err, content, style)

    def complain(self, text: str) -> None:
        """Write an error to standard error."""
        _write(self.err, Text.assemble(("smspop: ", "bold red"), printable(text)), "")

    def tell(self, content: RenderableType = "", style: str = "") -> None:
        """Write a result to standard output.

        Raises:
            OSError: it cannot be written, other than to a reader that has gone.
        """
        _write(self._out, content, style)
        self._out.file.flush()

    def tell_line(self, text: str) -> None:
        """Write a line to standard output that is to be copied: whatever its length, nothing breaks it.

        Raises:
            OSError: as for `tell`.
        """
        self._out.print(Text(text, style="bold"), soft_wrap=True)
        self._out.file.flush()

    def tell_json(self, value: Mapping[str, Any]) -> None:
        """Write one JSON object to standard output, in ASCII.

        Raises:
            OSError: as for `tell`.
        """
        self._out.file.write(json.dumps(value, indent=2) + "\n")
        self._out.file.flush()


def _write(console: Console, content: RenderableType, style: str) -> None:
    if isinstance(content, str):
        content = Text(content)
    console.print(content, style=style, soft_wrap=isinstance(content, Text) and not console.file.isatty())


def printable(text: str) -> str:
    """The text on one line, without what would steer a terminal: for words that come from elsewhere."""
    return "".join(char if char.isprintable() else " " for char in text)
