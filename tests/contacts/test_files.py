"""Rows out of files: right lines, every encoding that people send, and errors that say what to do next."""

import asyncio
import codecs
import csv
import datetime as dt
import io
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smspop_async.contacts import files, sources
from smspop_async.contacts.columns import as_text
from smspop_async.contacts.numbers import Normaliser
from smspop_async.contacts.sources import load_suppression, open_rows, read_slabs
from smspop_async.errors import ContactSourceError

pytestmark = pytest.mark.anyio

Workbook = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def written(content: str | bytes, name: str = "contacts.csv", *, encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return written


def rows_of(path: Path, **options: object) -> list[tuple[int, object]]:
    """Line and value of every row."""
    found: list[tuple[int, object]] = []
    for slab in read_slabs(path, size=3, **options):  # type: ignore[arg-type]
        assert slab.lines is not None
        found += zip(slab.lines, slab.values, strict=True)
    return found


def fields_of(path: Path, **options: object) -> list[dict[str, str]]:
    return [dict(row) for slab in read_slabs(path, with_fields=True, **options) for row in slab.fields or ()]  # type: ignore[arg-type]


def test_a_text_file_is_a_number_a_line(write: Callable[..., Path]) -> None:
    """Blank lines and comments are no rows, and the lines of the others are right."""
    path = write("\ufeff# my list\r\n0770000001\r\n\r\n  0770 000 002  \r\n\t# x\r\nx\r\n", "list.txt")
    assert rows_of(path) == [(2, "0770000001"), (4, "0770 000 002"), (6, "x")]
    (slab,) = read_slabs(path, with_fields=True)
    assert slab.fields is None


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_delimiter_is_told_from_the_first_line(
    write: Callable[..., Path], delimiter: str, newline: str
) -> None:
    """Whatever the country of the spreadsheet separates its cells with."""
    table = [
        ["Name", "Phone Number", "City"],
        ["Moyo, A; B|C\tD", "0770000001", "Harare"],
        ["B", "0770000002", ""],
    ]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=newline).writerows(table)
    path = write(text.getvalue())
    assert rows_of(path) == [(2, "0770000001"), (3, "0770000002")]
    assert fields_of(path)[0] == {"Name": "Moyo, A; B|C\tD", "Phone Number": "0770000001", "City": "Harare"}


def test_excel_may_declare_the_delimiter(write: Callable[..., Path]) -> None:
    """Its ``sep=`` line is obeyed, is no row, and counts as a line."""
    assert rows_of(write("sep=;\r\nName;Phone\r\nA,B,C;0770000001\r\n")) == [(3, "0770000001")]


def test_a_comma_in_a_quoted_header_is_no_delimiter(write: Callable[..., Path]) -> None:
    """Quoted text is not counted, and semicolons win where commas are as many."""
    assert rows_of(write('"Name, first, last";Phone\nA;0770000001\n')) == [(2, "0770000001")]
    assert rows_of(write("Last, First;Phone\nA, B;0770000001\n")) == [(2, "0770000001")]


def test_quoted_line_breaks_keep_the_lines_right(write: Callable[..., Path]) -> None:
    """A row's line is the one it begins on, also behind cells of several lines and blank lines."""
    path = write('\nphone,note\n0770000001,"a\nb\n\nc"\n\n , \n0770000002,x\n0770000003\n')
    assert rows_of(path) == [(3, "0770000001"), (9, "0770000002"), (10, "0770000003")]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        pytest.param(
            'phone,name\n263770000001,Ann\n263770000002,"Rudo\n263770000003,Tendai\n263770000004,Tariro\n',
            3,
            id="up to the end",
        ),
        pytest.param(
            'phone,name\n263770000002,"Rudo\n263770000003,Tendai\n263770000004,"Chi" Moyo\n263770000005,Eve\n',
            2,
            id="up to the next one",
        ),
        pytest.param('phone,"name\n263770000001,Ann\n263770000002,Eve\n', 1, id="in the header"),
        pytest.param('phone,name\n263770000001,Ann\n"263770000002,Eve\n263770000003,Chi\n', 3, id="a number"),
        pytest.param('phone,name\n263770000001,Ann\n263770000002,"Eve', 3, id="the last cell"),
        pytest.param('phone\n"263770000001\n263770000002\n263770000003"\n', 2, id="one column"),
        pytest.param(
            'sep=;\nphone;name;x\n263770000001;"Ann;1\n+263 77 000 0002;Eve;2\n263770000003;"Chi" M;3\n',
            3,
            id="spellings",
        ),
    ],
)
def test_rows_are_not_swallowed_by_a_quotation_mark(
    write: Callable[..., Path], content: str, line: int
) -> None:
    """Conservation: a quotation mark that is not closed makes one cell of many rows, which are then nobody's."""
    with pytest.raises(ContactSourceError, match=rf"contacts\.csv, line {line}: .*quotation mark") as caught:
        rows_of(write(content))
    assert caught.value.line == line


