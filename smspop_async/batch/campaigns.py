"""What became of the campaigns of a run, in columns: a run of ten million contacts has twenty thousand of them."""

from array import array
from collections.abc import Iterator, Sequence
from typing import Final, overload

from attrs import field, frozen

from smspop_async.api.models import Status, Summary
from smspop_async.batch.naming import CampaignNames
from smspop_async.journal.base import Verdict
from smspop_async.mask import mask_name

_FACTS: Final = 5


@frozen(kw_only=True)
class CampaignOutcome:
    """What became of one campaign of a run."""

    name: str = field(repr=mask_name)
    contacts: int
    status: Status
    """ACCEPTED, REJECTED, UNKNOWN or NOT_SUBMITTED: the campaign's, not its contacts'."""
    summary: Summary = field(factory=Summary)
    """Sent and failed, counted from the per-contact statuses."""
    detail: str = ""


class CampaignBook(Sequence[CampaignOutcome]):
    """The campaigns of a run in the order of their submission; each value is made when it is asked for.

    Args:
        label: The name that the run was given.
        run: The token in the names of its campaigns.
    """

    def __init__(self, *, label: str, run: str) -> None:
        self._names = CampaignNames(label, run)
        self._facts = array("L")
        """Of each campaign: its number, its contacts, how many were sent to, how many failed, and a code of words."""
        self._words: list[tuple[Status, str]] = []
        self._codes: dict[tuple[Status, str], int] = {}
        self._order: list[int] = []

    def note(
        self, seq: int, *, contacts: int, status: Status, detail: str, sent: int = 0, failed: int = 0
    ) -> None:
        """Write down a campaign that is decided.

        Args:
            seq: Its place among the campaigns of the run, from 1.
            contacts: How many it was for.
            status: What became of it.
            detail: Why, where the status alone does not say it.
            sent: How many of its contacts were sent to.
            failed: For how many of them that failed.
        """
        code = self._codes.setdefault((status, detail), len(self._words))
        if code == len(self._words):
            self._words.append((status, detail))
        self._facts.extend((seq, contacts, sent, failed, code))

    def note_verdict(self, seq: int, contacts: int, verdict: Verdict) -> None:
        """Write down what a journal says of a campaign that is decided."""
        sent, failed = verdict.summary.sent, verdict.summary.failed
        self.note(
            seq, contacts=contacts, status=verdict.campaign, detail=verdict.detail, sent=sent, failed=failed
        )

    def __len__(self) -> int:
        return len(self._facts) // _FACTS

    @property
    def summary(self) -> Summary:
        """The merged sent and failed of all campaigns."""
        return Summary(sent=sum(self._facts[2::_FACTS]), failed=sum(self._facts[3::_FACTS]))

    @overload
    def __getitem__(self, at: int) -> CampaignOutcome: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[CampaignOutcome]: ...
    def __getitem__(self, at: int | slice) -> CampaignOutcome | Sequence[CampaignOutcome]:
        places = self._in_order()[at]
        return (
            self._outcome(places) if isinstance(places, int) else [self._outcome(place) for place in places]
        )

    def __iter__(self) -> Iterator[CampaignOutcome]:
        return map(self._outcome, self._in_order())

    def __repr__(self) -> str:
        return f"<{len(self)} campaigns>"

    def _in_order(self) -> list[int]:
        """The places of the campaigns by their submission; they are noted as they are settled."""
        if len(self._order) != len(self):
            seqs = self._facts[::_FACTS]
            self._order = sorted(range(len(seqs)), key=seqs.__getitem__)
        return self._order

    def _outcome(self, place: int) -> CampaignOutcome:
        seq, contacts, sent, failed, code = self._facts[place * _FACTS : (place + 1) * _FACTS]
        status, detail = self._words[code]
        return CampaignOutcome(
            name=self._names.of(seq)[0],
            contacts=contacts,
            status=status,
            summary=Summary(sent=sent, failed=failed),
            detail=detail,
        )
