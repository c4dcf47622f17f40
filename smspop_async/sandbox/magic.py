"""Recipients that always make something happen, so that a failure can be had without any setting up.

| number         | what happens (all assumed: the document shows no failed contact) |
|----------------|-------------------------------------------------------------------|
| 263770009901   | its status is ``failed``; it is not billed                        |
| 263770009902   | its status is ``queued``, a word the document does not know       |
| 263770009903   | the whole campaign is refused: 422 that names ``manual_contacts`` |
| 263770009904   | it is sent to, but its row is missing from the reply              |
| 263770009905   | it is sent to, and its row says ``+263 77 000 9905``              |

``Sandbox(magic=False)`` has none: a load test that counts its numbers up would run into them.

All five are valid Zimbabwean mobile numbers, so that a client's own validation lets them through.
"""

from collections.abc import Mapping
from types import MappingProxyType

from attrs import frozen

from smspop_async.sandbox.records import FAILED, SENT


@frozen(kw_only=True)
class MagicRecipient:
    """A recipient with a fixed fate.

    Attributes:
        does: What happens, in a few words.
        status: The status its message is kept and reported with.
        refused: Whether a campaign with it is refused whole.
        spelling: The number as the reply spells it; None leaves its row out.
    """

    does: str
    status: str = SENT
    refused: bool = False
    spelling: str | None = None


MagicTable = Mapping[str, MagicRecipient]
"""Magic recipients by number."""

MAGIC: MagicTable = MappingProxyType(
    {
        "263770009901": MagicRecipient(does="fails", status=FAILED, spelling="263770009901"),
        "263770009902": MagicRecipient(
            does="has an unheard-of status", status="queued", spelling="263770009902"
        ),
        "263770009903": MagicRecipient(does="makes the API refuse the whole campaign", refused=True),
        "263770009904": MagicRecipient(does="is sent to, but missing from the reply"),
        "263770009905": MagicRecipient(
            does="is sent to, and spelled differently in the reply", spelling="+263 77 000 9905"
        ),
    }
)
"""The magic recipients of a sandbox that was not told ``magic=False``."""


def magic_among(numbers: str, magic: MagicTable) -> dict[str, MagicRecipient]:
    """Return the magic recipients that stand in ``numbers``, a comma-joined string of digits."""
    hits = [number for number in magic if number in numbers]
    if not hits:
        return {}
    present = set(numbers.split(","))
    return {number: magic[number] for number in hits if number in present}
