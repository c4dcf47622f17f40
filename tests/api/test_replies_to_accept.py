"""Replies that say the campaign was sent, in all the shapes the wire may give them."""

import json
from typing import Any

import pytest

from api.calling import MESSAGE, NUMBERS, TOKEN, calling, create, failure_of
from rawserver import Peer, Request, good_reply, raw_server
from smspop_async import (
    APIConnectionError,
    CampaignResult,
    ConfigurationError,
    ContactSourceError,
    Delivery,
    RateLimitError,
    Status,
    Summary,
)

pytestmark = pytest.mark.anyio

ONE, TWO, THREE = NUMBERS


def reply(**changes: Any) -> str:
    return json.dumps(json.loads(good_reply(NUMBERS, name="Parcels")) | changes)


def rows(*pairs: tuple[object, object]) -> list[dict[str, object]]:
    return [{"phone_number": number, "status": status} for number, status in pairs]


async def result_of(body: str | bytes, status: int = 200) -> CampaignResult:
    """What `create` returns where the server answers with `body`."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.reply(status, body.encode() if isinstance(body, str) else body)

    async with raw_server(script) as server, calling(server.base_url) as sms:
        result = await create(sms)
        assert len(server.posts) == 1
        assert [contact.phone_number for contact in result.contacts] == NUMBERS
        return result


def statuses(result: CampaignResult) -> list[Status]:
    return [contact.status for contact in result.contacts]


ALL_SENT = [Status.SENT] * 3
EQUAL: dict[str, str | bytes] = {
    "documented": reply(),
    "201": reply(),
    "success-as-text": reply(success="true"),
    "success-as-1": reply(success=1),
    "success-as-text-1": reply(success="1"),
    "success-in-capitals": reply(success=" TRUE "),
    "byte-order-mark": b"\xef\xbb\xbf" + reply().encode(),
    "utf-16": reply().encode("utf-16"),
    "unknown-fields": reply(data={"a": [1]}, links=None),
    "numbers-as-integers": reply(contacts=rows(*((int(n), "sent") for n in NUMBERS))),
    "numbers-as-floats": reply(contacts=rows(*((float(n), "sent") for n in NUMBERS))),
    "numbers-as-texts-of-floats": reply(contacts=rows(*((f"{n}.0", "sent") for n in NUMBERS))),
    "numbers-with-plus": reply(contacts=rows(*((f"+{n}", "sent") for n in NUMBERS))),
    "numbers-spelled-out": reply(
        contacts=rows(*((f"+{n[:3]} {n[3:5]} {n[5:8]}-{n[8:]}", "sent") for n in NUMBERS))
    ),
    "numbers-national": reply(contacts=rows(*(("0" + n[3:], "sent") for n in NUMBERS))),
    "numbers-national-integers": reply(contacts=rows(*((int(n[3:]), "sent") for n in NUMBERS))),
    "any-order": reply(contacts=rows(*((n, "sent") for n in reversed(NUMBERS)))),
    "status-in-any-case": reply(contacts=rows((ONE, "SENT"), (TWO, "Sent"), (THREE, " sent "))),
    "php-map-of-rows": reply(contacts={str(at): row for at, row in enumerate(rows(*((n, "sent") for n in NUMBERS)))}),
    "counts-as-texts": reply(summary={"sent": "3", "failed": "0"}),
    "counts-as-floats": reply(summary={"sent": 3.0, "failed": 0.0}),
    "no-summary": reply(summary=None),
    "summary-as-php-empty-map": reply(summary=[]),
}  # fmt: skip


@pytest.mark.parametrize("case", EQUAL)
async def test_shapes_that_say_the_same(case: str) -> None:
    """A shape that differs from the documented one and says the same is read as the same, without a remark."""
    result = await result_of(EQUAL[case], 201 if case == "201" else 200)
    assert result.success
    assert statuses(result) == ALL_SENT
    assert result.summary == Summary(sent=3, failed=0)
    assert result.discrepancies == ()


async def test_documented_fields_arrive() -> None:
    """Message, campaign and summary of the documented reply are attributes; unknown fields are kept."""
    campaign = {
        "id": 7,
        "name": "Parcels",
        "message": "m",
        "sender_id": "DEMO",
        "status": "approved",
        "cost": 3,
    }
    result = await result_of(reply(campaign=campaign))
    assert result.message == "Successfully imported 3 contacts and SMS sending completed."
    assert (result.campaign.id, result.campaign.name, result.campaign.status) == ("7", "Parcels", "approved")
    assert (result.campaign.message, result.campaign.sender_id) == ("m", "DEMO")
    assert result.campaign.extra == {"cost": 3}


@pytest.mark.parametrize("campaign", [None, [], "x", {}, {"name": None}])
async def test_campaign_may_be_missing(campaign: object) -> None:
    """A reply without a usable campaign is still a success with its contacts."""
    result = await result_of(reply(campaign=campaign))
    assert result.campaign.name == ""
    assert statuses(result) == ALL_SENT


async def test_failed_contacts_are_no_error() -> None:
    """``failed`` above 0 is a partial success: every contact says what became of it."""
    result = await result_of(good_reply(NUMBERS, frozenset({TWO})))
    assert result.success
    assert statuses(result) == [Status.SENT, Status.FAILED, Status.SENT]
    assert result.summary == Summary(sent=2, failed=1)
    none = await result_of(good_reply(NUMBERS, frozenset(NUMBERS)))
    assert statuses(none) == [Status.FAILED] * 3


async def test_missing_row_is_unknown() -> None:
    """A number without a row is UNKNOWN with a reason, and the reply's gap is noted."""
    result = await result_of(reply(contacts=rows((ONE, "sent"), (THREE, "failed"))))
    assert statuses(result) == [Status.SENT, Status.UNKNOWN, Status.FAILED]
    assert "no row" in result.contacts[1].detail
    assert any("without a row" in words for words in result.discrepancies)


