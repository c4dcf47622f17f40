"""The table: what each status and body of a reply to a POST means.

Every row is played by a real socket, on a fresh connection and on a re-used one, on our own session and on a
borrowed one, and one row of each kind on uvloop too; the server counts the POSTs.
"""

import json
import logging

import pytest
from attrs import frozen

from api.calling import (
    ECHO,
    SECRETS,
    TOKEN,
    after,
    any_loop,
    assert_says,
    calling,
    create,
    every_way,
    failure_of,
)
from rawserver import Peer, Request, good_reply, raw_server
from smspop_async import (
    AccountInactiveError,
    APIStatusError,
    AuthenticationError,
    ContentRejectedError,
    Delivery,
    InsufficientCreditsError,
    InvalidSenderError,
    OutcomeUnknownError,
    PermissionDeniedError,
    ServerError,
    SmsPopError,
    UnreadableResponseError,
    ValidationError,
)

pytestmark = pytest.mark.anyio

SAMPLE = """{
  "success": true,
  "message": "Successfully imported 2 contacts and SMS sending completed.",
  "campaign":{"name":"Test Campaign Manual","message":"Test sms2","sender_id":"SMSPoe","status":"approved"}, ,
  "summary": { "sent": 2, "failed": 0 },
  "contacts":[{"phone_number":"263776137000","status":"sent"},{"phone_number":"263776137222","status":"sent"}]},
}"""
"""The vendor's own sample of a reply, which is not JSON."""
HTML = f"<html><body><h1>Oops</h1>{ECHO}</body></html>"


@frozen
class Row:
    """One reply and what it means."""

    status: int
    body: str | bytes
    kind: type[SmsPopError]
    delivery: Delivery
    headers: tuple[str, ...] = ()
    label: str = ""

    def __str__(self) -> str:
        return f"{self.status}-{self.label or self.kind.__name__}"


def said(message: str = ECHO, *, success: object = False, **more: object) -> str:
    return json.dumps({"success": success, "message": message, **more})


def unreadable(body: str | bytes, label: str, status: int = 200) -> Row:
    return Row(status, body, UnreadableResponseError, Delivery.UNKNOWN, label=label)


def refused(status: int, body: str, kind: type[SmsPopError] = APIStatusError, label: str = "") -> Row:
    return Row(status, body, kind, Delivery.REJECTED, label=label)


def redirect(status: int, location: str | None, *, rejected: bool, label: str, body: str = "") -> Row:
    kind, delivery = (
        (APIStatusError, Delivery.REJECTED) if rejected else (OutcomeUnknownError, Delivery.UNKNOWN)
    )
    return Row(status, body, kind, delivery, (f"Location: {location}",) if location else (), label)


SECRET_URL = f"//user:{TOKEN}@elsewhere.example/api/campaigns?token={TOKEN}#{TOKEN}"

