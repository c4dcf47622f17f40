"""Columns as bytes and back; pure.

Numbers are digits and nothing else, so two of them fit a byte. Where all are of one width they have been packed so
already, for finding duplicates, and stand behind the letter f and that width: 6 bytes for a Zimbabwean number. Others
are joined by the letter f and read as hexadecimal: 6.5 bytes. (``zlib`` would make it 6, for forty times the time.) A
check sum stands in front: SQLite has none, and a number that a bad disk has changed would be somebody else's.
"""

import json
import sys
import zlib
from array import array
from collections.abc import Mapping, Sequence
from typing import Final

from smspop_async.api.columns import StatusColumn
from smspop_async.api.models import Status
from smspop_async.contacts.number_space import has_width, unpacked, with_width

_GAP: Final = "f"
_SUM: Final = 4
"""Bytes of a check sum."""
_WORTH_ZIPPING: Final = 256
_CODES: Final[dict[Status, int]] = {
    Status.SENT: 1, Status.FAILED: 2, Status.ACCEPTED: 3, Status.UNKNOWN: 4, Status.REJECTED: 5,
    Status.NOT_SUBMITTED: 6, Status.INVALID: 7, Status.DUPLICATE: 8, Status.SUPPRESSED: 9,
}  # fmt: skip
"""They are on people's disks: never renumber them."""
_STATUSES: Final = {code: status for status, code in _CODES.items()}
_PLACE: Final = 5
"""Bytes of an exception: a position of four, a status of one."""


def pack_numbers(numbers: Sequence[str], rows: bytes | None = None) -> bytes:
    """Write numbers as bytes.

    Args:
        numbers: Digits only, none beginning with 0.
        rows: The same with two digits in a byte and a 0 before an odd number of them, where that is at hand.
    """
    if rows is not None:
        packed = with_width(rows, len(numbers))
    else:
        text = _GAP.join(numbers)
        packed = bytes.fromhex(text + _GAP if len(text) % 2 else text)
    return zlib.crc32(packed).to_bytes(_SUM) + packed


def unpack_numbers(packed: bytes) -> list[str]:
    """Read what `pack_numbers` wrote.

    Raises:
        ValueError: it is something else.
    """
    numbers = packed[_SUM:]
    if not numbers or zlib.crc32(numbers) != int.from_bytes(packed[:_SUM]):
        raise ValueError("the check sum of the numbers is wrong")
    return unpacked(numbers) if has_width(numbers) else numbers.hex().rstrip(_GAP).split(_GAP)


def pack_text(text: str) -> str | bytes:
    """Write a text that need not be Unicode: half a surrogate pair, as it stands in many a cell, is kept as bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def unpack_text(packed: str | bytes) -> str:
    """Read what `pack_text` wrote."""
    return packed if isinstance(packed, str) else packed.decode("utf-8", "surrogatepass")


def pack_rows(rows: Sequence[int]) -> bytes | None:
    """Write ascending positions as bytes; None where they are consecutive, which is what most chunks have."""
    if rows[-1] - rows[0] + 1 == len(rows):
        return None
    runs: list[int] = []  # how many follow one another, and how many are left out before the next
    begin = end = rows[0]
    for row in rows:
        if row != end:
            runs += (end - begin, row - end)
            begin = row
        end = row + 1
    runs.append(end - begin)
    packed = json.dumps(runs, separators=(",", ":")).encode()
    return zlib.compress(packed, 1) if len(packed) > _WORTH_ZIPPING else packed


def unpack_rows(first: int, count: int, packed: bytes | None) -> Sequence[int]:
    """Read what `pack_rows` wrote.

    Args:
        first: The first position.
        count: How many there are.
        packed: The bytes.
    """
    if packed is None:
        return range(first, first + count)
    runs = json.loads(packed if packed.startswith(b"[") else zlib.decompress(packed))
    rows: list[int] = []
    for at in range(0, len(runs), 2):
        rows.extend(range(first, first + runs[at]))
        first += runs[at] + (runs[at + 1] if at + 1 < len(runs) else 0)
    return rows


def pack_others(statuses: StatusColumn) -> bytes | None:
    """Write the exceptions of a column as bytes; None where there are none."""
    if not statuses.others:
        return None
    return _little(array("I", statuses.others)).tobytes() + bytes(
        map(_CODES.__getitem__, statuses.others.values())
    )


def unpack_others(packed: bytes | None) -> dict[int, Status]:
    """Read what `pack_others` wrote."""
    if packed is None:
        return {}
    places = array("I")
    count = len(packed) // _PLACE
    places.frombytes(packed[: count * places.itemsize])
    return dict(
        zip(_little(places), map(_STATUSES.__getitem__, packed[count * places.itemsize :]), strict=True)
    )


def pack_details(details: Mapping[int, str]) -> str | None:
    """Write explanations by position as text; None where there are none."""
    return json.dumps(list(details.items()), separators=(",", ":")) if details else None


def unpack_details(packed: str | None) -> dict[int, str]:
    """Read what `pack_details` wrote."""
    return {} if packed is None else {int(at): words for at, words in json.loads(packed)}


def _little(column: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        column.byteswap()
    return column