@pytest.mark.parametrize("contacts", [None, [], {}, "", 0])
async def test_no_rows_at_all_is_accepted(contacts: object) -> None:
    """The campaign exists, its per-contact statuses do not: ACCEPTED, with the reply's own summary."""
    result = await result_of(reply(contacts=contacts))
    assert statuses(result) == [Status.ACCEPTED] * 3
    assert result.summary == Summary(sent=3, failed=0)
    assert any("no per-contact rows" in words for words in result.discrepancies)


async def test_row_never_asked_for_is_noted_and_not_counted() -> None:
    """A stranger's row changes nobody's status."""
    extra = rows(*((n, "sent") for n in NUMBERS), ("263779999999", "failed"), (None, "sent"), (True, "sent"))
    result = await result_of(reply(contacts=[*extra, *rows(("no number", "sent")), "no row", None]))
    assert statuses(result) == ALL_SENT
    assert any(words.startswith("6 row(s)") for words in result.discrepancies)
    assert "263779999999" not in repr(result)


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ("sent", "sent", Status.SENT),
        ("failed", "FAILED", Status.FAILED),
        ("sent", "failed", Status.UNKNOWN),
        ("failed", "sent", Status.UNKNOWN),
        ("queued", "sent", Status.UNKNOWN),
    ],
)
async def test_row_twice(first: str, second: str, status: Status) -> None:
    """Rows that agree count once; rows that contradict each other leave the number UNKNOWN."""
    contacts = rows((ONE, first), (TWO, "sent"), (THREE, "sent"), ("+" + ONE, second))
    result = await result_of(reply(contacts=contacts))
    assert statuses(result) == [status, Status.SENT, Status.SENT]
    assert any("repeat" in words for words in result.discrepancies)


@pytest.mark.parametrize(
    ("word", "detail"),
    [
        ("Queued", "'Queued'"),
        ("in transit", "'in transit'"),
        (f"{MESSAGE}", "longer than a word"),
        (f"sent to {ONE}", "longer than a word"),
        ("", "no status"),
        (None, "no status"),
        (5, "no status"),
        ({"sent": True}, "no status"),
    ],
)
async def test_unheard_of_status_is_unknown(word: object, detail: str) -> None:
    """A word that this version does not know is UNKNOWN, and shown only where it is no more than a word."""
    result = await result_of(reply(contacts=rows((ONE, word), (TWO, "sent"), (THREE, "sent"))))
    assert statuses(result) == [Status.UNKNOWN, Status.SENT, Status.SENT]
    assert detail in result.contacts[0].detail
    assert MESSAGE not in repr(result)
    assert ONE not in result.contacts[0].detail


@pytest.mark.parametrize(
    "summary",
    [{"sent": 2, "failed": 1}, {"sent": 0}, {"sent": "x"}, {"sent": -3}, {"sent": 1e999}, {"sent": True}],
)
async def test_summary_that_disagrees_is_told(summary: dict[str, object]) -> None:
    """The reply's summary is given as it is, the rows stand, and the disagreement is in words."""
    result = await result_of(reply(summary=summary))
    assert statuses(result) == ALL_SENT
    assert any("the rows say 3 sent, 0 failed" in words for words in result.discrepancies)


@pytest.mark.parametrize(
    ("contacts", "words"),
    [
        ([], "no contact"),
        ("", "no contact"),
        ([ONE, "12"], "Contact 2 "),
        (["x" * 9] * 600, "Contact 1 "),
        ([ONE] * 700 + [f"{TWO}, {THREE}"], "Contact 701 "),
        ([f"{TWO}\n{THREE}"], "Contact 1 "),
        ([None], "Contact 1 "),
    ],
)
async def test_unusable_contacts_send_nothing(contacts: object, words: str) -> None:
    """One contact that is no number, or none at all: nothing is sent, and the place is named."""
    async with calling("http://127.0.0.1:1/api") as sms:
        error = await failure_of(
            sms.campaigns.create(name="n", message=MESSAGE, sender_id="DEMO", contacts=contacts)
        )
    assert isinstance(error, ContactSourceError)
    assert words in str(error)
    assert error.delivery is Delivery.NOT_SENT
    for number in NUMBERS:
        assert number not in str(error)


