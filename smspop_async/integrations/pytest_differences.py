"""What was expected of an inbox, what there is instead, and the words for the difference. Pure.

A failed assertion is read by somebody who wonders why: so beside what is missing stands what came, with the letters
that differ, who was texted at all, and what the API answered last.
"""

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from re import Pattern
from typing import Final

from attrs import frozen

from smspop_async.mask import mask_number
from smspop_async.sandbox import Message, RecordedRequest

_SHOWN: Final = 10
"""Messages, numbers or campaigns that are listed before it becomes "and 90 more"."""
_ANSWERS: Final = 5
_FAILED: Final = "failed"


@frozen(kw_only=True)
class Wanted:
    """A message that an assertion looks for."""

    spelling: str
    """The number as the test spells it."""
    number: str
    text: str | Pattern[str] | None = None
    sender_id: str | None = None

    def differences(self, message: Message) -> list[str]:
        """Say in lines how a message to this number differs; none where it fits."""
        lines = [] if has_text(message, self.text) else list(_texts_apart(self.text, message.text))
        if self.sender_id not in (None, message.sender_id):
            lines.append(f"the sender ID is {message.sender_id!r}, not {self.sender_id!r}")
        return lines


@frozen(kw_only=True)
class Inbox:
    """All that a sandbox has at one moment."""

    messages: Sequence[Message]
    requests: Sequence[RecordedRequest] = ()
    masked: bool = False

    def fitting(self, wanted: Wanted) -> list[Message]:
        """The texts that are as wanted, oldest first."""
        return [each for each in self._to(wanted.number) if not wanted.differences(each)]

    def without(self, wanted: Wanted, *, times: int | None = None) -> str:
        """Say that what is wanted is not there, or not so many times, and what is there instead."""
        to, fitting = self._to(wanted.number), self.fitting(wanted)
        if times is not None and fitting:
            head = f"{self._who(wanted)} was texted like this {_times(len(fitting))}, not {_times(times)}."
        else:
            head = f"{self._who(wanted)} was not texted" + (" like this." if to else ".")
        received = [
            line for number, each in enumerate(to, 1) for line in self._compared(number, each, wanted)
        ]
        return _paragraphs(
            head,
            ["expected:", *_indented(self._described(wanted))],
            [f"received: {_counted(len(to), 'text')}", *_cut(received, _SHOWN * 5)],
            [] if to else self._others(),
            self._failures(wanted.number),
            self._answers(),
        )

    def despite(self, wanted: Wanted) -> str:
        """Say that what is not wanted is there."""
        found = self.fitting(wanted)
        return _paragraphs(
            f"{self._who(wanted)} was texted {_times(len(found))}, and should not have been.",
            ["received:", *_cut([self._line(number, each) for number, each in enumerate(found, 1)], _SHOWN)],
        )

    def others_than(self, wanted: Sequence[Wanted], text: str | Pattern[str] | None) -> str:
        """Say who is missing from those wanted and who was texted beside them; nothing where it is as wanted."""
        names = {each.number: each.spelling for each in wanted}
        came = Counter(each.to for each in self._texts() if has_text(each, text))
        missing = [number for number in names if number not in came]
        surplus = [number for number in came if number not in names]
        if not missing and not surplus:
            return ""
        return _paragraphs(
            _who_was_texted(len(names), len(came)),
            *(
                [f"{words}:", *_cut([f"  {sign} {self._number(number)}" for number in numbers], _SHOWN)]
                for words, sign, numbers in (
                    ("not texted", "-", missing),
                    ("texted, and not expected", "+", surplus),
                )
                if numbers
            ),
            self._sent_to(surplus, text),
            self._answers(),
        )

    def repeated(self, *, per_text: bool) -> str:
        """Say who has more than one message, or more than one with the same text; nothing where nobody has."""
        groups: defaultdict[tuple[str, str], list[Message]] = defaultdict(list)
        for each in self._texts():
            groups[each.to, each.text if per_text else ""].append(each)
        double = [group for group in groups.values() if len(group) > 1]
        if not double:
            return ""
        what = "was sent the same text" if per_text else "was texted"
        return _paragraphs(
            f"Somebody {what} more than once: {_counted(len(double), 'number')}.",
            *([self._number(group[0].to) + ":", *self._lines(group)] for group in double[:_SHOWN]),
            [f"and {len(double) - _SHOWN} more"] if len(double) > _SHOWN else [],
        )

    # --- what there is ---

    def _texts(self) -> Iterator[Message]:
        return (each for each in self.messages if each.status != _FAILED)

    def _to(self, number: str) -> list[Message]:
        return [each for each in self._texts() if each.to == number]

    def _others(self) -> list[str]:
        came = Counter(each.to for each in self._texts())
        if not came:
            return ["Nobody else was texted."]
        lines = [f"  {self._number(number)}: {_counted(count, 'text')}" for number, count in came.items()]
        return ["texted instead:", *_cut(lines, _SHOWN)]

    def _failures(self, number: str) -> list[str]:
        failed = sum(each.to == number and each.status == _FAILED for each in self.messages)
        return [f"Beside these, {_counted(failed, 'message')} to the number failed."] if failed else []

    def _answers(self) -> list[str]:
        if not self.requests:
            return [
                "The API was asked nothing: does the app take SMSPOP_BASE_URL and SMSPOP_TOKEN at this time?"
            ]
        answers = [
            f"{each.method} {each.status or 'no answer'}{f' ({each.fault})' if each.fault else ''}"
            for each in self.requests[-_ANSWERS:]
        ]
        return [f"The API's last answers: {', '.join(answers)}."]

    def _sent_to(self, numbers: Sequence[str], text: str | Pattern[str] | None) -> list[str]:
        sent = [each for each in self._texts() if each.to in numbers and has_text(each, text)]
        lines = [
            f"{self._line(number, each)} to {self._number(each.to)}" for number, each in enumerate(sent, 1)
        ]
        return ["what they were sent:", *_cut(lines, _SHOWN)] if lines else []

    # --- in words ---

    def _number(self, number: str) -> str:
        return mask_number(number) if self.masked else number

    def _who(self, wanted: Wanted) -> str:
        if self.masked or wanted.spelling == wanted.number:
            return self._number(wanted.number)
        return f"{wanted.spelling} ({wanted.number})"

    def _text(self, text: str) -> str:
        return f"<{len(text)} characters>" if self.masked else repr(text)

    def _line(self, position: int, message: Message) -> str:
        return f"  {position}. {message.sender_id}, campaign {message.campaign!r}: {self._text(message.text)}"

    def _lines(self, messages: Iterable[Message]) -> list[str]:
        return _cut([self._line(number, each) for number, each in enumerate(messages, 1)], _SHOWN)

    def _described(self, wanted: Wanted) -> Iterator[str]:
        if isinstance(wanted.text, Pattern):
            yield f"a text with the pattern {self._text(wanted.text.pattern)}"
        else:
            yield "any text" if wanted.text is None else f"the text {self._text(wanted.text)}"
        if wanted.sender_id is not None:
            yield f"from {wanted.sender_id!r}"

    def _compared(self, position: int, message: Message, wanted: Wanted) -> Iterator[str]:
        yield self._line(position, message)
        if not self.masked:
            yield from _indented(wanted.differences(message), by=5)


