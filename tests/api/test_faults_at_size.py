"""The table once more, for campaigns large enough that their replies are read by proof instead of decoding.

A campaign of three contacts, as in the other tables, is below that size. Here twenty are sent, every reply holds twenty
rows wherever it can, and each test says whether they were read the fast way.
"""

import gzip
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from api.calling import MESSAGE, TOKEN, after, any_loop, assert_says, calling, create, every_way, failure_of
from rawserver import Peer, Request, Script, answer_all, fake_numbers, good_reply, raw_server
from smspop_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    Delivery,
    InsufficientCreditsError,
    OutcomeUnknownError,
    ServerError,
    SmsPopError,
    Status,
    Timeouts,
    UnreadableResponseError,
    ValidationError,
)
from smspop_async.api import classify as classifying
from smspop_async.api.expected import ExpectedRows, read_expected

pytestmark = pytest.mark.anyio

NUMBERS = fake_numbers(20, start=4_000_001)
BAD = frozenset(NUMBERS[3:9:2])
GOOD = good_reply(NUMBERS, BAD)
REPLY: dict[str, Any] = json.loads(GOOD)
ROWS: list[dict[str, str]] = REPLY["contacts"]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[ExpectedRows | None]:
    """What the fast way made of each reply of the test for our twenty contacts."""
    made: list[ExpectedRows | None] = []

    def reading(body: bytes, numbers: list[str]) -> ExpectedRows | None:
        made.append(read_expected(body, numbers))
        return made[-1]

    monkeypatch.setattr(classifying, "read_expected", reading)
    return made


