"""A local SMSPop to develop against: the API's documented behaviour, and its accidents on request.

    async with Sandbox() as sandbox:
        async with SmsPop(token=sandbox.token, base_url=sandbox.api_url) as sms:
            ...
        assert sandbox.messages(to="263770000001")

It is a reading of the vendor's document of its own: it shares no code with the client, so that a
misunderstanding has to be made twice to go unnoticed. What the document says and what is assumed is told
apart in the docstrings.
"""

from smspop_async.sandbox.faults import Fault, FaultKind, FaultParameters, PendingFault
from smspop_async.sandbox.magic import MAGIC, MagicRecipient
from smspop_async.sandbox.received import RecordedRequest
from smspop_async.sandbox.records import Campaign, CreditEntry, Message
from smspop_async.sandbox.server import Sandbox

__all__ = [
    "MAGIC",
    "Campaign",
    "CreditEntry",
    "Fault",
    "FaultKind",
    "FaultParameters",
    "MagicRecipient",
    "Message",
    "PendingFault",
    "RecordedRequest",
    "Sandbox",
]