def has_text(message: Message, text: str | Pattern[str] | None) -> bool:
    """Tell whether a message has the whole text, or matches the pattern somewhere."""
    if isinstance(text, Pattern):
        return text.search(message.text) is not None
    return text in (None, message.text)


def _texts_apart(wanted: str | Pattern[str] | None, text: str) -> Iterator[str]:
    if not isinstance(wanted, str):
        yield "the pattern is not found in the text"
        return
    for line in difflib.ndiff(wanted.splitlines() or [""], text.splitlines() or [""]):
        yield line.rstrip("\n")


def _who_was_texted(expected: int, came: int) -> str:
    if not expected:
        return f"Somebody was texted, and nobody should have been: {_counted(came, 'number')}."
    return f"Other people were texted than expected: {_counted(came, 'number')}, not {expected}."


def _counted(count: int, word: str) -> str:
    return f"{count or 'no'} {word}{'' if count == 1 else 's'}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _indented(lines: Iterable[str], by: int = 2) -> list[str]:
    return [" " * by + line for line in lines]


def _cut(lines: Sequence[str], most: int) -> list[str]:
    return [*lines[:most], f"  and {len(lines) - most} more"] if len(lines) > most else list(lines)


def _paragraphs(head: str, *parts: Sequence[str]) -> str:
    return "\n\n".join([head, *("\n".join(part) for part in parts if part)])
