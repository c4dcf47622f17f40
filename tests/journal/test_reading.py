"""What is read from a journal: every row once, in input order, in memory that does not grow."""

import gc
import sqlite3
import tracemalloc
import weakref
from collections import Counter
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journal.byhand import NOW, TOKEN, begin, chunk, claim, in_memory, send_plan, sent, settle
from rawserver import fake_numbers
from smspop_async import Status, Summary
from smspop_async.api.columns import StatusColumn
from smspop_async.journal import packing, reading, statements, swaps
from smspop_async.journal.base import (
    ChunkState,
    LineRun,
    PlannedChunk,
    RejectedRow,
    SendState,
    StoredRows,
    Verdict,
)
from smspop_async.journal.schema import chunk_id

REJECTED = (Status.INVALID, Status.DUPLICATE, Status.SUPPRESSED)


@pytest.fixture
def journal():
    with closing(in_memory()) as connection:
        yield connection


def flat(slabs: list[StoredRows]) -> list[tuple]:
    """Row by row: position, number, status, detail, line, and whether it waits."""
    return [
        (
            slab.first + at,
            number,
            *slab.others.get(at, (slab.status, slab.detail)),
            None if slab.line is None else slab.line + at,
            slab.waiting,
        )
        for slab in slabs
        for at, number in enumerate(slab.numbers)
    ]


def write_down(journal: sqlite3.Connection, send: int, groups: dict[int, list[int]], total: int, **words):
    """Plan a chunk for each group of rows."""
    planned = [chunk(seq, rows) for seq, rows in sorted(groups.items())]
    statements.plan(
        journal, send=send, chunks=planned, **{"rejected": [], "lines": [], "total": total, **words}
    )


# Input order.


@st.composite
def sends(draw):
    """Where each row of a send is: in which chunk, left out, or nowhere; the fate of each chunk; and the lines."""
    places = draw(st.lists(st.sampled_from(["1", "2", "3", "4", "out", "lost"]), min_size=1, max_size=60))
    groups: dict[int, list[int]] = {}
    for row, place in enumerate(places):
        if place.isdigit():
            groups.setdefault(int(place), []).append(row)
    fates = {}
    for seq, rows in groups.items():
        fate = draw(st.sampled_from(["planned", "again", "submitting", "done", "bare", "failed", "unknown"]))
        at = st.integers(0, len(rows) - 1)
        others = dict(
            sorted(draw(st.dictionaries(at, st.sampled_from([Status.FAILED, Status.UNKNOWN]))).items())
        )
        details = draw(st.dictionaries(at, st.text("abc", min_size=1, max_size=3)))
        fates[seq] = fate, others, details
    steps = draw(
        st.dictionaries(st.integers(0, len(places)), st.one_of(st.none(), st.integers(1, 99)), max_size=5)
    )
    return places, groups, fates, steps


def expect(places, groups, fates, steps):
    """The rows as they were dealt out, worked out one by one."""
    line, rows = None, []
    for row, place in enumerate(places):
        line = steps[row] if row in steps else None if line is None else line + 1
        if place == "out":
            rows.append((row, f"junk {row}", REJECTED[row % 3], f"why {row % 2}", line, False))
        elif place == "lost":
            rows.append((row, "", Status.NOT_SUBMITTED, reading._LOST, line, False))
        else:
            fate, others, details = fates[int(place)]
            at = groups[int(place)].index(row)
            status, detail = {
                "planned": (Status.NOT_SUBMITTED, ""),
                "again": (Status.REJECTED, "no credits"),
                "submitting": (Status.UNKNOWN, ""),
                "done": (others.get(at, Status.SENT), details.get(at, "")),
                "bare": (Status.ACCEPTED, "found"),
                "failed": (Status.REJECTED, "refused"),
                "unknown": (Status.UNKNOWN, "hung up"),
            }[fate]
            number = fake_numbers(1, row)[0]
            rows.append((row, number, status, detail, line, fate in ("planned", "again")))
    return rows


def play(journal, send, groups, fates):
    for seq, (fate, others, details) in fates.items():
        if fate == "planned":
            continue
        claim(journal, send, seq)
        count = len(groups[seq])
        verdicts = {
            "done": sent(count, others, details=details, detail="not theirs"),
            "bare": Verdict(state=ChunkState.DONE, status=Status.ACCEPTED, detail="found"),
            "failed": Verdict(state=ChunkState.FAILED, status=Status.REJECTED, detail="refused"),
            "unknown": Verdict(state=ChunkState.UNKNOWN, status=Status.UNKNOWN, detail="hung up"),
        }
        if fate == "again":
            at = chunk_id(send, seq)
            released = {"token": TOKEN, "now": NOW, "status": Status.REJECTED, "words": "no credits"}
            swaps.releasing(chunk=at, **released)(journal)
        elif fate != "submitting":
            settle(journal, send, seq, verdicts[fate])


