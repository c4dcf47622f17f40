"""What is wrong with a journal, in words that say what to do."""

import sqlite3
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from smspop_async.errors import JournalError

_WORDS: Final = (
    ("SQLITE_FULL", "the disk is full. Make room", "then resume"),
    # The file that ends in -shm could not be made longer.
    ("SQLITE_IOERR_SHMSIZE", "the disk is full. Make room", "then resume"),
    # What was to be written may stand there all the same, a list that is to be sent among it.
    (
        "SQLITE_IOERR",
        "the disk refuses to read or write. See what is wrong with it",
        "then look with `smspop report` for what can be resumed, before you send again",
    ),
    ("SQLITE_READONLY", "it cannot be written: the file or its folder is read-only. Make them writable", ""),
    ("SQLITE_CANTOPEN", "it cannot be opened. See that its folder exists and can be written", ""),
    ("SQLITE_PERM", "permission is denied. See who owns the file", ""),
    ("SQLITE_CORRUPT", "the file is damaged. It is left as it is: restore it from a copy", ""),
    ("SQLITE_NOTADB", "it is not a journal, but some other file. It is left as it is: give another name", ""),
    ("SQLITE_BUSY", "another program has it open. Close that program", ""),
)
"""By the beginning of the code: what it is, and what to do then, where something may have been begun."""
_TRY_AGAIN: Final = "then try again: nothing was sent by this call"


def explain(path: Path, error: sqlite3.Error, *, begun: bool = True) -> JournalError:
    """Tell what SQLite found wrong with a journal.

    Args:
        path: The journal.
        error: What SQLite raised; its own text may quote values, so only its code is told.
        begun: Whether there may be something in it to go on with.
    """
    code = getattr(error, "sqlite_errorname", "") or type(error).__name__
    for prefix, words, then in _WORDS:
        if code.startswith(prefix):
            advice = (then if begun else _TRY_AGAIN) if then else ""
            return JournalError(f"The journal {path}: {', '.join(filter(None, (words, advice)))} ({code}).")
    return JournalError(f"The journal {path} cannot be used ({code}).")


@contextmanager
def telling(path: Path) -> Generator[None, None, None]:
    """Tell what is wrong with a journal that is read in this block.

    Raises:
        JournalError: it cannot be read, or what stands in it makes no sense.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise explain(path, error) from None
    except (ValueError, LookupError, TypeError, ArithmeticError, zlib.error) as error:
        # SQLite has no check sums: this is what a changed byte comes to.
        raise JournalError(
            f"The journal {path} is damaged: what it holds cannot be read ({type(error).__name__}). It is left as it "
            "is: restore it from a copy, or look in the dashboard for what was sent."
        ) from None


def explain_os(path: Path, error: OSError) -> JournalError:
    """Tell why the file system does not let a journal be used."""
    reason = (error.strerror or type(error).__name__).lower()
    return JournalError(
        f"The journal {path} cannot be used: {reason}. See that its folder exists, can be written and has room; "
        "nothing is sent without the journal."
    )


def vanished(path: Path) -> JournalError:
    """Tell that the name of a journal stands for another file than the one that is written, or for none."""
    return JournalError(
        f"The journal {path} was deleted, moved or replaced while it was in use: what would be written "
        "is lost. If it was moved, put it back with the file beside it that ends in -wal, then resume."
    )
