"""Keeping a sandbox across runs: one JSON entry a line, appended as things happen.

The first line says what the file is. A file that says something else, or has a line that cannot be read, is
refused and left alone: it may be somebody's address book with an unlucky name. Writing happens on a
worker thread; the file is readable by its owner only, because it holds texts, numbers and tokens.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from smspop_async.errors import ConfigurationError
from smspop_async.sandbox.ledger import Entry, Ledger

_HEADER = {"format": "smspop-sandbox", "version": 1}


class Store:
    """The file of one sandbox.

    Args:
        path: The file. It is created by the first flush where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pending: list[str] = []
        self._begin_again = False
        self._writing = anyio.Lock()

    async def load(self, ledger: Ledger) -> None:
        """Build the ledger's state from the file; give a new file the ledger's opening.

        Raises:
            ConfigurationError: The file cannot be read or is not a sandbox's. It is not changed.
        """
        text = await anyio.to_thread.run_sync(self._read)
        if text:
            self._replay(text, ledger)
            return
        self.begin_again()
        for entry in ledger.opening():
            self.append(entry)

    def append(self, entry: Entry) -> None:
        """Take an entry that the next flush is to write."""
        self._pending.append(json.dumps(entry))

    def begin_again(self) -> None:
        """Let the next flush empty the file first; entries not yet written are dropped."""
        self._pending.clear()
        self._begin_again = True

    async def flush(self) -> None:
        """Write what was taken.

        Concurrent flushes take turns, so the entries stay in order, and each returns only when everything
        taken before it was called is written, by itself or by the one before.

        Raises:
            ConfigurationError: The file cannot be written.
        """
        async with self._writing:
            lines, self._pending = self._pending, []
            begin_again, self._begin_again = self._begin_again, False
            if lines:
                await anyio.to_thread.run_sync(self._write, lines, begin_again)

    def _read(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, ValueError):
            raise self._refusal("cannot be read as text") from None

    def _write(self, lines: list[str], begin_again: bool) -> None:  # noqa: FBT001 - called by run_sync alone
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if begin_again else os.O_APPEND)
        if begin_again:
            lines = [json.dumps(_HEADER), *lines]
        try:
            with os.fdopen(os.open(self._path, flags, 0o600), "w", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
        except OSError as error:
            raise ConfigurationError(f"{self._path} cannot be written: {error.strerror}.") from None

    def _replay(self, text: str, ledger: Ledger) -> None:
        for number, entry in self._entries(text):
            if number == 1:
                if entry != _HEADER:
                    raise self._refusal("is not a sandbox's file")
                continue
            try:
                ledger.replay(entry)
            except (KeyError, TypeError, ValueError, AttributeError):
                raise self._refusal(f"is damaged in line {number}") from None

    def _entries(self, text: str) -> Iterator[tuple[int, Any]]:
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                yield number, json.loads(line)
            except ValueError:
                what = "is not a sandbox's file" if number == 1 else f"is damaged in line {number}"
                raise self._refusal(what) from None

    def _refusal(self, what: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self._path} {what}. It was left as it is: name another file, or move this one away."
        )
