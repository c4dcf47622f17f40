r"""Small proofs about patterns of digits: is every string of one also a string of the other?

The phone library describes a numbering plan in regular expressions of a narrow kind: digits, ``\d``, classes,
groups, ``|``, ``?`` and counts. Such a pattern is a finite set of short strings, so questions such as "can a
mobile number begin with the trunk prefix?" have an exact answer, found by walking two automata side by side.
A question that cannot be answered (unknown syntax, or a walk that grows too long) is answered "not proven",
and the caller keeps its guard.

A pattern is read into a *sequence*: a tuple of items, each either a bit mask of the ten digits or a tuple of
alternative sequences. What remains to be matched is a linked list ``(item, rest)``, with ``()`` for its end, and
a state of the automaton is the set of such remainders whose first item is a mask (partial derivatives, after
Antimirov 1996).
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from attrs import frozen

Item: TypeAlias = "int | tuple[Sequence, ...]"
Sequence: TypeAlias = "tuple[Item, ...]"
Rest: TypeAlias = "tuple[()] | tuple[Item, Rest]"
State: TypeAlias = "frozenset[Rest]"

ANY_DIGIT: Final = 0b11_1111_1111
MAX_STEPS: Final = 6_000
"""Pairs of states visited before a proof is given up. The largest plan that is proven needs about half."""


class UnknownSyntaxError(ValueError):
    """The pattern uses something beyond digits, classes, groups, alternatives and counts."""


class _Count(NamedTuple):
    low: int
    high: int


@frozen
class DigitLanguage:
    """A finite set of strings of digits.

    Args:
        sequence: What the strings are made of, from `read_pattern`.
    """

    sequence: Sequence

    def after(self, digits: str) -> "DigitLanguage":
        """Every string of this language with ``digits`` put before it."""
        return DigitLanguage((*(1 << int(digit) for digit in digits), *self.sequence))

    def boxes(self) -> Iterator[tuple[int, ...]]:
        """Give sets of digits for position after position, whose products make up this language.

        There may be very many of them, and the same more than once.
        """
        return _products(_link(self.sequence, ()))

    def within(self, other: "DigitLanguage") -> bool:
        """Whether it is proven that each string of this language is one of ``other``."""
        return all(there or not here for here, there in _walk(self, other))

    def apart_from(self, other: "DigitLanguage") -> bool:
        """Whether it is proven that the two languages share no string."""
        return not any(here and there for here, there in _walk(self, other))

    def never_begins_with(self, other: "DigitLanguage") -> bool:
        """Whether it is proven that no string of this language begins with one of ``other``."""
        return not any(there for _, there in _walk(self, other))

    def always_begins_with(self, other: "DigitLanguage") -> bool:
        """Whether it is proven that every string of this language begins with one of ``other``."""
        return not any(here and not there for here, there in _walk(self, other, past=False))


def read_pattern(pattern: str) -> DigitLanguage:
    r"""Read a regular expression of the phone library's narrow kind.

    Args:
        pattern: For example ``7(?:[1278]\d|3[1-9])\d{6}``. Capturing groups count as plain ones.

    Raises:
        UnknownSyntaxError: The pattern holds anything else, such as ``$`` or a look-ahead.
    """
    reader = _Reader(pattern)
    alternatives = reader.alternatives()
    if reader.at < len(pattern):
        raise UnknownSyntaxError(pattern[reader.at])
    return DigitLanguage((alternatives,))


def either(languages: Iterable[DigitLanguage]) -> DigitLanguage:
    """All strings of any of the languages."""
    return DigitLanguage((tuple(language.sequence for language in languages),))


def lengths(allowed: Iterable[int]) -> DigitLanguage:
    """All strings of digits of the given lengths."""
    return DigitLanguage((tuple((ANY_DIGIT,) * length for length in allowed),))


class _Reader:
    """A recursive-descent reader; ``at`` is the place it has reached."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    def alternatives(self) -> tuple[Sequence, ...]:
        found = [self._sequence()]
        while self._take("|"):
            found.append(self._sequence())
        return tuple(found)

    def _take(self, text: str) -> bool:
        if not self.pattern.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def _sequence(self) -> Sequence:
        items: list[Item] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            item = self._item()
            count = self._count()
            items += [item] * count.low
            items += [((), (item,))] * (count.high - count.low)
        return tuple(items)

    def _item(self) -> Item:
        if self._take("\\d"):
            return ANY_DIGIT
        if self._take("["):
            return self._class()
        if self._take("(?:") or (not self.pattern.startswith("(?", self.at) and self._take("(")):
            group = self.alternatives()
            self._demand(")")
            return group
        return 1 << self._digit()

    def _class(self) -> int:
        mask = 0
        while not self._take("]"):
            low = self._digit()
            high = self._digit() if self._take("-") else low
            for digit in range(low, high + 1):
                mask |= 1 << digit
        return mask

    def _digit(self) -> int:
        found = self.pattern[self.at : self.at + 1]
        if not (found.isascii() and found.isdigit()):
            raise UnknownSyntaxError(found)
        self.at += 1
        return int(found)

    def _count(self) -> _Count:
        if self._take("?"):
            return _Count(0, 1)
        if not self._take("{"):
            return _Count(1, 1)
        low = self._integer()
        high = self._integer() if self._take(",") else low
        self._demand("}")
        return _Count(low, high)

    def _integer(self) -> int:
        number = self._digit()
        while self.pattern[self.at : self.at + 1].isdigit():
            number = number * 10 + self._digit()
        return number

    def _demand(self, text: str) -> None:
        if not self._take(text):
            raise UnknownSyntaxError(self.pattern[self.at : self.at + 1])


