"""Rows out of files, a few at a time: ``.txt``, ``.csv`` and ``.xlsx``.

Everything here blocks and is meant for a worker thread. Text files are read twice: a first pass settles the
encoding and finds what no row could be made of, so that the second never fails half-way for that reason;
both hold one block in memory, whatever the size of the file.

- ``.txt``: a number a line. Blank lines and lines that begin with ``#`` are no rows.
- ``.csv``: separated by comma, semicolon, tab or bar (told from the first line, or from Excel's ``sep=`` line).
  Rows whose cells are all empty are no rows.
- ``.xlsx``: the first sheet, through python-calamine (the ``cli`` extra). Rows that are empty are no rows.

Encodings: UTF-8 with or without a byte-order mark, UTF-16 with one, and Windows-1252 for what is not UTF-8.
"""

import codecs
import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TextIO

from smspop_async.contacts.columns import as_text, looks_like_number, read_layout
from smspop_async.errors import ContactSourceError

SUFFIXES: Final = (".csv", ".txt", ".xlsx")

_BLOCK: Final = 1 << 17
_FIRST_LINE: Final = 1 << 16
_DELIMITERS: Final = ";\t|,"
"""Best first: where a line has as many commas as semicolons, the commas are likelier to be text."""
_SEPARATOR_LINE: Final = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_QUOTED: Final = re.compile(r'"[^"]*"?')


class _Reader(Protocol):
    """What `csv.reader` makes, which has no public name."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...


class FileRow(NamedTuple):
    """One row of a file."""

    line: int
    """The line it begins on, or its row in the sheet; from 1."""
    value: object
    fields: Mapping[str, str] | None


def check_path(path: Path, column: str | None) -> None:
    """Refuse a file that could never be read, by its name alone.

    Raises:
        ContactSourceError: The suffix is not of a kind that is read, or a column is named for plain lines.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ContactSourceError(
            f"Cannot read {path.name or path}: contacts come from {', '.join(SUFFIXES)}. Save it as one of these."
        )
    if suffix == ".txt" and column is not None:
        raise ContactSourceError(f"{path.name} holds a number a line and has no columns: leave column out.")


def file_rows(path: Path, *, column: str | None = None, with_fields: bool = False) -> Iterator[FileRow]:
    """Read the rows of a file, one by one.

    Args:
        path: A ``.txt``, ``.csv`` or ``.xlsx`` file.
        column: The header of the phone number's column; None to tell it from the first row.
        with_fields: Whether to keep the other columns.

    Yields:
        Each row, in order. The file is closed when the iterator ends or is closed.

    Raises:
        ContactSourceError: The file cannot be read. Rows before the fault have been given.
    """
    check_path(path, column)
    try:
        if not path.is_file():
            problem = "is a directory or a device, not a file" if path.exists() else "does not exist"
            raise ContactSourceError(f"{path.name} {problem}: check the path.")
        suffix = path.suffix.lower()
        if suffix == ".xlsx":
            yield from _sheet_rows(path, column, with_fields=with_fields)
        elif suffix == ".csv":
            yield from _csv_rows(path, column, with_fields=with_fields)
        else:
            yield from _text_rows(path)
    except OSError as error:
        raise ContactSourceError(
            f"Cannot read {path.name}: {error.strerror or type(error).__name__}. Check the path and its permissions."
        ) from error


def _encoding(path: Path) -> str:
    """Read the whole file once and tell its encoding."""
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        candidates = ["utf-16"]
    elif head.startswith(codecs.BOM_UTF8):
        candidates = ["utf-8-sig"]
    else:
        candidates = ["utf-8", "cp1252"]
    lines = 0
    for candidate in candidates:
        lines, whole = _lines_that_decode(path, candidate)
        if whole:
            return candidate
    raise ContactSourceError(
        f"{path.name}, line {lines}, is neither UTF-8 nor Windows-1252 text. Save it as UTF-8 and try again.",
        line=lines,
    )