@pytest.mark.parametrize(
    "cell",
    [
        '"12 Long Road\nHarare, 0242 700 001"',
        '"a\nb,c\nd"',
        '"She said ""no""\nand left"',
        '"Samora Machel\n2026-01-02, 263770000009, noon"',
        '5" pipe',
        '"closed"',
    ],
)
def test_cells_that_may_have_line_breaks(write: Callable[..., Path], cell: str) -> None:
    """A quoted cell goes on over lines, as addresses do; its lines are not rows of their own."""
    rows = rows_of(write(f"phone,note\n263770000001,{cell}\n263770000002,last\n"))
    assert [value for _, value in rows] == ["263770000001", "263770000002"]


def test_people_behind_an_open_quotation_mark_stay_suppressed(write: Callable[..., Path]) -> None:
    """A list of people who opted out that cannot be read as meant is refused: nobody on it may be texted."""
    path = write('phone,note\n263770000001,"asked by mail\n263770000002,phoned\n263770000003,wrote\n')
    with pytest.raises(ContactSourceError, match="quotation mark"):
        list(load_suppression(path, Normaliser()))


def test_short_rows_and_rows_without_a_number(write: Callable[..., Path]) -> None:
    """A row whose phone cell is missing or empty is a row, to be INVALID; its missing cells are missing fields."""
    path = write("name,phone,city\nA\nB,,\nC,0770000001,X,more\n")
    assert rows_of(path) == [(2, None), (3, ""), (4, "0770000001")]
    assert fields_of(path) == [
        {"name": "A"},
        {"name": "B", "phone": "", "city": ""},
        {"name": "C", "phone": "0770000001", "city": "X"},
    ]


def test_a_table_without_header(write: Callable[..., Path]) -> None:
    """The first row is a contact when a cell of it looks like a number, and tells the column."""
    path = write("Ann,0770000001\nBen,0770000002\n")
    assert rows_of(path) == [(1, "0770000001"), (2, "0770000002")]
    assert fields_of(path) == []
    assert rows_of(write("2.63E+11\n0770000002\n")) == [(1, "2.63E+11"), (2, "0770000002")]


def test_a_named_column(write: Callable[..., Path]) -> None:
    """The caller's column wins over the well-known ones, by its exact name or nearly."""
    path = write("phone,Work Line\n1,0770000001\n")
    assert rows_of(path, column="Work Line") == [(2, "0770000001")]
    assert rows_of(path, column="work_line") == [(2, "0770000001")]


@pytest.mark.parametrize(
    ("content", "column", "words"),
    [
        ("phone,city\n1,2\n", "mobile", r"no column 'mobile': its first row is 'phone', 'city'"),
        ("0770000001,city\n", "mobile", r"its first row is \(a number\), 'city'"),
        ("Who,Where\nA,B\n", None, "Cannot tell which column .* 'Who', 'Where'.* can be named"),
    ],
)
def test_a_column_that_cannot_be_told(
    write: Callable[..., Path], content: str, column: str | None, words: str
) -> None:
    """The error lists the columns there are, and no number."""
    with pytest.raises(ContactSourceError, match=words) as caught:
        rows_of(write(content), column=column)
    assert caught.value.line == 1
    assert "0770000001" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("name", ["people.csv", "people.txt"])
def test_encodings(write: Callable[..., Path], encoding: str, name: str) -> None:
    """What Excel, Notepad and everybody else write is read alike."""
    head = "phone,näme\n" if name.endswith("csv") else "# é\n"
    path = write(head + "0770000001\n077\u00a00000002\n", name, encoding=encoding)
    assert rows_of(path) == [(2, "0770000001"), (3, "077\u00a00000002")]


