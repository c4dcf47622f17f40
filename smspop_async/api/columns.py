"""The statuses of a campaign's contacts as a column: the status that most have, and the exceptions.

A run settles ten million contacts. As a list of members of an enum they would be written and read one by one; nearly
all of them are `Status.SENT`, so what is kept is that word, how many, and the few that differ.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import ClassVar, cast, overload

from attrs import define, field

from smspop_async.api.models import Status


@define(kw_only=True, eq=False)  # not frozen: made for each campaign, at half the cost (measured)
class StatusColumn(Sequence[Status]):
    """One status for each contact, in order. Equal to any sequence of the same statuses."""

    common: Status
    others: Mapping[int, Status] = field(factory=dict[int, Status])
    """Position to status, ascending, where it is not `common`, and only there."""
    length: int

    @classmethod
    def of(cls, statuses: Sequence[Status]) -> "StatusColumn":
        """Make a column of statuses given one by one."""
        common = Status.SENT if not statuses or Status.SENT in statuses else statuses[0]
        others = {at: status for at, status in enumerate(statuses) if status is not common}
        return cls(common=common, others=others, length=len(statuses))

    @overload
    def __getitem__(self, at: int) -> Status: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Status]: ...
    def __getitem__(self, at: int | slice) -> Status | Sequence[Status]:
        places = range(self.length)[at]
        if isinstance(places, range):
            return [self.others.get(place, self.common) for place in places]
        return self.others.get(places, self.common)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Status]:
        if not self.others:
            return repeat(self.common, self.length)
        other, common = self.others.get, self.common
        return (other(at, common) for at in range(self.length))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return False
        return list(self) == list(cast("Sequence[object]", other))

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # equal to lists, which have none

    def count(self, value: object) -> int:
        """How many contacts have this status."""
        exceptions = [*self.others.values()].count(value)  # type: ignore[arg-type] # anything can be asked for
        return exceptions + (self.length - len(self.others) if self.common == value else 0)

    def sent_and_failed(self) -> tuple[int, int]:
        """How many contacts were sent to, and for how many that failed."""
        if self.common is Status.SENT:
            others = self.others
            return self.length - len(others), [*others.values()].count(Status.FAILED) if others else 0
        return self.count(Status.SENT), self.count(Status.FAILED)


def counted(statuses: StatusColumn) -> dict[str, int]:
    """How many contacts have which status, by its word."""
    counts = Counter(status.value for status in statuses.others.values())
    counts[statuses.common.value] += statuses.length - len(statuses.others)
    return {word: contacts for word, contacts in counts.items() if contacts}
