"""Files that are no journal, or none of ours."""

import sqlite3
import zipfile
from pathlib import Path

from journal.byhand import small_journal
from smspop_async.journal.schema import VERSION


def write_text(path: Path) -> None:
    path.write_text("phone\n263770000001\n" * 50)


def write_short_text(path: Path) -> None:
    path.write_bytes(b"SQL")


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "x" * 500)


def write_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE send (id INTEGER); INSERT INTO send VALUES (1);")
    connection.close()


def write_wal_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE send (id INTEGER);")
    connection.close()


def write_newer(path: Path) -> None:
    small_journal(path, chunks=1)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    Path(f"{path}.lock").unlink()


def write_zeros(path: Path) -> None:
    path.write_bytes(bytes(4096))
