"""CONTACTS and the message: from what was typed to what the library takes."""

import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from string import Template
from typing import Final, cast

from smspop_async.cli.exits import MisuseError
from smspop_async.cli.options import TextOptions
from smspop_async.cli.screen import Screen
from smspop_async.errors import ConfigurationError, ContactSourceError

STDIN: Final = "-"
_FILE: Final = "a .csv, .txt or .xlsx file"
_BLOCK: Final = 1 << 16
CHUNK: Final = 500
"""Contacts in one campaign, unless it is asked for otherwise."""


def name_of(argument: str) -> str:
    """What to call the source of contacts."""
    return "standard input" if argument == STDIN else Path(argument).name


@contextmanager
def contacts_file(argument: str, column: str | None, screen: Screen) -> Generator[Path]:
    """Give the file of contacts; standard input becomes one, because contacts are read twice.

    The copy is a private temporary file, so that any number of rows takes no memory, and problems have
    their line. It is gone after the block.

    Args:
        argument: CONTACTS, as it was typed.
        column: As it was typed.
        screen: Where to say how a list is typed.

    Raises:
        MisuseError: There is no name of a file, or standard input is closed, or has no columns.
        ContactSourceError: It is a folder.
    """
    if argument != STDIN:
        yield _file(argument)
        return
    if sys.stdin is None:
        raise MisuseError(
            "Standard input is closed: name a file, or lead the numbers into the command with |."
        )
    if column is not None:
        raise MisuseError("Standard input has a number a line and no columns: leave --column out.")
    if sys.stdin.isatty():
        screen.say("Type one number a line, and Ctrl-D after the last.")
    with tempfile.TemporaryDirectory(prefix="smspop-") as folder:
        path = Path(folder) / "stdin.txt"
        _keep_stdin(path)
        try:
            yield path
        except ContactSourceError as error:  # nobody has a file of that name
            words = str(error).replace(path.name, name_of(STDIN))
            raise ContactSourceError(words, line=error.line, delivery=error.delivery) from None


def _file(argument: str) -> Path:
    """The file that was named; whatever has no name of its own is called as it was typed."""
    if not argument.strip():
        raise MisuseError(f"CONTACTS is empty: name {_FILE}, or - for standard input.")
    path = Path(argument)
    with suppress(OSError):  # what cannot be looked at is told of when it is read
        if path.is_dir():
            raise ContactSourceError(f"{argument} is a folder: name {_FILE}.")
    return path


def _keep_stdin(path: Path) -> None:
    stdin = cast("BufferedReader", sys.stdin.buffer)
    with path.open("wb") as file:
        while block := stdin.read1(_BLOCK):  # read() would, at a terminal, wait for a second Ctrl-D
            file.write(block)


def fingerprint(path: Path) -> tuple[int, int, int] | None:
    """Tell one state of a file from another; None where there is no such file."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns


def message_of(options: TextOptions, *, default: str | None = None) -> str | Template:
    """The text of the options.

    Args:
        options: As they were typed.
        default: The text where none was given.

    Raises:
        MisuseError: There is none, or there are two.
        ConfigurationError: The file is not UTF-8.
        OSError: The file cannot be read.
    """
    if options.message is not None and options.message_file is not None:
        raise MisuseError("Give the text once: --message or --message-file, not both.")
    text = options.message if options.message_file is None else _read(options.message_file)
    text = default if text is None else text
    if text is None:
        raise MisuseError("There is no message. Add --message 'Your text', or --message-file text.txt.")
    return Template(text) if options.template else text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path.name} is not UTF-8 text: save it as UTF-8 and try again.") from None


def stray_field(message: str | Template) -> str | None:
    """A merge field in a text that is not said to be a template: most likely --template was forgotten."""
    if isinstance(message, Template):
        return None
    return next(
        (
            f"${match['named'] or match['braced']}"
            for match in Template.pattern.finditer(message)
            if match["named"] or match["braced"]
        ),
        None,
    )
