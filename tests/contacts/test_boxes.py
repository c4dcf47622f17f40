"""Slabs recognised by their columns, against the regular expression and the full parser."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import SUPPORTED_REGIONS

from smspop_async.contacts import boxes as module
from smspop_async.contacts import digit_language
from smspop_async.contacts import numbers as numbers_module
from smspop_async.contacts.boxes import Boxes, boxes_by_width
from smspop_async.contacts.digit_language import read_pattern
from smspop_async.contacts.number_space import Lines
from smspop_async.contacts.numbers import InvalidNumber, Normaliser
from smspop_async.contacts.plan import Plan, plan_for

ZIMBABWE = Normaliser()
PAIRS = [tens << 4 | ones for tens in range(10) for ones in range(10)]
STRANGE = "0123456789 +-.:/?\n\r\0aAfF\u0660\u0663\uff11\u00b2\ud800"


def plan(region: str) -> Plan:
    found = plan_for(region)
    assert found is not None
    return found


def lines(rows: list[str]) -> Lines:
    return Lines("".join(row + "\n" for row in rows), len(rows))


def member(rng: random.Random, those: Boxes) -> str:
    """A line that is in one of the boxes, drawn from the compiled form."""
    pairs = [PAIRS] * (those.width // 2)
    if not those.width & 1:
        pairs[0] = PAIRS[:10]
    for column, allowed in those.agreed:
        pairs[column] = list(allowed)
    vote = rng.choice([vote for vote in range(8) if all(max(t) >> vote for _, t in those.voted)] or [0])
    for column, table in those.voted:
        pairs[column] = [pair for pair in PAIRS if table[pair] >> vote & 1]
        if not pairs[column]:
            return member(rng, those)
    return bytes(map(rng.choice, pairs)).hex()[1 - those.width :]


def parsed(region: str, value: str) -> str | None:
    try:
        return Normaliser(region).parse(value)
    except InvalidNumber:
        return None


@pytest.mark.parametrize("first", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
def test_whatever_is_in_boxes_is_a_number(first: str) -> None:
    """In every region, members of a box are numbers to the full parser, and so are neighbours that it holds."""
    rng = random.Random(f"boxes {first}")
    for region in sorted(region for region in SUPPORTED_REGIONS if region[0] == first):
        found = plan_for(region)
        if found is None:
            continue
        for those, code in [
            *((those, "") for those in found.boxes.values()),
            *((those, found.calling_code) for those in found.boxes_at_home.values()),
        ]:
            rows = [member(rng, those) for _ in range(6)]
            assert those.hold(lines(rows))
            for row in rows:
                at = rng.randrange(len(row))
                near = row[:at] + rng.choice("0123456789") + row[at + 1 :]
                assert parsed(region, row) == code + row
                if those.hold(lines([near, row])):
                    assert parsed(region, near) == code + near


def test_all_numbers_of_a_small_plan_that_the_boxes_hold() -> None:
    """Boxes hold exactly the strings of their pattern where it has no more than eight."""
    pattern = read_pattern("1[2-4](?:5|67?)|9\\d|23(?:0[1-3]|[45]6)")
    found = boxes_by_width("77", [pattern])
    held = {
        f"{number:0{length}}"
        for length in range(1, 6)
        for number in range(10**length)
        if length + 3 in found and found[length + 3].hold(lines([f"77{number:0{length}}"]))
    }
    assert held == {
        *("125", "135", "145", "126", "136", "146", "1267", "1367", "1467"),
        *(f"9{digit}" for digit in range(10)),
        *("2301", "2302", "2303", "2346", "2356"),
    }
    assert not any(those.hold(lines([f"76{'9' * (width - 3)}"])) for width, those in found.items())


def test_the_largest_boxes_are_taken() -> None:
    """Of more than eight the eight with the most numbers count; the others are left to the regular expression."""
    pattern = "|".join(f"{digit}{digit}\\d" for digit in range(1, 9)) + "|99[0-3]"
    those = boxes_by_width("", [read_pattern(pattern)])[4]
    assert all(those.hold(lines([f"{digit}{digit}5"])) for digit in range(1, 9))
    assert not those.hold(lines(["990"]))


def test_patterns_that_are_too_many_boxes_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bounded number of boxes is made of a pattern."""
    assert 4 in boxes_by_width("", [read_pattern("1[13][13]|[24]22|3[57]\\d")])
    monkeypatch.setattr(module, "EXPANDED", 2)
    assert boxes_by_width("", [read_pattern("1[13][13]|[24]22|3[57]\\d")]) == {}