def with_length(body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    size = b"Content-Length: %d" % (len(body) if length is None else length)
    return HEAD + b"\r\n".join((*headers, size)) + b"\r\n\r\n" + body


def chunked(body: bytes, size: int, *, end: bytes = b"0\r\n\r\n") -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + framed + end


def says(data: bytes, ending: str = "stays", *, piece: int = 2**20) -> Script:
    """Send so much in pieces, then stay, close or reset."""

    async def script(peer: Peer, request: Request) -> None:
        for at in range(0, len(data), piece):
            await peer.send(data[at : at + piece])
        if ending == "closes":
            peer.close()
        elif ending == "resets":
            peer.reset()

    return script


def rewritten(**changes: object) -> str:
    return json.dumps({**REPLY, **changes})


# Accepted.

WHOLE = GOOD.encode()
ACCEPTED: dict[str, tuple[Script, bool]] = {
    "documented": (says(with_length(json.dumps(REPLY, separators=(",", ":")).encode())), True),
    "spaced": (says(with_length(WHOLE)), True),
    "pretty": (says(with_length(json.dumps(REPLY, indent=4).encode())), True),
    "status-first": (
        says(with_length(rewritten(contacts=[dict(reversed(row.items())) for row in ROWS]).encode())),
        True,
    ),
    "in-another-order": (says(with_length(rewritten(contacts=ROWS[::-1]).encode())), True),
    "with-a-byte-order-mark": (says(with_length(b"\xef\xbb\xbf" + WHOLE)), False),
    "in-small-pieces": (says(with_length(WHOLE), piece=97), True),
    "in-chunks": (says(chunked(WHOLE, 333)), True),
    "in-chunks-of-a-byte": (says(chunked(WHOLE, 1), piece=500), True),
    "gzipped": (says(with_length(gzip.compress(WHOLE), b"Content-Encoding: gzip")), True),
    "until-the-server-closes": (says(HEAD + b"\r\n" + WHOLE, "closes"), True),
    "words-in-capitals": (says(with_length(GOOD.replace(': "sent"', ': "SENT"').encode())), False),
    "numbers-with-a-plus": (says(with_length(GOOD.replace('": "2637', '": "+2637').encode())), False),
    "rows-numbered": (
        says(
            with_length(rewritten(contacts=[{**row, "id": at} for at, row in enumerate(ROWS)]).encode())
        ),
        True,
    ),
    "rows-nested": (says(with_length(rewritten(contacts=[{**row, "more": {}} for row in ROWS]).encode())), False),
}  # fmt: skip


@any_loop
@every_way
@pytest.mark.parametrize("case", ACCEPTED)
async def test_accepted(case: str, reused: bool, owned: bool, readings: list[ExpectedRows | None]) -> None:
    """However the reply is laid out and arrives, each contact gets the status that stands by its number."""
    script, fast = ACCEPTED[case]
    async with raw_server(after(reused, script)) as server, calling(server.base_url, owned=owned) as sms:
        if reused:
            await create(sms, NUMBERS)
        result = await create(sms, NUMBERS)
        assert [contact.phone_number for contact in result.contacts] == NUMBERS
        assert {c.phone_number for c in result.contacts if c.status is Status.FAILED} == BAD
        assert (result.summary.sent, result.summary.failed) == (17, 3)
        assert result.discrepancies == ()
        assert len(server.posts) == reused + 1
    assert len(readings) == reused + 1
    assert (readings[-1] is not None) is fast


ODD: dict[str, tuple[list[object], dict[str, Status]]] = {
    "row-missing": (ROWS[1:], {NUMBERS[0]: Status.UNKNOWN}),
    "last-row-missing": (ROWS[:-1], {NUMBERS[-1]: Status.UNKNOWN}),
    "row-never-asked-for": ([{"phone_number": "263719999999", "status": "sent"}, *ROWS], {}),
    "row-never-asked-for-behind": ([*ROWS, {"phone_number": "263719999999", "status": "failed"}], {}),
    "row-for-somebody-else": (
        [{"phone_number": "263719999999", "status": "sent"}, *ROWS[1:]],
        {NUMBERS[0]: Status.UNKNOWN},
    ),
    "row-twice": ([*ROWS, ROWS[0]], {}),
    "row-twice-contradicting": ([*ROWS, {**ROWS[0], "status": "failed"}], {NUMBERS[0]: Status.UNKNOWN}),
    "row-in-place-of-another": ([ROWS[1], *ROWS[1:]], {NUMBERS[0]: Status.UNKNOWN}),
    "word-unheard-of": (
        [*ROWS[:-1], {**ROWS[-1], "status": "queued"}],
        {NUMBERS[-1]: Status.UNKNOWN},
    ),
    "no-rows": ([], dict.fromkeys(NUMBERS, Status.ACCEPTED)),
}


@pytest.mark.parametrize("case", ODD)
async def test_oddities_move_nobodys_status_to_a_neighbour(
    case: str, readings: list[ExpectedRows | None]
) -> None:
    """A row that is missing, foreign, doubled or unheard of changes its own contact alone."""
    rows, changed = ODD[case]
    script = says(with_length(rewritten(contacts=rows).encode()))
    async with raw_server(script) as server, calling(server.base_url) as sms:
        result = await create(sms, NUMBERS)
    expected = {number: Status.FAILED if number in BAD else Status.SENT for number in NUMBERS} | changed
    assert {contact.phone_number: contact.status for contact in result.contacts} == expected
    assert result.discrepancies
    assert readings == [None]


async def test_summary_that_disagrees_is_told(readings: list[ExpectedRows | None]) -> None:
    """Rows that are as expected are held against the summary as any others are."""
    script = says(with_length(rewritten(summary={"sent": 20, "failed": 0}).encode()))
    async with raw_server(script) as server, calling(server.base_url) as sms:
        result = await create(sms, NUMBERS)
    assert (result.summary.sent, result.summary.failed) == (20, 0), "the summary is the API's own"
    assert [contact.status for contact in result.contacts].count(Status.FAILED) == 3
    assert len(result.discrepancies) == 1
    assert readings[0] is not None


# Replies that are whole, and say something else, or nothing clear.

HALF = WHOLE[: len(WHOLE) // 2]
UNREADABLE: dict[str, bytes] = {
    "cut-in-the-rows": HALF,
    "cut-behind-a-row": WHOLE[: WHOLE.index(b"},", WHOLE.index(b'"contacts"')) + 1],
    "cut-behind-the-rows": WHOLE[: WHOLE.rindex(b"]")],
    "cut-behind-the-list": WHOLE[:-1],
    "warning-before": b"<b>Warning</b>: x\n" + WHOLE,
    "warning-behind": WHOLE + b"<b>Warning</b>: x",
    "twice": WHOLE + WHOLE,
    "in-a-list": b"[" + WHOLE + b"]",
    "rows-alone": json.dumps(ROWS).encode(),
    "comma-comma-like-the-vendors-sample": WHOLE.replace(b', "summary"', b', ,"summary"'),
    "comma-behind-like-the-vendors-sample": WHOLE[:-1] + b",}",
    "no-success": json.dumps({key: value for key, value in REPLY.items() if key != "success"}).encode(),
    "success-null": rewritten(success=None).encode(),
    "success-perhaps": rewritten(success="perhaps").encode(),
    "refusal-that-sent": rewritten(success=False).encode(),
    "refusal-with-rows-alone": json.dumps({"success": False, "contacts": ROWS}).encode(),
    "not-utf-8": WHOLE.replace(b"completed", b"\xff\xfe"),
}


@every_way
@pytest.mark.parametrize("case", UNREADABLE)
async def test_perfect_rows_do_not_make_a_reply_clear(case: str, reused: bool, owned: bool) -> None:
    """A 2xx that is no JSON object or does not say yes is UNKNOWN, be its rows as expected."""
    script = says(with_length(UNREADABLE[case]))
    async with raw_server(after(reused, script)) as server, calling(server.base_url, owned=owned) as sms:
        if reused:
            await create(sms, NUMBERS)
        assert_says(await failure_of(create(sms, NUMBERS)), UnreadableResponseError, Delivery.UNKNOWN)
        assert len(server.posts) == reused + 1


OTHER_STATUSES: dict[str, tuple[int, str, type[SmsPopError], Delivery]] = {
    "500": (500, GOOD, ServerError, Delivery.UNKNOWN),
    "504": (504, GOOD, ServerError, Delivery.UNKNOWN),
    "422-claiming-success": (422, GOOD, OutcomeUnknownError, Delivery.UNKNOWN),
    "422-with-sent-rows": (
        422, json.dumps({"success": False, "contacts": ROWS}), OutcomeUnknownError, Delivery.UNKNOWN
    ),
    "302": (302, GOOD, OutcomeUnknownError, Delivery.UNKNOWN),
    "600": (600, GOOD, OutcomeUnknownError, Delivery.UNKNOWN),
    "401": (401, '{"message": "Unauthenticated."}', AuthenticationError, Delivery.REJECTED),
    "402": (402, '{"success": false, "message": "Insufficient credits."}', InsufficientCreditsError,
            Delivery.REJECTED),
    "422": (422, '{"message": "Validation failed", "errors": {"name": ["x"]}}', ValidationError,
            Delivery.REJECTED),
    "413": (413, "<html>413 Request Entity Too Large</html>", APIStatusError, Delivery.REJECTED),
    "200-refusing": (200, '{"success": false, "message": "Could not import contacts"}', APIStatusError,
                     Delivery.REJECTED),
    "200-refusing-with-failed-rows": (
        200, json.dumps({"success": False, "contacts": [{**row, "status": "failed"} for row in ROWS]}),
        APIStatusError, Delivery.REJECTED,
    ),
}  # fmt: skip


@every_way
@pytest.mark.parametrize("case", OTHER_STATUSES)
async def test_status_counts_before_the_rows(case: str, reused: bool, owned: bool) -> None:
    """What is not a 2xx is no acceptance, whatever its rows say; refusals of a large campaign are refusals."""
    status, body, kind, delivery = OTHER_STATUSES[case]

    async def script(peer: Peer, request: Request) -> None:
        await peer.json(status, body)

    async with raw_server(after(reused, script)) as server, calling(server.base_url, owned=owned) as sms:
        if reused:
            await create(sms, NUMBERS)
        assert_says(await failure_of(create(sms, NUMBERS)), kind, delivery)
        assert len(server.posts) == reused + 1


async def test_rate_limit_is_waited_out_and_the_reply_behind_it_read_fast(
    readings: list[ExpectedRows | None],
) -> None:
    """A 429 sent nobody, so the campaign is posted again, once."""

    async def script(peer: Peer, request: Request) -> None:
        if len(server.posts) == 1:
            await peer.json(429, '{"message": "Too Many Attempts."}', "Retry-After: 3")
        else:
            await answer_all(peer, request)

    async with raw_server(script) as server, calling(server.base_url) as sms:
        assert (await create(sms, NUMBERS)).summary.sent == len(NUMBERS)
        assert len(server.posts) == 2
        assert server.posts[0].body == server.posts[1].body
    assert readings[0] is not None


# No whole reply.

LOST: dict[str, Callable[[], Script]] = {
    "hang-up": lambda: says(b"", "closes"),
    "reset": lambda: says(b"", "resets"),
    "cut-in-the-rows": lambda: says(with_length(HALF, length=len(WHOLE)), "closes"),
    "reset-in-the-rows": lambda: says(with_length(HALF, length=len(WHOLE)), "resets"),
    "all-but-the-last-byte": lambda: says(with_length(WHOLE[:-1], length=len(WHOLE)), "closes"),
    "whole-but-the-length-is-longer": lambda: says(with_length(WHOLE, length=len(WHOLE) + 1), "closes"),
    "chunks-without-an-end": lambda: says(chunked(WHOLE, 300, end=b""), "closes"),
    "chunks-cut-in-the-rows": lambda: says(chunked(HALF, 300, end=b""), "resets"),
    "chunk-of-garbage": lambda: says(chunked(HALF, 300, end=b"zz\r\n")),
    "gzip-cut-short": lambda: says(
        with_length(gzip.compress(WHOLE)[:-12], b"Content-Encoding: gzip", length=len(gzip.compress(WHOLE))),
        "closes",
    ),
    "no-http": lambda: says(WHOLE + b"\r\n\r\n"),
}


@any_loop
@every_way
@pytest.mark.parametrize("case", LOST)
async def test_reply_that_broke_off_is_unknown(
    case: str, reused: bool, owned: bool, readings: list[ExpectedRows | None]
) -> None:
    """However much of the rows arrived, a reply that broke off is read by nobody: UNKNOWN, and no second POST."""
    async with (
        raw_server(after(reused, LOST[case]())) as server,
        calling(server.base_url, owned=owned) as sms,
    ):
        if reused:
            await create(sms, NUMBERS)
        assert_says(await failure_of(create(sms, NUMBERS)), APIConnectionError, Delivery.UNKNOWN)
        assert len(server.posts) == reused + 1
    assert len(readings) == reused


@any_loop
@pytest.mark.parametrize("framing", ["length", "chunks", "until-the-server-closes"])
@pytest.mark.parametrize("part", ["half", "all"])
async def test_reply_that_stalls_is_unknown(
    framing: str, part: str, readings: list[ExpectedRows | None]
) -> None:
    """All rows in hand and no end of the reply: the limit passes, and nothing of it is believed."""
    body = HALF if part == "half" else WHOLE
    data = {
        "length": with_length(body, length=len(WHOLE) + 1),
        "chunks": chunked(body, 300, end=b""),
        "until-the-server-closes": HEAD + b"\r\n" + body,
    }[framing]
    limits = Timeouts(connect=None, read=0.08, total=None)
    async with raw_server(says(data)) as server, calling(server.base_url, timeout=limits) as sms:
        assert_says(await failure_of(create(sms, NUMBERS)), APITimeoutError, Delivery.UNKNOWN)
        assert len(server.posts) == 1
    assert readings == []


async def test_values_read_by_proof_show_no_secret(readings: list[ExpectedRows | None]) -> None:
    """A result that was read the fast way prints as discreetly as any other, and pickles."""
    async with raw_server(answer_all) as server, calling(server.base_url) as sms:
        result = await create(sms, NUMBERS)
        response = await sms.campaigns.with_raw_response.create(
            name="Parcels", message=MESSAGE, sender_id="DEMO", contacts=NUMBERS
        )
    assert len([reading for reading in readings if reading is not None]) == 2
    for shown in (repr(result), repr(list(result.contacts)), repr(response)):
        for secret in (TOKEN, MESSAGE, *NUMBERS):
            assert secret not in shown
    assert json.loads(response.body)["contacts"][0]["phone_number"] == NUMBERS[0]
    assert pickle.loads(pickle.dumps(result)) == result
    json.dumps(dict(result.campaign.extra))