@settings(max_examples=250, deadline=None)
@given(sends(), st.sampled_from([1, 3, 2_000]))
def test_every_row_comes_back_in_input_order(dealt, at_once):
    """Interleaved chunks, rows left out between, rows lost, lines with steps: each row once, in its place, as it is."""
    places, groups, fates, steps = dealt
    with closing(in_memory()) as journal:
        other = begin(journal, "bbbbbbbbbb")
        write_down(journal, other, {1: [0, 1]}, 2, lines=[LineRun(row=0, line=4)])  # must not be mixed in
        send = begin(journal)
        left_out = [
            RejectedRow(row=row, status=REJECTED[row % 3], shown=f"junk {row}", detail=f"why {row % 2}")
            for row, place in enumerate(places)
            if place == "out"
        ]
        lines = [LineRun(row=row, line=line) for row, line in steps.items()]
        write_down(journal, send, groups, len(places), rejected=left_out, lines=lines)
        play(journal, send, groups, fates)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "_AT_ONCE", at_once)
            slabs = list(reading.read_rows(journal, send))
        expected = expect(*dealt)
        assert flat(slabs) == expected
        assert all(1 <= len(slab.numbers) <= at_once for slab in slabs)
        counted = Counter(status for _, _, status, detail, _, _ in expected if detail != reading._LOST)
        assert reading.count_statuses(journal, send) == counted


def test_a_piece_is_never_longer_than_two_thousand_rows(journal):
    """A chunk of fifty thousand is cut, and its exceptions stay with their rows."""
    send = begin(journal)
    write_down(journal, send, {1: range(50_000)}, 50_000)
    claim(journal, send, 1)
    settle(journal, send, 1, sent(50_000, {0: Status.FAILED, 1_999: Status.FAILED, 49_999: Status.FAILED}))
    slabs = list(reading.read_rows(journal, send))
    assert [len(slab.numbers) for slab in slabs] == [2_000] * 25
    assert [row for row, _, status, *_ in flat(slabs) if status is Status.FAILED] == [0, 1_999, 49_999]


def test_rows_that_were_lost_are_in_pieces_too(journal):
    """A million rows that were read and not written down are not a list of a million."""
    send = begin(journal)
    write_down(journal, send, {1: [500_000]}, 1_000_000)
    slabs = list(reading.read_rows(journal, send))
    assert max(len(slab.numbers) for slab in slabs) == 2_000
    assert sum(len(slab.numbers) for slab in slabs) == 1_000_000
    assert [slab.waiting for slab in slabs if slab.detail != reading._LOST] == [True]


def test_a_send_without_a_row_has_no_row(journal):
    """And a send of which all was lost has nothing else."""
    send = begin(journal)
    assert list(reading.read_rows(journal, send)) == []
    write_down(journal, send, {}, 3)
    assert [row[3] for row in flat(list(reading.read_rows(journal, send)))] == [reading._LOST] * 3


def test_contacts_that_are_in_other_chunks_now_are_read_there(journal):
    """A chunk that was halved is read as its halves; a second try as the second try."""
    send = begin(journal)
    write_down(journal, send, {1: [0, 1, 2, 3]}, 4)
    claim(journal, send, 1)
    halves = [chunk(2, [0, 1]), chunk(3, [2, 3], status=Status.UNKNOWN, detail="may have been sent")]
    at = chunk_id(send, 1)
    statements.replace(journal, send=send, chunk=at, token=TOKEN, now=NOW, words="halved", by=halves)
    rows = flat(list(reading.read_rows(journal, send)))
    assert [(row[0], row[2], row[3]) for row in rows] == [
        (0, Status.NOT_SUBMITTED, ""),
        (1, Status.NOT_SUBMITTED, ""),
        (2, Status.UNKNOWN, "may have been sent"),
        (3, Status.UNKNOWN, "may have been sent"),
    ]
    assert all(row[5] for row in rows)


# Flat.