def _lines_that_decode(path: Path, encoding: str) -> tuple[int, bool]:
    """The line at which decoding fails, from 1, and False; or the last line and True."""
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = 1
    with path.open("rb") as file:
        while True:
            block = file.read(_BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                return lines + error.object[: error.start].count(b"\n"), False
            if (at := text.find("\0")) >= 0:
                line = lines + text.count("\n", 0, at)
                raise ContactSourceError(
                    f"{path.name}, line {line}, holds a NUL: this is no text, or UTF-16 without its mark. "
                    "Save it as UTF-8 and try again.",
                    line=line,
                )
            lines += text.count("\n")
            if not block:
                return lines, True


def _text_rows(path: Path) -> Iterator[FileRow]:
    with path.open(encoding=_encoding(path)) as file:
        for line, text in enumerate(file, 1):
            value = text.strip()
            if value and not value.startswith("#"):
                yield FileRow(line, value, None)


def _csv_rows(path: Path, column: str | None, *, with_fields: bool) -> Iterator[FileRow]:
    with path.open(encoding=_encoding(path), newline="") as file:
        delimiter, skipped = _delimiter(file)
        end = _End()
        reader = csv.reader(chain(file, end), delimiter=delimiter)
        rows = _numbered(reader, skipped, end, delimiter)
        try:
            yield from _table_rows(rows, column, file=path.name, with_fields=with_fields)
        except _OpenQuote as quote:
            raise ContactSourceError(
                f"{path.name}, line {quote.line}: a quotation mark makes one cell of this line and the lines below it, "
                "as if it was never closed. Close it or take it out; from this line on nothing was read.",
                line=quote.line,
            ) from None
        except csv.Error as error:
            line = reader.line_num + skipped
            raise ContactSourceError(
                f"{path.name}, line {line}, is not CSV ({error}). Look for a quotation mark that is not closed.",
                line=line,
            ) from error


def _delimiter(file: TextIO) -> tuple[str, int]:
    """The delimiter, and how many lines were used up to tell it."""
    first = file.readline(_FIRST_LINE)
    if declared := _SEPARATOR_LINE.fullmatch(first):
        return declared[1], 1
    while first and not first.strip():
        first = file.readline(_FIRST_LINE)
    file.seek(0)
    plain = _QUOTED.sub("", first)
    best = max(_DELIMITERS, key=plain.count)
    return (best if best in plain else ","), 0


class _OpenQuote(Exception):  # noqa: N818 - it never leaves this module
    """A quotation mark has swallowed rows."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


class _End:
    """Stands behind the last line of a file, and tells whether it was asked for: by a row that was not complete."""

    def __init__(self) -> None:
        self.is_reached = False

    def __iter__(self) -> "_End":
        return self

    def __next__(self) -> str:
        self.is_reached = True
        raise StopIteration


def _numbered(
    reader: _Reader, skipped: int, end: _End, delimiter: str
) -> Iterator[tuple[int, Sequence[object]]]:
    line = skipped + 1
    for row in reader:
        behind = reader.line_num + skipped + 1
        if end.is_reached or (behind - line > 1 and _swallows(row, delimiter)):
            raise _OpenQuote(line)
        yield line, row
        line = behind


def _swallows(row: Sequence[str], delimiter: str) -> bool:
    """Tell whether a line within one of the cells is a row like this one, with a number where this one has it.

    A cell may go on over lines, as addresses do. `csv.reader` does not tell one that was meant from one that ends at
    the quotation mark of another person.
    """
    numbers = [at for at, cell in enumerate(row) if looks_like_number(cell)]
    for cell in row:
        for line in cell.splitlines()[1:]:
            pieces = line.split(delimiter)
            if len(pieces) == len(row) and any(looks_like_number(pieces[at]) for at in numbers):
                return True
    return False


def _table_rows(
    rows: Iterator[tuple[int, Sequence[object]]], column: str | None, *, file: str, with_fields: bool
) -> Iterator[FileRow]:
    """Contacts out of numbered rows of cells: the first row that is not blank tells the layout."""
    filled = ((line, row) for line, row in rows if any(row) and not all(_is_blank(cell) for cell in row))
    first = next(filled, None)
    if first is None:
        return
    layout = read_layout(first[1], column, file=file)
    index, names = layout.index, layout.names
    if names is None:
        yield FileRow(first[0], first[1][index], None)
    for line, row in filled:
        value = row[index] if index < len(row) else None
        yield FileRow(line, value, _fields(names, row) if with_fields and names else None)


def _is_blank(cell: object) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _fields(names: Sequence[str], row: Sequence[object]) -> dict[str, str]:
    return {name: as_text(cell) for name, cell in zip(names, row, strict=False) if name and cell is not None}


def _sheet_rows(path: Path, column: str | None, *, with_fields: bool) -> Iterator[FileRow]:
    try:
        from python_calamine import CalamineError, CalamineWorkbook  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ContactSourceError(
            f"Reading {path.name} needs python-calamine: pip install 'smspop-async[cli]', or save it as .csv."
        ) from error
    try:
        with CalamineWorkbook.from_path(path) as workbook:  # pyright: ignore[reportUnknownMemberType]
            sheet = workbook.get_sheet_by_index(0)
            # Empty rows above the first cell are iterated as well, so a row's place is its number in the sheet.
            rows = enumerate(sheet.iter_rows(), 1)
            yield from _table_rows(rows, column, file=path.name, with_fields=with_fields)
    except CalamineError as error:
        raise ContactSourceError(
            f"{path.name} is not a workbook that can be read ({type(error).__name__}). "
            "Open it in a spreadsheet program and save it again as .xlsx or .csv."
        ) from error