def test_utf_16_of_either_order(write: Callable[..., Path]) -> None:
    """The mark tells the order of bytes."""
    text = "phone\n0770000001\n"
    for mark, codec in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        assert rows_of(write(mark + text.encode(codec))) == [(2, "0770000001")]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=30,
    deadline=None,
)
@given(
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9), max_size=40
    ),
    st.integers(1, 200),
)
def test_any_cells_come_back_as_written(
    write: Callable[..., Path], encoding: str, cells: list[str], block: int
) -> None:
    """Blocks of any size, torn characters, quotes and line breaks in cells: what csv wrote is what is read."""
    table = io.StringIO()
    writer = csv.writer(table, quoting=csv.QUOTE_ALL)
    writer.writerows([["phone", "note"], *(["1", cell] for cell in cells)])
    path = write(table.getvalue(), encoding=encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_BLOCK", block)
        assert [row["note"] for row in fields_of(path)] == cells


def test_a_late_character_settles_the_encoding(write: Callable[..., Path]) -> None:
    """The whole file is looked at, so that a name on the last line does not stop a run half-way."""
    path = write(b"phone,name\n" + b"0770000001,A\n" * 50_000 + b"0770000002,Ren\xe9\n")
    assert fields_of(path)[-1] == {"phone": "0770000002", "name": "René"}


@pytest.mark.parametrize(
    ("content", "words", "line"),
    [
        (b"phone\n0770000001\n\x00\n", "holds a NUL", 3),
        ("phone\n0770000001\n".encode("utf-16-le"), "holds a NUL", 1),
        (b"phone\n1,\x81\n", "neither UTF-8 nor Windows-1252", 2),
        (b"\xef\xbb\xbfphone\n1\n\xe9\n", "neither UTF-8 nor Windows-1252", 3),
        (codecs.BOM_UTF16_LE + "phone\n1".encode("utf-16-le") + b"\n", "neither UTF-8 nor Windows-1252", 2),
        (b'phone,note\n1,"' + b"x" * 140_000, "is not CSV", None),
    ],
)
def test_what_is_no_text_is_named_with_its_line(
    write: Callable[..., Path], content: bytes, words: str, line: int | None
) -> None:
    """The line is given, and what to do about it."""
    with pytest.raises(ContactSourceError, match=words) as caught:
        rows_of(write(content))
    assert caught.value.line == line or line is None
    assert str(caught.value.line) in str(caught.value)


@pytest.mark.parametrize("suffix", ["csv", "txt"])
@pytest.mark.parametrize("content", [b"", b"\n\n", codecs.BOM_UTF8])
def test_an_empty_file_has_no_rows(write: Callable[..., Path], suffix: str, content: bytes) -> None:
    """That is not an error here."""
    assert rows_of(write(content, f"empty.{suffix}")) == []


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each error names the file, not its folder, and the next step."""
    (tmp_path / "folder.csv").mkdir()
    for name, words in (
        ("list.pdf", "list.pdf: contacts come from .csv, .txt, .xlsx"),
        ("missing.csv", "missing.csv does not exist: check the path"),
        ("folder.csv", "folder.csv is a directory"),
    ):
        with pytest.raises(ContactSourceError, match=words) as caught:
            rows_of(tmp_path / name)
        assert str(tmp_path) not in str(caught.value)
    with pytest.raises(ContactSourceError, match="has no columns"):
        rows_of(tmp_path / "list.txt", column="phone")
    path = tmp_path / "locked.csv"
    path.write_text("phone\n1\n")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ContactSourceError, match=r"Cannot read locked.csv: Permission denied. Check"):
        rows_of(path)


def test_a_workbook(workbook: Workbook) -> None:
    """The first sheet, its own row numbers, whole numbers without fraction, empty rows passed over."""
    path = workbook(
        [
            ["Name", "Mobile", "Age"],
            ["A", 263770000001, 7],
            [None, None, None],
            ["B", "0770 000 002", 1.5],
            ["C"],
        ],
        first_row=3,
    )
    assert rows_of(path) == [(4, 263770000001.0), (6, "0770 000 002"), (7, "")]
    assert fields_of(path)[:2] == [
        {"Name": "A", "Mobile": "263770000001", "Age": "7"},
        {"Name": "B", "Mobile": "0770 000 002", "Age": "1.5"},
    ]


def test_a_workbook_without_header_and_an_empty_one(workbook: Workbook) -> None:
    """As for .csv."""
    assert rows_of(workbook([[263770000001], [263770000002]])) == [(1, 263770000001.0), (2, 263770000002.0)]
    assert rows_of(workbook([], name="empty.xlsx")) == []


def test_a_damaged_workbook(tmp_path: Path) -> None:
    """It is named, with what to do."""
    path = tmp_path / "broken.xlsx"
    path.write_bytes(b"not a workbook")
    with pytest.raises(ContactSourceError, match=r"broken.xlsx is not a workbook .* save it again"):
        rows_of(path)


def test_workbooks_need_an_extra(workbook: Workbook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the error is the command that installs it."""
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(ContactSourceError, match=r"pip install 'smspop-async\[cli\]'"):
        rows_of(workbook([["phone"]]))


def test_dates_and_truths_become_text() -> None:
    """A merge field shows a date as ISO 8601 and anything else as Python does."""
    assert as_text(dt.date(2026, 1, 2)) == "2026-01-02"
    assert as_text(dt.time(3, 4)) == "03:04:00"
    assert as_text(True) == "True"
    assert as_text(2.5) == "2.5"


def test_a_long_file_streams(write: Callable[..., Path]) -> None:
    """Memory does not grow with the file: a slab and a block are all that is held."""
    path = write(b"phone,name\n" + b"0770000001,Ann\n" * 200_000)
    tracemalloc.start()
    try:
        rows = sum(len(slab) for slab in read_slabs(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows == 200_000
    assert peak < 1_500_000


async def test_files_are_read_in_a_thread(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a file is touched on the event loop, and closing closes it."""
    threads: set[object] = set()
    original = sources._file_slabs

    def watched(*args: object, **kwargs: object) -> object:
        slabs = original(*args, **kwargs)  # type: ignore[arg-type]
        try:
            for slab in slabs:
                threads.add(threading.current_thread())
                yield slab
        finally:
            threads.add("closed")
            slabs.close()  # type: ignore[attr-defined]

    monkeypatch.setattr(sources, "_file_slabs", watched)
    rows = open_rows(write("phone\n" + "0770000001\n" * 10), size=4)
    assert rows.finite
    first = await rows.next_slab()
    assert first is not None
    assert first.lines == [2, 3, 4, 5]
    assert threading.current_thread() not in threads
    await rows.aclose()
    await rows.aclose()
    assert "closed" in threads
    assert await rows.next_slab() is None


async def test_a_whole_file_through_the_loop(write: Callable[..., Path]) -> None:
    """Slabs follow one another to the end, and the end stays the end."""
    rows = open_rows(write("phone\n" + "0770000001\n" * 10), size=4)
    sizes = []
    while slab := await rows.next_slab():
        sizes.append(len(slab))
    assert sizes == [4, 4, 2]
    assert await rows.next_slab() is None
    await rows.aclose()


async def test_rows_before_a_fault_come_first(write: Callable[..., Path]) -> None:
    """The rows above a broken line are handed on; then the error is raised, each time it is asked."""
    rows = open_rows(write(b'phone,note\n1,a\n2,b\n3,"' + b"x" * 140_000), size=10)
    slab = await rows.next_slab()
    assert slab is not None
    assert slab.values == ["1", "2"]
    for _ in range(2):
        with pytest.raises(ContactSourceError, match="is not CSV"):
            await rows.next_slab()
    await rows.aclose()


async def test_a_slab_read_while_its_reader_was_cancelled_is_kept(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither kind of cancellation loses rows: the next call has them."""
    entered, resume = threading.Event(), threading.Event()
    original = sources._Columns.slab

    def slow(columns: sources._Columns) -> object:
        entered.set()
        assert resume.wait(10)
        return original(columns)

    monkeypatch.setattr(sources._Columns, "slab", slow)
    rows = open_rows(write("phone\n1\n2\n3\n"), size=2)
    task = asyncio.ensure_future(rows.next_slab())
    await asyncio.to_thread(entered.wait, 10)
    task.cancel()
    resume.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    values: list[object] = []
    while slab := await rows.next_slab():
        values += slab.values
    assert values == ["1", "2", "3"]
    assert rows.taken() is None
    await rows.aclose()


def test_a_reading_thread_does_not_read_twice(write: Callable[..., Path]) -> None:
    """A thread that waited for another finds its slab, and reads no further."""
    rows = open_rows(write("phone\n1\n2\n3\n"), size=2)
    rows._read()  # type: ignore[attr-defined]
    rows._read()  # type: ignore[attr-defined]
    taken = rows.taken()
    assert taken is not None
    assert taken.values == ["1", "2"]