def million(journal: sqlite3.Connection) -> int:
    """A send of a million contacts."""
    send = begin(journal)
    numbers = fake_numbers(500)
    for first in range(0, 2_000, 100):
        planned = [
            PlannedChunk(seq=at + 1, rows=range(at * 500, at * 500 + 500), numbers=numbers, text="Hello!")
            for at in range(first, first + 100)
        ]
        statements.plan(journal, send=send, chunks=planned, rejected=[], lines=[], total=1_000_000)
    return send


def test_a_million_rows_are_read_in_the_memory_of_a_few_chunks(journal):
    """Nothing of a piece is kept when the next one is given out."""
    send = million(journal)
    gc.collect()
    tracemalloc.start()
    try:
        rows = sum(len(slab.numbers) for slab in reading.read_rows(journal, send))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 1_000_000
    assert peak < 1_000_000


def test_only_chunks_that_overlap_are_held(monkeypatch, journal):
    """Of many chunks as many are open at once as lie over one another, and no more."""
    alive: weakref.WeakSet[reading._Open] = weakref.WeakSet()
    most = 0

    class Watched(reading._Open):
        def __init__(self, stored) -> None:
            nonlocal most
            super().__init__(stored)
            alive.add(self)
            most = max(most, len(alive))

    monkeypatch.setattr(reading, "_Open", Watched)
    send = begin(journal)
    # Three texts take turns, ten rows of each to a chunk, forty times.
    groups = {
        3 * turn + text + 1: range(30 * turn + text, 30 * turn + 30, 3)
        for turn in range(40)
        for text in range(3)
    }
    write_down(journal, send, groups, 1_200)
    assert [row[0] for row in flat(list(reading.read_rows(journal, send)))] == list(range(1_200))
    assert 3 <= most <= 4


def test_sqlite_does_not_sort_numbers(journal):
    """What SQLite sorts it may copy to a file of its own in the folder for temporary files: ids, never contacts."""
    seen: list[str] = []
    send = begin(journal)
    write_down(journal, send, {1: [0, 2], 2: [1, 3]}, 4)
    journal.set_trace_callback(seen.append)
    list(reading.read_rows(journal, send))
    sorting = [sql for sql in seen if "ORDER BY first_row" in sql]
    assert sorting
    assert not any("numbers" in sql for sql in sorting)


class Counted(dict):
    """Counts how often somebody looks."""

    looks = 0

    def __contains__(self, key) -> bool:
        self.looks += 1
        return super().__contains__(key)

    def __iter__(self):
        for key in super().__iter__():
            self.looks += 1
            yield key


def test_a_chunk_in_many_pieces_is_not_searched_anew_for_each():
    """Fifty thousand rows with a gap after each, every other one failed: no work of fifty thousand squared."""
    places = Counted.fromkeys(range(0, 1_000, 2))
    found = [at for begin_ in range(1_000) for at in reading._within(places, begin_, begin_ + 1)]
    assert found == list(range(0, 1_000, 2))
    assert places.looks == 1_000
    places.looks = 0
    assert list(reading._within(places, 0, 1_000)) == list(range(0, 1_000, 2))
    assert places.looks == 500


# The rest.


def test_chunks_are_read_by_their_state_and_number(journal):
    """So many as are asked for, after the number that is given, of this send only, whole."""
    send, other = begin(journal), begin(journal, "bbbbbbbbbb")
    write_down(journal, send, {seq: [seq - 1] for seq in range(1, 8)}, 7)
    write_down(journal, other, {1: [0]}, 1)
    claim(journal, send, 4, now=NOW + 5)
    settle(journal, send, 4, Verdict(state=ChunkState.UNKNOWN, status=Status.UNKNOWN, detail="hung up"))

    def seqs(state, **where):
        return [each.planned.seq for each in reading.read_chunks(journal, send, state, **where)]

    assert seqs(ChunkState.PLANNED, after=0, limit=3) == [1, 2, 3]
    assert seqs(ChunkState.PLANNED, after=3, limit=9) == [5, 6, 7]
    assert seqs(ChunkState.PLANNED, after=7, limit=9) == []
    (unknown,) = reading.read_chunks(journal, send, ChunkState.UNKNOWN, after=0, limit=9)
    assert unknown.planned == chunk(4, range(3, 4))
    assert unknown.token == TOKEN
    assert unknown.claimed_at == NOW + 5
    assert unknown.verdict.detail == "hung up"
    assert unknown.verdict.campaign is Status.UNKNOWN
    assert (reading.last_seq(journal, send), reading.last_seq(journal, other)) == (7, 1)
    assert reading.last_seq(journal, other + 1) == 0
    assert reading.last_event(journal, send) == NOW + 5
    assert reading.last_event(journal, other) == 0.0


