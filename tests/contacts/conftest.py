"""Spellings of phone numbers, right, wrong and in between, from a seed; and workbooks to read them from."""

import random
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from phonenumbers.phonemetadata import PhoneMetadata

TYPES = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)
SEPARATORS = (" ", "-", "  ", "\u00a0", "\u202f", ".", "/", "(", ")", " (", ") ", "\u2011", "\u2013")
EDGES = (
    "",
    "",
    "",
    " ",
    "\u00a0",
    "\ufeff",
    "\u200b",
    "\t",
    "\n",
    "\r\n",
    "\u202a",
    "-",
    "+",
    ".",
    "(",
    "'",
    "\u0663",
)
STRANGE = (*"\n\t,;x+-.E#*~A", "e+", ".0", "\0", "\u0663", "\uff17", "\u00b2", "\u200b")


@cache
def examples(region: str) -> tuple[str, ...]:
    """National numbers of every type that the library gives an example of."""
    metadata = PhoneMetadata.metadata_for_region(region)
    descs = (getattr(metadata, name) for name in TYPES)
    return tuple(desc.example_number for desc in descs if desc is not None and desc.example_number)


def spelling(rng: random.Random, region: str) -> str:
    """One string that may be a number of the region."""
    metadata = PhoneMetadata.metadata_for_region(region)
    code = str(metadata.country_code)
    trunk = metadata.national_prefix or rng.choice("0189")
    abroad = metadata.international_prefix if metadata.international_prefix.isdigit() else "00"
    head = rng.choice(
        (
            *(code, code, "+" + code, trunk, ""),
            *(
                code + trunk,
                "+" + code + trunk,
                abroad + code,
                abroad + code + trunk,
                trunk + trunk,
                code + code,
            ),
            *("00" + code, "+" + abroad + code, "+", abroad, "+27", "27", "44", "1", "++" + code),
            str(rng.randrange(1000)),
        )
    )
    text = head + national(rng, region)
    if rng.random() < 0.4:
        text = separated(rng, text)
    if rng.random() < 0.1:
        text = rng.choice(EDGES) + text + rng.choice(EDGES)
    if rng.random() < 0.1:
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(STRANGE) + text[at:]
    return text


def national(rng: random.Random, region: str) -> str:
    """Digits that begin like a number of the region, as long as one or nearly."""
    known = examples(region)
    if not known or rng.random() < 0.1:
        return "".join(rng.choices("0123456789", k=rng.randrange(1, 14)))
    example = rng.choice(known)
    kept = example[: rng.randrange(len(example) + 1)]
    length = max(len(kept), len(example) + rng.choice((0, 0, 0, 0, 0, 0, -2, -1, 1, 2, 3)))
    return kept + "".join(rng.choices("0123456789", k=length - len(kept)))


def separated(rng: random.Random, text: str) -> str:
    """The text with separators put into it."""
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(SEPARATORS) + text[at:]
    return text


@pytest.fixture(scope="session")
def spellings() -> Callable[[str, int], list[str]]:
    """So many strings for a region, the same in every run."""

    def strings(region: str, count: int) -> list[str]:
        rng = random.Random(f"seed {region}")
        return [spelling(rng, region) for _ in range(count)]

    return strings


@pytest.fixture(scope="session")
def example_numbers() -> Callable[[str], tuple[str, ...]]:
    """National numbers of every type, as the library's metadata gives them."""
    return examples


@pytest.fixture
def workbook(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small .xlsx from rows: a str or number a cell, None for an empty one."""

    def write(rows: list[list[object]], *, name: str = "contacts.xlsx", first_row: int = 1) -> Path:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as archive:
            for part, text in _PARTS.items():
                archive.writestr(part, text)
            archive.writestr("xl/worksheets/sheet1.xml", _sheet(rows, first_row))
        return path

    return write


_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_OOXML = "http://schemas.openxmlformats.org"
_PARTS = {
    "[Content_Types].xml": f"""{_XML}<Types xmlns="{_OOXML}/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Override PartName="/xl/workbook.xml"
 ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>
<Override PartName="/xl/worksheets/sheet1.xml"
 ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>""",
    "_rels/.rels": f"""{_XML}<Relationships xmlns="{_OOXML}/package/2006/relationships"><Relationship Id="r1"
 Type="{_OOXML}/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>""",
    "xl/workbook.xml": f"""{_XML}<workbook xmlns="{_OOXML}/spreadsheetml/2006/main"
 xmlns:r="{_OOXML}/officeDocument/2006/relationships"><sheets>
<sheet name="People" sheetId="1" r:id="r1"/></sheets></workbook>""",
    "xl/_rels/workbook.xml.rels": f"""{_XML}<Relationships xmlns="{_OOXML}/package/2006/relationships">
<Relationship Id="r1" Type="{_OOXML}/officeDocument/2006/relationships/worksheet"
 Target="worksheets/sheet1.xml"/></Relationships>""",
}


def _sheet(rows: list[list[object]], first_row: int) -> str:
    lines = []
    for number, row in enumerate(rows, first_row):
        cells = []
        for column, cell in enumerate(row):
            place = f'r="{"ABCDEFGH"[column]}{number}"'
            if isinstance(cell, str):
                cells.append(f'<c {place} t="inlineStr"><is><t>{cell}</t></is></c>')
            elif cell is not None:
                cells.append(f"<c {place}><v>{cell}</v></c>")
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    return (
        f'{_XML}<worksheet xmlns="{_OOXML}/spreadsheetml/2006/main">'
        f"<sheetData>{''.join(lines)}</sheetData></worksheet>"
    )