async def test_odd_spellings_are_read_in_slices_of_a_turn() -> None:
    """Numbers that only the full parser can read are read too, in any amount."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.json(200, good_reply([]))

    odd = [f"+263 (0) 77.{n:07}" for n in range(1, 700)]
    async with raw_server(script) as server, calling(server.base_url) as sms:
        assert len((await create(sms, odd)).contacts) == 699
        assert json.loads(server.posts[0].body)["manual_contacts"].startswith("263770000001, 263770000002")


BAD = [
    {"name": ""}, {"name": " x"}, {"name": "x\n"}, {"name": "x" * 192}, {"name": 5}, {"name": "\ud800"},
    {"sender_id": ""}, {"sender_id": "a\tb"}, {"sender_id": None}, {"message": ""}, {"message": " x"},
    {"message": "x\u200b"}, {"message": "\ud800"}, {"message": 5},
    {"contacts": [f"26377{n:07}" for n in range(75_000)]},
    {"contacts": [f"26377{n:07}" for n in range(120_000)]},
]  # fmt: skip


@pytest.mark.parametrize("change", BAD, ids=lambda change: next(iter(change)))
async def test_what_cannot_be_sent_is_refused_here(change: dict[str, object]) -> None:
    """What the server would refuse, cut or change never leaves."""
    fields = {"name": "n", "message": "m", "sender_id": "DEMO", "contacts": [ONE]} | change
    async with calling("http://127.0.0.1:1/api") as sms:
        error = await failure_of(sms.campaigns.create(**fields))
    assert isinstance(error, ConfigurationError)


async def test_endless_contacts_are_refused() -> None:
    """A source without an end is given up as soon as it is too much for one campaign."""

    def endless():
        n = 0
        while True:
            n += 1
            yield f"26377{n:07}"

    async with calling("http://127.0.0.1:1/api") as sms:
        error = await failure_of(create(sms, endless()))
    assert isinstance(error, ConfigurationError)
    assert "send()" in str(error)


async def test_file_and_async_source_are_for_send(tmp_path: Any) -> None:
    """`create` blocks on no file, and says where files and async sources go."""

    async def numbers():
        yield ONE

    path = tmp_path / "numbers.txt"
    path.write_text(ONE)
    async with calling("http://127.0.0.1:1/api") as sms:
        for contacts in (path, numbers()):
            error = await failure_of(create(sms, contacts))
            assert isinstance(error, ConfigurationError)
            assert "send" in str(error)


async def test_raw_response_of_a_success() -> None:
    """The raw response holds what came, hides it from its repr, and parses to what `create` returns."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.json(200, good_reply(NUMBERS), "X-Request-Id: 7")

    async with raw_server(script) as server, calling(server.base_url) as sms:
        raw = await sms.campaigns.with_raw_response.create(
            name="Parcels", message=MESSAGE, sender_id="DEMO", contacts=NUMBERS
        )
        assert (raw.status, raw.headers["x-request-id"]) == (200, "7")
        assert raw.body == good_reply(NUMBERS).encode()
        assert raw.parse() == await create(sms)
        assert ONE not in repr(raw)
        assert MESSAGE not in repr(raw)


async def test_raw_response_of_a_refusal() -> None:
    """A refusal is returned, and parses to the very error that `create` raises, dates included."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.json(
            429, json.dumps({"message": f"no {TOKEN}"}), "Retry-After: Thu, 01 Jan 1970 00:30:00 GMT"
        )

    async with raw_server(script) as server, calling(server.base_url) as sms:
        raw = await sms.campaigns.with_raw_response.create(
            name="Parcels", message=MESSAGE, sender_id="DEMO", contacts=NUMBERS
        )
        assert raw.status == 429
        with pytest.raises(RateLimitError) as caught:
            raw.parse()
        assert 0 < caught.value.retry_after <= 800
        assert TOKEN not in str(caught.value)


async def test_raw_response_needs_a_reply() -> None:
    """Where no reply came there is nothing raw: the error is raised as by `create`."""

    async def script(peer: Peer, request: Request) -> None:
        peer.close()

    async with raw_server(script) as server, calling(server.base_url) as sms:
        error = await failure_of(
            sms.campaigns.with_raw_response.create(
                name="Parcels", message=MESSAGE, sender_id="DEMO", contacts=NUMBERS
            )
        )
        assert isinstance(error, APIConnectionError)
        assert error.delivery is Delivery.UNKNOWN
