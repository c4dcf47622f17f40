"""What a source of contacts is to who reads it: slabs of rows, one after another."""

from abc import ABC, abstractmethod
from typing import Final

from smspop_async.contacts.memory import Slab

BUDGET: Final = 0.0005
"""Seconds of pulling from an iterable in one go."""


class ContactRows(ABC):
    """The rows of one source, for one reader."""

    size: int
    """The most rows of the next slab; the reader may change it as it goes."""
    held: float = 0.0
    """Seconds for which making the last slab held the event loop."""
    is_threaded: bool = False
    """Whether slabs are made in a thread. One that takes longer than the interpreter lets a thread have holds the loop
    for that long, so that such slabs stay short."""
    finite: bool
    """Whether reading to the end is bounded, so that every row can be accounted for after a run has stopped:
    True for texts, files and collections that know their size."""

    @abstractmethod
    async def next_slab(self) -> Slab | None:
        """Read on.

        Returns:
            At least one row, and at most the size asked for; None at the end.

        Raises:
            ContactSourceError: The source failed. All rows before have been given.
        """

    def taken(self) -> Slab | None:
        """Rows that were read, but not handed on because the wait for more was cancelled; None where none were."""
        return None

    @abstractmethod
    async def aclose(self) -> None:
        """Close what was opened here. Closing twice does nothing."""