def _link(sequence: Sequence, rest: Rest) -> Rest:
    for item in reversed(sequence):
        rest = (item, rest)
    return rest


@lru_cache(maxsize=4096)
def _open(rest: Rest) -> State:
    """The remainders reachable without reading a digit: each starts with a mask, or is the end."""
    return frozenset(_opened(rest))


def _opened(rest: Rest) -> Iterator[Rest]:
    if not rest or isinstance(rest[0], int):
        yield rest
        return
    for sequence in rest[0]:
        yield from _opened(_link(sequence, rest[1]))


def _products(rest: Rest) -> Iterator[tuple[int, ...]]:
    for opened in _opened(rest):
        if not opened:
            yield ()
        elif isinstance(opened[0], int):
            for behind in _products(opened[1]):
                yield (opened[0], *behind)


def _step(state: State, digit: int) -> State:
    bit = 1 << digit
    reached: set[Rest] = set()
    for rest in state:
        if rest and isinstance(rest[0], int) and rest[0] & bit:
            reached |= _open(rest[1])
    return frozenset(reached)


def _walk(left: DigitLanguage, right: DigitLanguage, *, past: bool = True) -> Iterator[tuple[bool, bool]]:
    """Visit the pairs of states that a beginning of a string of ``left`` leads to.

    Args:
        left: The language whose strings are followed.
        right: The language that is watched meanwhile.
        past: Whether to go on behind a string of ``right``.

    Yields:
        Whether the beginning is itself a string of each. Both (True, False) and (True, True), which no
        question survives, when the walk grows too long.
    """
    start = (_open(_link(left.sequence, ())), _open(_link(right.sequence, ())))
    seen = {start}
    todo = [start]
    while todo:
        here, there = todo.pop()
        yield () in here, () in there
        if () in there and not past:
            continue
        for pair in {(_step(here, digit), _step(there, digit)) for digit in range(10)} - seen:
            if pair[0]:
                seen.add(pair)
                todo.append(pair)
        if len(seen) > MAX_STEPS:
            yield from ((True, False), (True, True))
            return
