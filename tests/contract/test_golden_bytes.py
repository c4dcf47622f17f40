"""What leaves and what is understood, byte by byte, against the vendor's document."""

import json

import pytest

from contract.golden import LIST_REQUEST, REPAIRED, REQUEST, SAMPLE, said
from rawserver import Peer, RawServer, Request, answer_all, raw_server
from smspop_async import Delivery, SmsPop, Status, Summary, UnreadableResponseError
from smspop_async.api.wire import USER_AGENT

pytestmark = pytest.mark.anyio

DOCUMENT = {
    "name": "Welcome Campaign",
    "message": "Hello, welcome to our service!",
    "sender_id": "BRAND1",
    "contact_import_method": "manual",
    "manual_contacts": "263771234567, 263772345678",
}


def golden(template: bytes, server: RawServer) -> bytes:
    return template % {b"port": server.port, b"agent": USER_AGENT.encode()}


async def create(sms: SmsPop, contacts: object) -> object:
    return await sms.campaigns.create(
        name=DOCUMENT["name"],
        message=DOCUMENT["message"],
        sender_id=DOCUMENT["sender_id"],
        contacts=contacts,
    )


@pytest.mark.parametrize(
    "contacts",
    [
        "263771234567, 263772345678",
        ["263771234567", "263772345678"],
        ("+263 77 123 4567", "0772 345 678"),
        iter(["263771234567", "263772345678"]),
        [263771234567, "263772345678", "0771234567"],
    ],
    ids=["text", "list", "spellings", "iterator", "integers-and-duplicate"],
)
async def test_request_is_the_documents_byte_for_byte(contacts: object) -> None:
    """The bytes of a campaign are exactly these, however the contacts were given."""
    async with raw_server(answer_all) as server, SmsPop("1|fake-token", base_url=server.base_url) as sms:
        await create(sms, contacts)
        assert [request.raw for request in server.requests] == [golden(REQUEST, server)]
        assert json.loads(server.posts[0].body) == DOCUMENT


async def test_list_request_byte_for_byte() -> None:
    """The bytes of the first page of the list are exactly these."""
    async with raw_server(answer_all) as server, SmsPop("1|fake-token", base_url=server.base_url) as sms:
        assert [campaign async for campaign in sms.campaigns.list()] == []
        assert [request.raw for request in server.requests] == [golden(LIST_REQUEST, server)]


async def test_name_and_text_travel_untouched() -> None:
    """Letters of any script, quotes, slashes and line breaks arrive as they were given."""
    name, message = 'Épargne "2" \\ / 😀', 'Line 1\nLine 2\t"ä" \u2028 </b> 日本'
    async with raw_server(answer_all) as server, SmsPop("1|fake-token", base_url=server.base_url) as sms:
        await sms.campaigns.create(name=name, message=message, sender_id="BRAND1", contacts="263771234567")
        body = json.loads(server.posts[0].body)
        assert (body["name"], body["message"]) == (name, message)
        assert server.posts[0].body.isascii()


def answers(body: bytes):
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(said(b"200 OK", body))

    return script


SAMPLE_CONTACTS = ["263776137000", "263776137222"]


async def test_documents_sample_reply_repaired() -> None:
    """The document's reply, its commas mended, is a success for the two contacts in it."""
    async with raw_server(answers(REPAIRED)) as server:
        async with SmsPop("1|fake-token", base_url=server.base_url) as sms:
            result = await create(sms, SAMPLE_CONTACTS)
    assert result.success
    assert result.message == "Successfully imported 2 contacts and SMS sending completed."
    assert (result.campaign.name, result.campaign.status) == ("Test Campaign Manual", "approved")
    assert (result.campaign.message, result.campaign.sender_id) == ("Test sms2", "SMSPoe")
    assert result.summary == Summary(sent=2, failed=0)
    assert [(contact.phone_number, contact.status) for contact in result.contacts] == [
        (number, Status.SENT) for number in SAMPLE_CONTACTS
    ]
    assert result.discrepancies == ()


async def test_documents_sample_reply_verbatim() -> None:
    """As it is printed the document's reply is not JSON: what it would say is UNKNOWN, and it is not asked again."""
    async with raw_server(answers(SAMPLE)) as server:
        async with SmsPop("1|fake-token", base_url=server.base_url) as sms:
            with pytest.raises(UnreadableResponseError) as caught:
                await create(sms, SAMPLE_CONTACTS)
            assert len(server.posts) == 1
    assert caught.value.delivery is Delivery.UNKNOWN
