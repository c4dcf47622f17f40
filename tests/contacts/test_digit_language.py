"""The proofs behind the fast path: a proof is only ever given for what is true."""

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smspop_async.contacts.digit_language import MAX_STEPS, UnknownSyntaxError, lengths, read_pattern

ALL_SHORT = ["".join(digits) for length in range(5) for digits in product("012", repeat=length)]

atoms = st.sampled_from(["0", "1", "2", r"\d", "[01]", "[0-2]", "[12]"])
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        inner.map(lambda one: f"(?:{one})?"),
        inner.map(lambda one: f"(?:{one}){{1,2}}"),
        inner.map(lambda one: f"({one}){{2}}"),
    ),
    max_leaves=6,
)


def strings(pattern: str) -> set[str]:
    """All strings of at most four of the digits 0, 1, 2 that the pattern matches."""
    return {text for text in ALL_SHORT if re.fullmatch(pattern, text, re.ASCII)}


@given(patterns, patterns)
def test_a_proof_is_never_given_for_what_a_string_refutes(left: str, right: str) -> None:
    """Whatever is proven of two patterns holds for each string that can be tried."""
    mine, theirs = read_pattern(left), read_pattern(right)
    if mine.within(theirs):
        assert strings(left) <= strings(right)
    if mine.apart_from(theirs):
        assert not strings(left) & strings(right)
    if mine.never_begins_with(theirs):
        assert not any(re.match(right, text) for text in strings(left))
    if mine.always_begins_with(theirs):
        assert all(re.match(right, text) for text in strings(left))


@given(patterns)
def test_a_language_lies_within_itself(pattern: str) -> None:
    """The simplest truths are proven: the pattern within itself, and behind a digit it begins with that digit."""
    language = read_pattern(pattern)
    assert language.within(language)
    assert language.after("7").always_begins_with(read_pattern("7"))
    assert language.after("7").never_begins_with(read_pattern("[0-68-9]"))
    assert language.after("7").apart_from(language.after("8"))


def test_lengths_are_all_strings_of_those_lengths() -> None:
    """A pattern lies within the lengths it can have, and not within fewer."""
    language = read_pattern(r"8\d{6}(?:\d{3})?")
    assert language.within(lengths((7, 10)))
    assert not language.within(lengths((7,)))


@pytest.mark.parametrize(
    "pattern", ["1$", "1+", "(?=1)", "(?:1", "1)", "[1", "1{", "a", ".", r"\w", "[^1]", "1{2", "\u0663"]
)
def test_other_syntax_is_refused(pattern: str) -> None:
    """A pattern that is not wholly understood is not reasoned about."""
    with pytest.raises(UnknownSyntaxError):
        read_pattern(pattern)


def test_a_walk_that_grows_too_long_proves_nothing() -> None:
    """Where a proof would take too long the answer is "not proven", to every question."""
    depth = MAX_STEPS.bit_length()
    wide = read_pattern(rf"(?:\d{{0,{depth}}}1\d{{{depth}}})")
    assert not wide.within(wide)
    assert not wide.apart_from(lengths((99,)))
