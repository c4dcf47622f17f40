"""The book of a run's campaigns: in the order of submission, made when asked for, small."""

import gc
import pickle
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smspop_async import Status, Summary
from smspop_async.batch.campaigns import CampaignBook, CampaignOutcome
from smspop_async.batch.naming import CampaignNames

RUN = "abcdefghij"
noted = st.lists(
    st.fixed_dictionaries(
        {
            "contacts": st.integers(0, 50_000),
            "status": st.sampled_from(
                [Status.ACCEPTED, Status.REJECTED, Status.UNKNOWN, Status.NOT_SUBMITTED]
            ),
            "summary": st.builds(Summary, sent=st.integers(0, 50_000), failed=st.integers(0, 50_000)),
            "detail": st.sampled_from(["", "the API refused it", "nobody knows"]) | st.text(max_size=10),
        }
    ),
    max_size=25,
)


def expected(seq: int, facts: dict, label: str = "Welcome") -> CampaignOutcome:
    return CampaignOutcome(name=CampaignNames(label, RUN).of(seq)[0], **facts)


def filled(campaigns: list[dict], order: list[int], label: str = "Welcome") -> CampaignBook:
    book = CampaignBook(label=label, run=RUN)
    for at in order:
        note(book, at + 1, campaigns[at])
    return book


def note(book: CampaignBook, seq: int, facts: dict) -> None:
    summary = facts["summary"]
    told = {name: facts[name] for name in ("contacts", "status", "detail")}
    book.note(seq, **told, sent=summary.sent, failed=summary.failed)


@given(campaigns=noted, data=st.data())
def test_book_is_the_list_of_campaigns_in_the_order_of_their_submission(campaigns, data):
    """However the campaigns were settled, the book reads as the list of them by their number in the run."""
    order = data.draw(st.permutations(range(len(campaigns))))
    book, plain = filled(campaigns, order), [expected(at + 1, facts) for at, facts in enumerate(campaigns)]
    assert len(book) == len(plain)
    assert list(book) == plain
    assert list(reversed(book)) == plain[::-1]
    assert book.summary == sum((outcome.summary for outcome in plain), Summary())
    for at in range(-len(plain), len(plain)):
        assert book[at] == plain[at]
    for at in (len(plain), -len(plain) - 1):
        with pytest.raises(IndexError):
            book[at]
    ends = st.none() | st.integers(-30, 30)
    cut = data.draw(st.builds(slice, ends, ends, st.none() | st.integers(-3, 3).filter(bool)))
    assert list(book[cut]) == plain[cut]
    if plain:
        assert plain[-1] in book
        assert book.index(plain[-1]) == plain.index(plain[-1])
        assert book.count(plain[0]) == plain.count(plain[0])


@given(campaigns=noted, data=st.data())
def test_book_may_be_read_while_it_is_written(campaigns, data):
    """What was read once is not what it stays: campaigns noted later find their place among the earlier ones."""
    order = data.draw(st.permutations(range(len(campaigns))))
    book = CampaignBook(label="Welcome", run=RUN)
    for count, at in enumerate(order, 1):
        note(book, at + 1, campaigns[at])
        assert list(book) == [expected(seq + 1, campaigns[seq]) for seq in sorted(order[:count])]


@given(campaigns=noted, data=st.data())
def test_book_pickles(campaigns, data):
    """A report crosses a process boundary with its campaigns, and more can be noted there."""
    order = data.draw(st.permutations(range(len(campaigns))))
    book = filled(campaigns, order)
    twin = pickle.loads(pickle.dumps(book))
    assert list(twin) == list(book)
    assert repr(twin) == repr(book) == f"<{len(campaigns)} campaigns>"
    fact = {"contacts": 1, "status": Status.UNKNOWN, "summary": Summary(), "detail": "nobody knows"}
    note(twin, len(campaigns) + 1, fact)
    assert twin[-1] == expected(len(campaigns) + 1, fact)
    assert len(book) == len(campaigns)


def test_names_are_those_under_which_campaigns_are_found_again():
    """A name ends in its token, beyond the four digits too, and a label too long is cut, never the token."""
    fact = {"contacts": 1, "status": Status.ACCEPTED, "summary": Summary(sent=1), "detail": ""}
    book = CampaignBook(label="L" * 300, run=RUN)
    for seq in (12_345, 7):
        note(book, seq, fact)
    assert book[0].name.endswith(" [abcdefghij-0007]")
    assert book[1].name.endswith(" [abcdefghij-12345]")
    assert {len(outcome.name) for outcome in book} == {191}


def test_repr_shows_no_detail():
    """However many campaigns, the book prints as one short line, without the API's words."""
    book = CampaignBook(label="secret label", run=RUN)
    for seq in range(1, 500):
        book.note(seq, contacts=1, status=Status.REJECTED, detail="secret words")
    assert repr(book) == "<499 campaigns>"


def test_campaigns_cost_less_than_a_hundred_bytes_each():
    """Twenty thousand campaigns noted with the same words are numbers in columns, also after they were read."""
    count, words = 20_000, ["the API", "refused it"]
    book = CampaignBook(label="Welcome", run=RUN)
    gc.collect()
    tracemalloc.start()
    try:
        for seq in range(count, 0, -1):
            detail = " ".join(words)  # equal, and never the same object
            book.note(seq, contacts=500, status=Status.REJECTED, detail=detail, sent=499, failed=1)
        noted_in, _ = tracemalloc.get_traced_memory()
        assert book[0].name.endswith("-0001]")
        read, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert noted_in < 60 * count
    assert read < 100 * count
    assert book.summary == Summary(sent=499 * count, failed=count)
