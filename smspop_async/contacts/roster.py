"""Who is on the list already: each number is admitted once, and one that must not be texted never.

The numbers are kept in a ledger, of which there are two forms that decide alike: `PlainNumbers` needs nothing,
and `VectorNumbers` is taken where NumPy is installed. NumPy takes a tenth of a second to import, so that is done when
the first roster is made or `ledger_at_hand` is called, and never while a run is on its way.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import islice

from attrs import frozen

from smspop_async.contacts.ledger import PlainNumbers
from smspop_async.contacts.number_space import Lines

_SLAB = 2000


@frozen(kw_only=True)
class Admission:
    """Which rows of a chunk are not to be sent; all others are on the roster from now on."""

    duplicates: list[int]
    """Offsets of numbers that were on the roster, or earlier in the chunk."""
    suppressed: list[int]
    """Offsets of numbers that must not be texted, whether or not they were seen before."""


@cache
def ledger_at_hand() -> type[PlainNumbers]:
    """The fastest ledger that can be had here. The first call may import NumPy."""
    try:
        from smspop_async.contacts.vector_ledger import VectorNumbers  # noqa: PLC0415 - NumPy is heavy
    except ImportError:
        return PlainNumbers
    VectorNumbers().add([f"1{row:09}" for row in range(_SLAB)])  # what NumPy puts off to its first calls
    return VectorNumbers


class Roster:
    """The numbers of one run, each admitted once.

    Numbers are E.164 digits without ``+``, as `Normaliser` gives them: never beginning with 0.

    Args:
        suppressed: Numbers that must not be texted.
        ledger: How numbers are kept: `PlainNumbers` does without NumPy. None takes the fastest there is.
            Those that must not be texted are always kept plainly: they are asked for one by one.
    """

    def __init__(
        self, suppressed: Iterable[str] = (), *, ledger: Callable[[], PlainNumbers] | None = None
    ) -> None:
        self._known = (ledger or ledger_at_hand())()
        self._suppressed = PlainNumbers()
        self._admitted = 0
        self.suppress(suppressed)

    def __len__(self) -> int:
        """How many numbers were admitted."""
        return self._admitted

    def let_go_of_some(self) -> bool:
        """Begin to let go of the numbers, a little at a time; False when `close` is quickly done."""
        return self._known.let_go_of_some() or self._suppressed.let_go_of_some()

    def close(self) -> None:
        """Let go of the numbers; nobody is to be admitted any more."""
        self._known.close()

    def suppress(self, numbers: Iterable[str]) -> None:
        """Never admit these numbers from now on; one that was admitted before stays counted."""
        each = iter(numbers)
        while slab := list(islice(each, _SLAB)):
            self._suppressed.add(slab)
            self._known.add(slab)

    def admit(self, numbers: Sequence[str], lines: Lines | None = None) -> Admission:
        """Put the numbers on the roster that are neither on it nor suppressed.

        Args:
            numbers: A slab, in the order of its rows; 2,000 take about half a millisecond.
            lines: The same, where it is at hand: it saves joining them.

        Returns:
            The offsets of the others.
        """
        again = self._known.add(numbers, lines)
        self._admitted += len(numbers) - len(again)
        if not again or not self._suppressed:
            return Admission(duplicates=again, suppressed=[])
        suppressed = [offset for offset in again if numbers[offset] in self._suppressed]
        if suppressed:
            refused = set(suppressed)
            again = [offset for offset in again if offset not in refused]
        return Admission(duplicates=again, suppressed=suppressed)
