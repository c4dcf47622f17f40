"""Law 5, Flat: memory per contact does not grow with the number of contacts."""

import tracemalloc
from collections.abc import Iterator

import pytest

from smspop_async import Status
from smspop_async.api.columns import StatusColumn
from smspop_async.batch import outcomes
from smspop_async.batch.campaigns import CampaignBook
from smspop_async.batch.chunks import Chunk, Chunker
from smspop_async.batch.outcomes import OutcomeBook
from smspop_async.batch.sorting import Sorter
from smspop_async.contacts.ledger import PlainNumbers
from smspop_async.contacts.memory import Slab
from smspop_async.contacts.numbers import Normaliser
from smspop_async.contacts.roster import Roster

SLAB = 2_000


class Kept:
    """Everything that a run keeps of its contacts, fed without a network."""

    def __init__(self) -> None:
        self.book, self.chunker = OutcomeBook(), Chunker(500)
        self.campaigns = CampaignBook(label="Newsletter", run="abcdefghij")
        # The other ledger keeps the same pages in memory that Python's own tracing does not see.
        self.sorter = Sorter(
            message="Hello!",
            normaliser=Normaliser(),
            roster=Roster(ledger=PlainNumbers),
            chunker=self.chunker,
            book=self.book,
        )
        self.seq = 0

    def send(self, slabs: Iterator[list[str]]) -> None:
        for values in slabs:
            for result in self.sorter.sort(Slab(values=values)):
                assert result is not None
                assert not result.excluded
                for chunk in result.chunks:
                    self.settle(chunk)

    def settle(self, chunk: Chunk) -> None:
        self.seq += 1
        failed = {3: Status.FAILED, 77: Status.FAILED}
        statuses = StatusColumn(common=Status.SENT, others=failed, length=len(chunk))
        self.book.settle(chunk.rows, statuses, {})
        self.campaigns.note(
            self.seq, contacts=500, status=Status.ACCEPTED, detail="", sent=len(chunk) - 2, failed=2
        )


def scattered(first: int, last: int) -> Iterator[list[str]]:
    """Distinct numbers of one network in no order: the stride shares no factor with ten million."""
    for begin in range(first, last, SLAB):
        yield [f"26377{place * 6_180_343 % 10**7:07}" for place in range(begin, begin + SLAB)]


def test_a_contact_costs_two_bytes_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a million further contacts take less than two bytes each, whatever went before."""
    monkeypatch.setattr(outcomes, "_SPILL", 2**20)
    kept, held = Kept(), []
    tracemalloc.start()
    try:
        for stretch in range(3):
            kept.send(scattered(stretch * 300_000, (stretch + 1) * 300_000))
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert kept.book.settled == 900_000
    assert kept.book.count()[Status.FAILED] == 3_600
    assert len(kept.campaigns) == 1_800
    # The first stretch makes the pages of the network; the others have the byte of the outcome, the place of a slab in
    # the file, and the campaigns.
    assert held[1] - held[0] < 2 * 300_000
    assert held[2] - held[1] < 2 * 300_000