SUCCESS_IN_DOUBT = [
    unreadable(HTML, "html"),
    unreadable("", "empty"),
    unreadable("", "empty-204", 204),
    unreadable("", "empty-201", 201),
    unreadable(SAMPLE, "the-vendors-own-sample"),
    unreadable("null", "null"),
    unreadable("[]", "array"),
    unreadable(f"[{good_reply([])}]", "good-reply-in-an-array"),
    unreadable("true", "true"),
    unreadable('"success"', "text"),
    unreadable("{}", "nothing-said"),
    unreadable(json.dumps({"message": ECHO}), "no-success"),
    unreadable(said(success=None), "success-null"),
    unreadable(said(success="perhaps"), "success-perhaps"),
    unreadable(said(success=[True]), "success-list"),
    unreadable(said(success=2), "success-2"),
    unreadable('{"success": true, "message": "Success', "cut-short"),
    unreadable(b'{"success": true, "message": "\xff\xfe"}', "not-utf-8"),
    unreadable("[" * 100_000, "nested-too-deeply"),
    unreadable('{"success":' * 100_000, "objects-nested-too-deeply"),
    unreadable('{"success": ' + "1" * 5_000 + "}", "number-too-long"),
    unreadable(f"<br />\n<b>Fatal error</b>: {ECHO}", "php-fatal"),
    unreadable(f"<b>Warning</b>: {ECHO}\n{good_reply([])}", "php-warning-before-json"),
    unreadable(said(campaign={"name": "Parcels"}), "refusal-with-campaign"),
    unreadable(said(summary={"sent": 1, "failed": 2}), "refusal-with-sent"),
    unreadable(said(summary={"sent": "1"}), "refusal-with-sent-as-text"),
    unreadable(said(contacts=[{"phone_number": "263770000001", "status": "Sent"}]), "refusal-with-sent-row"),
    unreadable(said(data={"x": 1}, success=0.5), "success-half"),
    *(unreadable(said(summary={"sent": sent}), f"refusal-with-sent-{label}")
      for sent, label in (("2 of 3", "in words"), (True, "true"), ([1], "list"), (0.5, "half"), ("all", "all"))),
    *(unreadable(said(contacts=[{"phone_number": "263770000001", "status": word}]), f"refusal-with-{word}-row")
      for word in ("delivered", "queued", 1)),
]  # fmt: skip
REFUSED_BY_2XX = [
    refused(200, said(), label="false"),
    refused(201, said(), label="false"),
    refused(200, said(success="false"), label="false-as-text"),
    refused(200, said(success=0), label="false-as-0"),
    refused(200, said(success="0"), label="false-as-text-0"),
    refused(200, json.dumps({"success": False}), label="no-words"),
    refused(200, said(campaign=None), label="campaign-null"),
    refused(200, said(campaign=[]), label="campaign-empty"),
    refused(200, said(summary={"sent": 0, "failed": 3}), label="none-sent"),
    refused(200, said(summary=[], contacts=[]), label="empty-maps"),
    refused(200, said(summary={"sent": "0"}), label="none-sent-as-text"),
    refused(200, said(summary={"sent": None}), label="none-sent-as-null"),
    refused(200, said(contacts=[{"phone_number": "263770000001", "status": "failed"}]), label="failed-rows"),
    refused(200, said(contacts=[{"phone_number": "263770000001", "status": " Failed"}]), label="failed-odd"),
    refused(
        200, said(contacts=[{"phone_number": "263770000001"}, {"status": None}]), label="rows-of-no-word"
    ),
    refused(200, "\ufeff" + said(), label="byte-order-mark"),
]
REFUSED_BY_4XX = [
    refused(401, json.dumps({"message": "Unauthenticated."}), AuthenticationError),
    refused(401, HTML, AuthenticationError, "401-html"),
    refused(401, said(), AuthenticationError, "401-echo"),
    refused(
        402, said("Insufficient credits. Please purchase more SMS credits"), InsufficientCreditsError
    ),
    refused(402, said(), InsufficientCreditsError, "402-echo"),
    refused(403, said("Your account is inactive. Please contact support."), AccountInactiveError),
    refused(
        403,
        said(f"Campaign rejected: Content classified as political is not allowed {ECHO}"),
        ContentRejectedError,
    ),
    refused(403, said(), PermissionDeniedError),
    refused(403, HTML, PermissionDeniedError, "403-html"),
    refused(422, said("Invalid sender ID"), InvalidSenderError),
    refused(422, said(errors={"sender_id": [ECHO]}), InvalidSenderError, "422-sender-field"),
    refused(422, said("Validation failed", errors={"manual_contacts": [ECHO], ECHO: [ECHO]}), ValidationError),
    refused(422, said("Validation failed", errors=[]), ValidationError, "422-no-errors-by-php"),
    refused(422, said("Validation failed", errors={"name": ECHO}), ValidationError, "422-bare-word"),
    refused(422, said("Validation failed", errors={"name": {"x": 1}}), ValidationError, "422-odd-word"),
    refused(422, HTML, ValidationError, "422-html"),
    *(refused(status, body, label=label)
      for status in (400, 404, 405, 406, 407, 408, 409, 410, 413, 415, 418, 419, 423, 425, 431, 451, 499)
      for label, body in (("json", said()), ("html", HTML), ("empty", ""))),
    refused(400, '{"success": false, "message": "No", , "summary": {"sent": 0}}', label="not-json"),
    refused(400, "Too many requests were sent.", label="words"),
]  # fmt: skip
CLAIMS_OF_SUCCESS = [
    Row(status, body, OutcomeUnknownError, Delivery.UNKNOWN, label=label)
    for status in (400, 401, 402, 408, 409, 413, 422, 429, 499)
    for label, body in (
        ("success", said(success=True)),
        ("success-as-1", said(success=1)),
        ("success-as-text", said(success="TRUE")),
        ("sent", said(summary={"sent": 1})),
        ("sent-row", said(contacts=[{"phone_number": "263770000001", "status": "sent"}])),
        ("odd-row", said(contacts=[{"phone_number": "263770000001", "status": "delivered"}])),
        ("the-vendors-own-sample", SAMPLE),
        ("php-warning-before-json", f"<b>Warning</b>: {ECHO}\n{good_reply([])}"),
        ("not-utf-8", b'{"success" : "TRUE", "message": "envoy\xe9"}'),
        ("success-as-1-not-json", "{'x', \"success\":1,}"),
        ("sent-not-json", '{"summary": {"sent": 12, "failed": 0},}'),
        ("sent-as-text-not-json", '{"summary": {"sent": "3"},}'),
        ("sent-row-not-json", '{"contacts":[{"phone_number":"263770000001","status":"Sent"},]}'),
        ("cut-short", '{"success": true, "mess'),
        ("cut-shorter", ' {"suc'),
        ("in-an-array", f"[{good_reply([])}]"),
    )
]
REDIRECTS = [
    redirect(301, "https:" + SECRET_URL, rejected=True, label="to-https", body=HTML),
    redirect(308, "https:" + SECRET_URL, rejected=True, label="to-https"),
    redirect(302, "https://elsewhere.example/login", rejected=True, label="to-login"),
    redirect(302, "/login", rejected=True, label="to-login-here"),
    redirect(301, "http:" + SECRET_URL, rejected=False, label="to-http"),
    redirect(308, "http:" + SECRET_URL, rejected=False, label="to-http"),
    redirect(301, SECRET_URL, rejected=False, label="same-scheme"),
    redirect(301, None, rejected=False, label="to-nowhere"),
    redirect(301, "https://[bad", rejected=False, label="to-garbage"),
    redirect(302, "https:" + SECRET_URL, rejected=False, label="elsewhere"),
    redirect(302, "/dashboard", rejected=False, label="to-dashboard"),
    redirect(303, "/login", rejected=False, label="see-other"),
    redirect(304, None, rejected=False, label="not-modified"),
    redirect(307, "https:" + SECRET_URL, rejected=False, label="temporary"),
    redirect(300, None, rejected=False, label="choices", body=HTML),
    redirect(399, "/login", rejected=False, label="odd"),
]
SERVER_FAILURES = [
    Row(status, body, ServerError, Delivery.UNKNOWN, label=label)
    for status in (500, 501, 502, 503, 504, 520, 521, 522, 524, 530, 599)
    for label, body in (("html", HTML), ("json", said()), ("success", said(success=True)))
]
ODD_STATUSES = [
    Row(status, body, OutcomeUnknownError, Delivery.UNKNOWN, label="odd")
    for status, body in ((101, ""), (600, said()), (777, said(success=True)), (999, HTML))
]
KINDS = (
    SUCCESS_IN_DOUBT,
    REFUSED_BY_2XX,
    REFUSED_BY_4XX,
    CLAIMS_OF_SUCCESS,
    REDIRECTS,
    SERVER_FAILURES,
    ODD_STATUSES,
)