def test_few_large_chunks_are_read_at_once(journal):
    """Flat: so many contacts, however many are in a chunk; and one chunk at least, or nobody would come to the next."""
    send = begin(journal)
    large = 20_000
    write_down(journal, send, {seq: range((seq - 1) * large, seq * large) for seq in range(1, 5)}, 4 * large)
    read = [[each.planned.seq for each in reading.read_chunks(journal, send, ChunkState.PLANNED, after=after, limit=9)]
            for after in (0, 2, 4)]  # fmt: skip
    assert read == [[1, 2], [3, 4], []]


def test_a_whole_chunk_comes_back(journal):
    """Statuses, explanations and sums of a campaign are as they were settled."""
    send = begin(journal)
    write_down(journal, send, {1: [0, 2, 5]}, 6)
    claim(journal, send, 1)
    verdict = sent(3, {1: Status.FAILED}, details={1: "no credit"}, summary=Summary(sent=2, failed=1))
    settle(journal, send, 1, verdict)
    (back,) = reading.read_chunks(journal, send, ChunkState.DONE, after=0, limit=1)
    assert list(back.planned.rows) == [0, 2, 5]
    assert back.verdict == verdict
    assert isinstance(back.verdict.statuses, StatusColumn)
    assert back.verdict.campaign is Status.ACCEPTED


def test_sends_come_back_with_what_stands_where(journal):
    """In the order of their beginnings, with their chunks and contacts counted by state."""
    first = begin(journal, name="One", settings={"rate_limit": None, "max_concurrency": 4})
    second = begin(journal, "bbbbbbbbbb", name="Two")
    write_down(journal, first, {1: [0, 1], 2: [2], 3: [3, 4, 5]}, 9)
    claim(journal, first, 2)
    statements.finish(journal, send=second, words="It was cancelled.", now=NOW)
    (one, record), (two, empty) = reading.read_sends(journal)
    assert (one, two) == (first, second)
    assert record.run == "aaaaaaaaaa"
    assert record.settings == {"rate_limit": None, "max_concurrency": 4}
    assert record.rows == 9
    assert record.created_at == NOW
    assert record.chunks == {ChunkState.PLANNED: 2, ChunkState.SUBMITTING: 1}
    assert record.contacts == {ChunkState.PLANNED: 5, ChunkState.SUBMITTING: 1}
    assert not record.finished
    assert (empty.name, empty.note, empty.finished) == ("Two", "It was cancelled.", True)


@pytest.mark.parametrize(
    ("state", "finished"),
    [("planned", False), ("submitting", False), ("unknown", False), ("done", True), ("failed", True)],
)
def test_a_send_is_finished_when_nothing_waits(journal, state, finished):
    """What is planned, under way or unknown waits; what is decided does not."""
    send = begin(journal)
    write_down(journal, send, {1: [0]}, 1)
    journal.execute("UPDATE chunk SET state = ?, changed_at = 0", (state,))
    assert reading.read_sends(journal)[0][1].finished is finished
    statements.mark(journal, send=send, state=SendState.ABANDONED, now=NOW)
    assert reading.read_sends(journal)[0][1].finished


def test_campaigns_are_those_that_were_submitted(journal):
    """Planned, under way and replaced ones are none, and neither are those of a send that was given up."""
    send = begin(journal)
    write_down(journal, send, {seq: [seq - 1] for seq in range(1, 7)}, 6)
    for seq in (2, 3, 4, 5):
        claim(journal, send, seq)
    settle(journal, send, 2, sent(1, summary=Summary(sent=1, failed=0)))
    refused = Verdict(state=ChunkState.FAILED, status=Status.REJECTED, detail="no")
    settle(journal, send, 3, refused)
    # The second try of what may have been sent was refused: the campaign is REJECTED, its contact is not.
    settle(journal, send, 4, Verdict(state=ChunkState.FAILED, status=Status.UNKNOWN, detail="twice"))
    found = [(seq, n, v.campaign, v.status, v.detail) for seq, n, v in reading.read_decided(journal, send)]
    assert found == [
        (2, 1, Status.ACCEPTED, Status.ACCEPTED, ""),
        (3, 1, Status.REJECTED, Status.REJECTED, "no"),
        (4, 1, Status.REJECTED, Status.UNKNOWN, "twice"),
    ]
    given_up = begin(journal, "bbbbbbbbbb")
    write_down(journal, given_up, {1: [0]}, 1)
    statements.mark(journal, send=given_up, state=SendState.ABANDONED, now=NOW, note="the list broke off")
    assert list(reading.read_decided(journal, given_up)) == []
    (row,) = flat(list(reading.read_rows(journal, given_up)))
    assert row[2:4] == (Status.NOT_SUBMITTED, "the list broke off")
    assert row[5] is False


