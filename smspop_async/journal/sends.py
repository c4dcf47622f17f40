"""The sends of a journal for those who only read it: a list of them, and one of them as of one moment.

Blocks: for a thread, or a program without a loop.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from smspop_async.api.models import Status
from smspop_async.errors import JournalError
from smspop_async.journal import reading
from smspop_async.journal.base import SendRecord, StoredRows, Verdict
from smspop_async.journal.failures import telling
from smspop_async.journal.opening import check_file, read_only


class SendReader:
    """Reads one send of a journal as it was when this was made, on a connection of its own.

    Blocks: for a thread, or a program without a loop. Everything raises JournalError where the journal cannot be read.

    Args:
        connection: Closed by `close`.
        send: The send's id.
        record: The send.
        path: For the words of errors.
    """

    def __init__(self, connection: sqlite3.Connection, send: int, record: SendRecord, path: Path) -> None:
        self._connection = connection
        self._send = send
        self.record = record
        self._path = path

    def rows(self) -> Iterator[StoredRows]:
        """Every row in input order."""
        with telling(self._path):
            yield from reading.read_rows(self._connection, self._send)

    def decided(self) -> Iterator[tuple[int, int, Verdict]]:
        """Number, contacts and verdict of every campaign that was submitted."""
        with telling(self._path):
            yield from reading.read_decided(self._connection, self._send)

    def discrepancies(self) -> Iterator[tuple[int, str]]:
        """Number of a campaign, and where the API contradicted itself about it."""
        with telling(self._path):
            yield from reading.read_discrepancies(self._connection, self._send)

    def counts(self) -> Mapping[Status, int]:
        """How many rows have which status."""
        with telling(self._path):
            return reading.count_statuses(self._connection, self._send)

    def last_event(self) -> float:
        """Seconds since the epoch at which a chunk last changed its state, or 0."""
        with telling(self._path):
            return reading.last_event(self._connection, self._send)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def open_meant(path: Path, meant: Callable[[int, SendRecord], bool], which: str) -> SendReader:
    """Open the send of a journal that is meant.

    Args:
        path: The journal.
        meant: Whether it is this one, by its id and what it is.
        which: For the words of an error.

    Raises:
        JournalError: there is none, or it cannot be read.
    """
    connection = read_only(path)
    try:
        with telling(path):
            sends = reading.read_sends(connection)
    except BaseException:
        connection.close()
        raise
    for send, record in sends:
        if meant(send, record):
            return SendReader(connection, send, record, path)
    connection.close()
    raise JournalError(f"The journal {path} has no send {which}: `smspop report {path}` lists them.")


def list_sends(path: str | os.PathLike[str]) -> list[SendRecord]:
    """The sends of a journal, in the order of their beginnings. Blocks; also while another process writes it.

    Raises:
        JournalError: there is none, or it cannot be read.
    """
    connection = read_only(Path(path))
    try:
        with telling(Path(path)):
            return [record for _, record in reading.read_sends(connection)]
    finally:
        connection.close()


def open_send(path: str | os.PathLike[str], run: str) -> SendReader:
    """Open one send of a journal for reading. Blocks; also while another process writes it.

    Raises:
        JournalError: there is none, or it cannot be read.
    """
    return open_meant(Path(path), lambda _, record: record.run == run, repr(run))


def check_journal(path: str | os.PathLike[str]) -> None:
    """Tell whether a path is a journal, without opening it for writing. Blocks.

    Raises:
        JournalError: it is none.
    """
    check_file(Path(path))