async def play(row: Row, *, reused: bool, owned: bool) -> list[Request]:
    """Call a server that answers with `row`, check the error, and return the POSTs that it saw."""

    async def script(peer: Peer, request: Request) -> None:
        body = row.body.encode() if isinstance(row.body, str) else row.body
        await peer.reply(row.status, body, "Content-Type: application/json", *row.headers)

    async with (
        raw_server(after(reused, script)) as server,
        calling(server.base_url, owned=owned) as sms,
    ):
        if reused:
            await create(sms)
        error = await failure_of(create(sms))
        assert_says(error, row.kind, row.delivery)
        assert getattr(error, "status", row.status) == row.status
        assert server.connections == 1
        return server.posts


@every_way
@pytest.mark.parametrize("row", [row for kind in KINDS for row in kind], ids=str)
async def test_reply_means_what_the_table_says(
    row: Row, reused: bool, owned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A reply decides the class and the delivery of the error, is never asked for twice, and leaks nothing."""
    caplog.set_level(logging.DEBUG)
    posts = await play(row, reused=reused, owned=owned)
    assert len(posts) == reused + 1
    for secret in SECRETS:
        assert secret not in caplog.text


@any_loop
@every_way
@pytest.mark.parametrize("row", [kind[0] for kind in KINDS], ids=str)
async def test_reply_means_the_same_on_every_loop(row: Row, reused: bool, owned: bool) -> None:
    """The event loop has no say in what a reply means."""
    assert len(await play(row, reused=reused, owned=owned)) == reused + 1


async def test_redirect_to_https_names_the_base_url_to_set() -> None:
    """The error for a moved API names the address to configure, without what may be secret in it."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.reply(308, b"", "Location: https:" + SECRET_URL)

    async with raw_server(script) as server, calling(server.base_url) as sms:
        error = await failure_of(create(sms))
    assert "Set base_url (or SMSPOP_BASE_URL) to https://elsewhere.example/api." in str(error)


async def test_category_of_rejected_content_is_told() -> None:
    """The category in the API's words is an attribute, also where the words around it are redacted."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.json(403, said("Campaign rejected: Content classified as political is not allowed"))

    async with raw_server(script) as server, calling(server.base_url) as sms:
        error = await failure_of(create(sms))
    assert isinstance(error, ContentRejectedError)
    assert error.category == "political"
    assert error.api_message == "Campaign rejected: Content classified as political is not allowed"


@pytest.mark.parametrize(
    ("message", "status", "words", "kind"),
    [
        ("inactive!", 403, "Your account is inactive! Please contact support.", AccountInactiveError),
        ("rejected", 403, "Campaign rejected: no", ContentRejectedError),
        ("sender ID", 422, "Invalid sender ID", InvalidSenderError),
    ],
)
async def test_class_does_not_depend_on_the_text_that_was_sent(
    message: str, status: int, words: str, kind: type[SmsPopError]
) -> None:
    """A refusal whose words happen to be those of the message is still told by its own class."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.json(status, said(words))

    async with raw_server(script) as server, calling(server.base_url) as sms:
        error = await failure_of(
            sms.campaigns.create(name="n", message=message, sender_id="DEMO", contacts="263770000001")
        )
    assert type(error) is kind
    assert message not in error.api_message