def test_boxes_that_cannot_be_proven_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof that grows too long is none."""
    assert 4 in boxes_by_width("", [read_pattern("12\\d")])
    monkeypatch.setattr(digit_language, "MAX_STEPS", 0)
    assert boxes_by_width("", [read_pattern("12\\d")]) == {}


def test_guarded_patterns_have_no_boxes() -> None:
    """Where each pattern needs a look-ahead, columns cannot tell, and the regular expression does alone."""
    japan = plan("JP")
    assert not japan.boxes
    assert "(?!" in japan.canonical.pattern


def test_zimbabwe_all_mobile_numbers_are_in_boxes() -> None:
    """Whatever the networks of a list, it is recognised by columns: the four boxes of the mobile pattern are there."""
    those = plan("ZW").boxes[13]
    rows = [
        f"263{head}00001"[:12]
        for head in ("7100000", "7200000", "7310000", "7390000", "7510000", "7790000", "7900000", "7910000")
    ]
    assert all(parsed("ZW", row) for row in rows)
    assert those.hold(lines(rows))


def test_near_misses_at_every_position() -> None:
    """One strange character anywhere, in any row of a slab, is never taken for a digit of a number."""
    rows = [f"26377{tail:07}" for tail in range(1, 5)]
    those = plan("ZW").boxes[13]
    canonical = plan("ZW").canonical
    for at in range(len(rows[0])):
        for char in STRANGE:
            for row in (0, 3):
                changed = rows[row][:at] + char + rows[row][at + 1 :]
                slab = [*rows[:row], changed, *rows[row + 1 :]]
                if those.hold(lines(slab)):
                    assert parsed("ZW", changed) == changed
                    assert canonical.match(lines(slab).text).end() == 4 * 13  # type: ignore[union-attr]
                else:
                    assert parsed("ZW", changed) != changed or char in "+ "
                number = ZIMBABWE.scan(slab).numbers[row]
                assert number is None or number == parsed("ZW", changed)


@given(st.lists(st.text(alphabet="2637\n", min_size=0, max_size=30), min_size=1, max_size=4))
def test_line_breaks_never_make_rows(rows: list[str]) -> None:
    """A slab in boxes has exactly one line a row, however the line breaks lie in it."""
    text = lines(rows)
    for those in plan("ZW").boxes.values():
        if those.hold(text):
            assert text.text.split("\n")[:-1] == rows


KINDS = {
    "one network": lambda rng: lambda: f"26377{rng.randrange(10**7):07}",
    "all networks": lambda rng: lambda: "263" + rng.choice(("71", "731", "751", "77", "78", "790", "242")),
    "two widths": lambda rng: lambda: "263" + rng.choice(("77", "8644", "8688", "80", "2020", "71")),
    "at home": lambda rng: lambda: rng.choice(("77", "71", "78")),
    "trunk": lambda rng: lambda: "0" + rng.choice(("77", "71", "731", "86")),
    "abroad": lambda rng: lambda: "00263" + rng.choice(("77", "71", "731", "86")),
    "plus": lambda rng: lambda: "+263" + rng.choice(("77", "71", "0", "86")),
    "spellings": lambda rng: lambda: rng.choice(("0", "", "+263", "263", "+2630", "00263")) + "77",
}
LENGTHS = {"26380": 10, "2632020": 12, "0": 10, "+": 13, "00": 14, "263": 12}


def filled(rng: random.Random, head: str) -> str:
    """A head with as many random digits as make it a number."""
    if head.startswith(("26386", "086")):
        length = 13 if head[0] == "2" else 11
    else:
        length = next((length for start, length in LENGTHS.items() if head.startswith(start)), 9)
    return head + "".join(rng.choices("0123456789", k=max(0, length - len(head))))


def mutated(rng: random.Random, row: str) -> str:
    """A near miss: another character, one more or one less."""
    at = rng.randrange(len(row))
    put = rng.choice((*"0123456789", *"0123456789", "", "  ", "-", "00", *STRANGE))
    return row[:at] + put + row[at + rng.choice((0, 1, 1)) :]


def test_zimbabwe_200_000_rows_in_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slabs of every kind, pure and with a few near misses, are decided as the full parser decides each row."""
    taken: Counter[str] = Counter()

    def counted(name: str) -> None:
        path = getattr(numbers_module, name)

        def count(*args: object) -> object:
            result = path(*args)
            taken[name] += result is not False and result is not None
            return result

        monkeypatch.setattr(numbers_module, name, count)

    for name in ("_in_boxes", "_not_canonical", "_stepped", "_by_columns", "_plain", "_found"):
        counted(name)
    rng = random.Random("slabs")
    decided = 0
    for turn in range(1000):
        draw = KINDS[rng.choice(list(KINDS))](rng)
        rows = [filled(rng, draw()) for _ in range(200)]
        for at in rng.sample(range(200), rng.choice((0, 0, 1, 2, 7, 60))):
            rows[at] = mutated(rng, rows[at])
        scan = ZIMBABWE.scan(rows)
        assert scan.lines is None or scan.lines.text == "".join(f"{number}\n" for number in scan.numbers)
        assert scan.undecided == [at for at, number in enumerate(scan.numbers) if number is None]
        for row, number in zip(rows, scan.numbers, strict=True):
            decided += number is not None
            if number is not None or turn % 10 == 0:
                full = parsed("ZW", row)
                assert number in (None, full), (row, number, full)
    assert decided > 120_000
    assert min(taken.values()) > 100
    assert len(taken) == 6
