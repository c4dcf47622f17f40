"""Rows from memory: an iterable, a comma string or records, made into slabs. Plain synchronous pulling.

A failing iterator is kept until the rows that it gave before are handed on, because every row is accounted for.
"""

from asyncio import CancelledError
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Self, cast

from attrs import field, frozen

from smspop_async.contacts.columns import CellFinder, as_text, is_missing
from smspop_async.contacts.files import SUFFIXES
from smspop_async.errors import ContactSourceError

_ENDING: Final = 1_000
"""Characters at the end of a text that may be a file's name: a list of millions is not looked through for that."""
_CELL_TYPES: Final = frozenset({str, int, float, type(None)})


@frozen(kw_only=True)
class Slab:
    """Consecutive rows of a source."""

    values: Sequence[object] = field(repr=False)
    """The raw cell of each row's phone number; None where a mapping has none."""
    fields: Sequence[Mapping[str, str]] | None = field(default=None, repr=False)
    """All columns of each row, where they were asked for and the rows have names for them."""
    lines: Sequence[int] | None = None
    """The line of a file that each row begins on, from 1."""
    text: str | None = field(default=None, repr=False)
    """All values with a line break behind each, where they are texts and were joined anyway."""

    def __len__(self) -> int:
        return len(self.values)


class Shape:
    """Makes slabs of rows from memory."""

    def __init__(self, column: str | None, *, with_fields: bool) -> None:
        self._cell = CellFinder(column).cell
        self._with_fields = with_fields

    def slab(self, rows: list[object]) -> Slab:
        """One slab of these rows; a column of plain cells is taken as it is."""
        try:
            # Texts are told from everything else by joining them, which the normaliser would do next.
            return Slab(values=rows, text="\n".join(rows) + "\n")  # type: ignore[arg-type]
        except TypeError:
            pass
        if _CELL_TYPES.issuperset(map(type, rows)):
            return Slab(values=rows)
        values = [self._cell(row) for row in rows]
        if not (self._with_fields and any(isinstance(row, Mapping) for row in rows)):
            return Slab(values=values)
        return Slab(values=values, fields=[_text_fields(row) for row in rows])


def _text_fields(row: object) -> dict[str, str]:
    if not isinstance(row, Mapping):
        return {}
    record = cast("Mapping[object, object]", row)
    texts = ((key, _text_of(value)) for key, value in record.items() if not is_missing(value))
    return {str(key): text for key, text in texts if text is not None}


def _text_of(value: object) -> str | None:
    """The text of a field; None where a value has none to give: its row is at fault then, and not the run."""
    try:
        return as_text(value) if isinstance(value, float) else str(value)
    except Exception:  # noqa: BLE001 - a value's own code
        return None


class Pull:
    """Pulls rows from an iterable, and keeps a failure until the rows before it are handed on."""

    def __init__(self, contacts: object) -> None:
        rows = _rows_of(contacts)
        try:
            self._rows = iter(rows)
        except Exception as error:
            raise ContactSourceError(f"The contacts cannot be iterated ({type(error).__name__}).") from error
        self._own = self._rows is not rows or rows is not contacts
        self._list: list[object] | None = contacts if type(contacts) is list else None  # pyright: ignore[reportUnknownMemberType]
        self._count = 0
        self._failure: ContactSourceError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def pull(self, rows: list[object], most: int) -> bool:
        """Append at most so many rows; False when there are no more for now, or ever."""
        before = len(rows)
        try:
            rows.extend(islice(self._rows, most))
        except (Exception, CancelledError) as error:  # noqa: BLE001 - whatever the caller's iterator raises
            self._count += len(rows) - before
            self._failure = source_failed(self._count, error)
            return False
        self._count += len(rows) - before
        return len(rows) - before == most

    def rows(self, most: int) -> list[object]:
        """At most so many rows; none at the end."""
        if self._list is not None:  # a slice of it is a third of the work, and sees the same rows
            rows = self._list[self._count : self._count + most]
            self._count += len(rows)
            return rows
        pulled: list[object] = []
        if self._failure is None:
            self.pull(pulled, most)
        self.check(pulled)
        return pulled

    def check(self, rows: list[object]) -> None:
        """Raise the failure when no rows are left to hand on before it."""
        if self._failure is not None and not rows:
            raise self._failure

    @property
    def failed(self) -> bool:
        """Whether the iterator has failed, and is not to be pulled again."""
        return self._failure is not None

    def close(self) -> None:
        """Close the iterator where it was made here."""
        close = getattr(self._rows, "close", None)
        if self._own and close is not None:
            close()


def source_failed(count: int, error: BaseException) -> ContactSourceError:
    """The error for a source that failed behind so many rows; it shows none of them."""
    failure = ContactSourceError(
        f"The source of contacts failed after {count} rows ({type(error).__name__}). Those are accounted for; "
        "see the cause, and give the rest of the contacts once it is mended."
    )
    failure.__cause__ = error
    return failure


def _rows_of(contacts: object) -> Iterable[Any]:
    """The iterable behind what the caller gave.

    Raises:
        ContactSourceError: It is none, or one that cannot be meant.
    """
    if isinstance(contacts, str):
        return _pieces(contacts)
    if isinstance(contacts, Mapping):
        raise ContactSourceError("Contacts are a single mapping: put it into a list.")
    if isinstance(contacts, bytes | bytearray | memoryview):
        raise ContactSourceError("Contacts are bytes: decode them into text first.")
    if hasattr(contacts, "itertuples"):
        raise ContactSourceError(
            "Contacts are a data frame, whose iteration gives its column names: "
            "pass the column of the phone numbers, or frame.to_dict('records')."
        )
    if not isinstance(contacts, Iterable):
        raise ContactSourceError(
            f"Contacts cannot come from {type(contacts).__name__}: give a list of numbers, a Path or an iterable."
        )
    return contacts  # pyright: ignore[reportUnknownVariableType]


def _pieces(text: str) -> Iterator[str]:
    """The numbers of a comma string, trimmed; one trailing comma is no row."""
    if text[-_ENDING:].strip().lower().endswith(SUFFIXES):
        raise ContactSourceError(
            "The contacts are text that looks like a file name: pass Path(…) to read a file."
        )
    return _split(text)


def _split(text: str) -> Iterator[str]:
    begin = 0
    while (end := text.find(",", begin)) >= 0:
        yield text[begin:end].strip()
        begin = end + 1
    if last := text[begin:].strip():
        yield last