def test_contradictions_come_back_in_their_order(journal):
    """Each with the number of its campaign."""
    send = begin(journal)
    write_down(journal, send, {1: [0], 2: [1], 3: [2]}, 3)
    for seq, notes in ((2, ("a", "b")), (1, ("c",)), (3, ())):
        claim(journal, send, seq)
        settle(journal, send, seq, sent(1, discrepancies=notes))
    assert list(reading.read_discrepancies(journal, send)) == [(2, "a"), (2, "b"), (1, "c")]


def test_words_that_are_no_unicode_come_back_everywhere(journal):
    """Wherever a text is kept, half a surrogate pair in it neither ends the writing nor is changed."""
    odd = "\ud800 \0 \udfff"
    send = begin(journal, name=odd, sender_id=odd, message=odd, base_url=odd)
    left_out = [RejectedRow(row=1, status=Status.INVALID, shown=odd, detail=odd)]
    planned = [chunk(1, [0], text=odd), chunk(2, [2], text=odd), chunk(3, [3], text=odd, detail=odd)]
    statements.plan(journal, send=send, chunks=planned, rejected=left_out, lines=[], total=4)
    for seq in (1, 2, 3):
        claim(journal, send, seq)
    settle(journal, send, 1, sent(1, details={0: odd}, detail=odd, discrepancies=(odd,)))
    release = {"chunk": chunk_id(send, 2), "token": TOKEN, "now": NOW}
    swaps.releasing(**release, status=Status.REJECTED, words=odd)(journal)
    statements.replace(journal, send=send, chunk=chunk_id(send, 3), token=TOKEN, now=NOW, words=odd, by=[])
    statements.finish(journal, send=send, words=odd, now=NOW)
    record = reading.read_sends(journal)[0][1]
    assert (record.name, record.sender_id, record.message, record.base_url, record.note) == (odd,) * 5
    assert [(row[1], row[3]) for row in flat(list(reading.read_rows(journal, send)))] == [
        (fake_numbers(1, 0)[0], odd),
        (odd, odd),
        (fake_numbers(1, 2)[0], odd),
        ("", reading._LOST),
    ]
    assert [verdict.detail for _, _, verdict in reading.read_decided(journal, send)] == [odd]
    assert list(reading.read_discrepancies(journal, send)) == [(1, odd)]
    (planned_again,) = reading.read_chunks(journal, send, ChunkState.PLANNED, after=0, limit=9)
    assert (planned_again.planned.text, planned_again.verdict.detail) == (odd, odd)


def test_a_text_is_kept_once(journal):
    """However many chunks and rows it explains."""
    send = begin(journal)
    left_out = [
        RejectedRow(row=row, status=Status.INVALID, shown="x", detail="no number") for row in range(10, 20)
    ]
    write_down(journal, send, {seq: [seq] for seq in range(1, 6)}, 20, rejected=left_out)
    assert sorted(journal.execute("SELECT body FROM phrase")) == [("Hello!",), ("no number",)]


def test_what_makes_no_sense_is_damage(journal):
    """Columns of different lengths are never read as if they were whole: the wrong people would be meant."""
    send = begin(journal)
    write_down(journal, send, {1: [0, 1]}, 2)
    journal.execute("UPDATE chunk_contacts SET numbers = ?", (packing.pack_numbers(fake_numbers(1)),))
    with pytest.raises(ValueError, match="one length"):
        reading.read_chunks(journal, send, ChunkState.PLANNED, after=0, limit=1)


def test_a_plan_never_shows_its_text():
    """A repr may be logged: neither the message nor a number is in one (law 7)."""
    values = [
        send_plan(message="a secret"),
        chunk(1, [7], text="a secret"),
        RejectedRow(row=1, status=Status.INVALID, shown=fake_numbers(1, 7)[0], detail="a secret"),
        StoredRows(
            first=0, numbers=fake_numbers(1, 7), status=Status.SENT, detail="a secret", others={}, line=None,
            waiting=False,
        ),
        sent(1, details={0: "a secret"}, detail="a secret"),
    ]  # fmt: skip
    shown = repr(values)
    assert "a secret" not in shown
    assert fake_numbers(1, 7)[0] not in shown
