"""The push chunker: every row in exactly one chunk, rows of one text together, little held back."""

from hypothesis import example, given
from hypothesis import strategies as st

from rawserver import fake_number
from smspop_async.batch import chunks as chunking
from smspop_async.batch.chunks import Chunk, Chunker
from smspop_async.batch.naming import CampaignNames, new_run
from smspop_async.contacts.number_space import Lines
from smspop_async.journal.packing import pack_numbers, unpack_numbers


@given(
    size=st.integers(1, 7),
    feeds=st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 20)), max_size=30),
)
def test_every_row_lands_in_exactly_one_chunk_of_its_text(size, feeds):
    """Chunks hold what was fed, no more than `size` each, and never mix texts."""
    chunker, chunks, fed, row = Chunker(size), [], {}, 0
    for text, count in feeds:
        rows = list(range(row, row + count))
        row += count
        fed.update(dict.fromkeys(rows, text))
        chunks += chunker.feed(text, rows, [fake_number(n) for n in rows])
    chunks += chunker.flush()
    assert sorted(at for chunk in chunks for at in chunk.rows) == sorted(fed)
    for chunk in chunks:
        assert 1 <= len(chunk) <= size
        assert {fed[at] for at in chunk.rows} == {chunk.text}
        assert [fake_number(at) for at in chunk.rows] == list(chunk.numbers)
    assert not list(chunker.flush())


def test_one_text_keeps_the_order_of_the_input():
    """Without a template, chunks are consecutive stretches of the list."""
    chunker = Chunker(3)
    chunks = [*chunker.feed("m", range(5), list("abcde")), *chunker.feed("m", range(5, 8), list("fgh"))]
    chunks += chunker.flush()
    assert [list(chunk.rows) for chunk in chunks] == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_rows_of_very_many_texts_do_not_pile_up():
    """A template that fills differently for everybody holds back a bounded number of rows, oldest out first."""
    chunker, given_out = Chunker(10), []
    for row in range(5_000):
        given_out += chunker.feed(f"text {row}", [row], [fake_number(row)])
        assert row + 1 - len(given_out) <= 640
    assert [chunk.rows[0] for chunk in given_out] == list(range(len(given_out)))


def test_texts_of_their_own_do_not_pile_up_either(monkeypatch):
    """Each of them is a group by itself, so that large chunks would hold as many as there are rows."""
    monkeypatch.setattr(chunking, "_TEXTS_HELD", 10)
    chunker, given_out = Chunker(50_000), []
    for row in range(30):
        given_out += chunker.feed(f"text {row}", [row], [fake_number(row)])
        assert row + 1 - len(given_out) <= 10
    assert [chunk.rows[0] for chunk in given_out] == list(range(20))


@given(st.integers(2, 50))
def test_halves_are_the_whole(count):
    """Cutting a chunk in two loses nobody and leaves neither side empty."""
    chunk = Chunk(rows=range(count), numbers=[fake_number(n) for n in range(count)], text="m")
    first, second = chunk.halves()
    assert [*first.rows, *second.rows] == list(range(count))
    assert [*first.numbers, *second.numbers] == list(chunk.numbers)
    assert min(len(first), len(second)) >= 1


@given(label=st.text(min_size=1, max_size=300), seq=st.integers(1, 10**7))
def test_a_name_fits_and_ends_in_its_token(label, seq):
    """191 characters at most, the token whole, whichever campaign was named before."""
    names = CampaignNames(label, "abcdefghij")
    for number in (seq, 1, seq, 10**4):
        name, token = names.of(number)
        assert token == f"[abcdefghij-{number:04}]"
        assert len(name) <= 191
        assert name.endswith(" " + token)
        assert label.startswith(name.removesuffix(" " + token))


def test_a_run_token_is_ten_base32_characters():
    """The choice is passed in."""
    assert new_run(lambda letters: letters[-1]) == "7" * 10


@example(size=40, slabs=[(12, 2, True), (11, 2, True)])
@example(size=40, slabs=[(9, 2, True), (10, 2, True)])
@given(
    size=st.integers(1, 40),
    slabs=st.lists(st.tuples(st.integers(9, 15), st.integers(1, 30), st.booleans()), min_size=1, max_size=12),
)
def test_packed_numbers_are_those_of_their_chunk(size, slabs):
    """However slabs of any lengths are put together and cut, what is packed of a chunk reads as its numbers."""
    chunker, chunks, row = Chunker(size), [], 0
    for digits, count, at_hand in slabs:
        numbers = [f"{10 ** (digits - 1) + row + at}" for at in range(count)]
        lines = Lines("".join(f"{number}\n" for number in numbers), count)
        chunks += chunker.feed("m", range(row, row + count), numbers, lines.packed if at_hand else None)
        row += count
    chunks += chunker.flush()
    assert sum(map(len, chunks)) == row
    for chunk in chunks:
        assert unpack_numbers(pack_numbers(chunk.numbers, chunk.packed)) == list(chunk.numbers)
