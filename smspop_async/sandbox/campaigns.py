"""The two endpoints as pure functions: a request's parts in, a `Reply` out.

``POST /api/campaigns``, in this order. Each refusal is marked *documented* (status and words), or *assumed*.

1. No valid bearer token: 401 (*documented*; the words are *assumed*).
2. The account is inactive: 403 (*documented*).
3. A field is missing or malformed: 422 with ``errors`` (*documented*). Where the request does not ask for
   JSON first in ``Accept``, Laravel redirects such a request to an HTML page instead (*assumed*).
4. The sender ID is not the account's: 422 (*documented*).
5. The message's content is classified: 403 that names the category (*documented*).
6. The credits do not cover every recipient: 402 and nobody is texted (*documented*).
7. Otherwise it is sent at once: 200 (*assumed*; the form of the body is *documented*).

The order is *assumed*. ``GET /api/campaigns`` lists "all campaigns for the authenticated user"
(*documented*); the form of the list is *assumed* to be Laravel's length-aware paginator, newest first.
"""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from smspop_async.sandbox.ledger import Ledger
from smspop_async.sandbox.magic import MagicTable, magic_among
from smspop_async.sandbox.records import Campaign
from smspop_async.sandbox.replies import (
    HTML_TYPE,
    INACTIVE,
    INVALID_SENDER,
    NO_CREDITS,
    UNAUTHENTICATED,
    VALIDATION_FAILED,
    Reply,
    content_rejected,
    json_reply,
    refusal,
    to_json,
)
from smspop_async.sandbox.validation import InvalidInputError, category_of, read_input, validate

MAX_PER_PAGE = 100
_LINKS_EACH_SIDE = 3


def bearer_token(headers: Mapping[str, str]) -> str:
    """Return the token of an ``Authorization: Bearer`` header, or an empty text."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def create_campaign(ledger: Ledger, headers: Mapping[str, str], raw: bytes, *, home: str) -> Reply:
    """Answer a POST, and send the campaign if nothing speaks against it.

    Args:
        ledger: The account.
        headers: The request's, case-insensitive.
        raw: The request's body.
        home: Where Laravel redirects a browser to.
    """
    if refused := _refuse_account(ledger, headers):
        return refused
    try:
        submission = validate(read_input(headers.get("Content-Type", ""), raw), ledger.magic)
    except InvalidInputError as error:
        if not _wants_json(headers.get("Accept", "")):
            return _redirect(home)
        return refusal(422, VALIDATION_FAILED, errors=error.errors)
    if submission.sender_id not in ledger.senders:
        return refusal(422, INVALID_SENDER)
    if category := category_of(submission.message):
        return content_rejected(category)
    campaign = ledger.accept(submission)
    return refusal(402, NO_CREDITS) if campaign is None else _success(campaign, ledger.magic)


def list_campaigns(
    ledger: Ledger, headers: Mapping[str, str], query: Mapping[str, str], *, url: str, page_size: int
) -> Reply:
    """Answer a GET with one page of the campaigns, newest first.

    Args:
        ledger: The account.
        headers: The request's, case-insensitive.
        query: ``page`` from 1 and ``per_page`` up to 100; what is not such a number counts as absent.
        url: The address of the endpoint, for the links.
        page_size: How many campaigns a page has where ``per_page`` is absent.
    """
    if refused := _refuse_account(ledger, headers):
        return refused
    page = _positive(query.get("page"), 1)
    per_page = min(_positive(query.get("per_page"), page_size), MAX_PER_PAGE)
    asked = f"per_page={per_page}&" if "per_page" in query else ""
    newest_first = range(len(ledger.campaigns) - 1, -1, -1)[(page - 1) * per_page : page * per_page]
    rows = [_row(ledger.campaigns[position]) for position in newest_first]
    total = len(ledger.campaigns)
    return json_reply(200, _paginator(rows, total, page, per_page, f"{url}?{asked}page="))


def document_sample(body: bytes) -> bytes:
    """Return a reply's body with the stray commas and brackets of the document's own sample.

    A body that is not a success comes back as it is.
    """
    if not body.startswith(b'{"success":true'):
        return body
    spoilt = body.replace(b'},"summary":', b'}, ,"summary":', 1)
    return spoilt.removesuffix(b"]}") + b"]},}"


def _refuse_account(ledger: Ledger, headers: Mapping[str, str]) -> Reply | None:
    if not ledger.knows_token(bearer_token(headers)):
        return refusal(401, UNAUTHENTICATED)
    return None if ledger.active else refusal(403, INACTIVE)


def _wants_json(accept: str) -> bool:
    """Laravel's ``wantsJson``: the first type of ``Accept``, by quality, is a JSON one."""
    types = [_quality(item) for item in accept.split(",")]
    _, first = max(types, key=lambda pair: pair[0])  # max keeps the first of equals
    return first.endswith(("/json", "+json"))


def _quality(item: str) -> tuple[float, str]:
    media_type, _, parameters = item.partition(";")
    quality = parameters.strip().removeprefix("q=")
    try:
        return float(quality or 1), media_type.strip().lower()
    except ValueError:
        return 1.0, media_type.strip().lower()


def _redirect(home: str) -> Reply:
    link = f'<a href="{home}">{home}</a>'
    page = f"<!DOCTYPE html>\n<html><body>Redirecting to {link}.</body></html>\n"
    return Reply(status=302, body=page.encode(), content_type=HTML_TYPE, headers={"Location": home})


def _success(campaign: Campaign, magic: MagicTable) -> Reply:
    head = {
        "success": True,
        "message": f"Successfully imported {campaign.total} contacts and SMS sending completed.",
        "campaign": {
            "name": campaign.name,
            "message": campaign.message,
            "sender_id": campaign.sender_id,
            "status": campaign.status,
        },
        "summary": {"sent": campaign.sent, "failed": campaign.failed},
    }
    body = f'{to_json(head)[:-1]},"contacts":[{_contact_rows(campaign, magic)}]}}'
    return Reply(body=body.encode())


def _contact_rows(campaign: Campaign, magic: MagicTable) -> str:
    present = magic_among(campaign.numbers, magic)
    if not present:  # one pass in C: thousands of rows in well under a millisecond
        rows = campaign.numbers.replace(",", '","status":"sent"},{"phone_number":"')
        return f'{{"phone_number":"{rows}","status":"sent"}}'
    spellings = {number: recipient.spelling for number, recipient in present.items()}
    return ",".join(
        to_json({"phone_number": spelling, "status": campaign.status_of(number)})
        for number in campaign.contacts
        if (spelling := spellings.get(number, number)) is not None
    )


def _row(campaign: Campaign) -> dict[str, Any]:
    return {
        "id": campaign.id,
        "name": campaign.name,
        "message": campaign.message,
        "sender_id": campaign.sender_id,
        "status": campaign.status,
        "created_at": f"{campaign.created_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
    }


def _positive(text: str | None, default: int) -> int:
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 9:  # noqa: PLR2004 - no page is that far
        return default
    return int(text) or default


def _paginator(rows: list[dict[str, Any]], total: int, page: int, per_page: int, link: str) -> dict[str, Any]:
    last = max(1, -(-total // per_page))
    first_row = (page - 1) * per_page + 1
    before = f"{link}{page - 1}" if page > 1 else None
    after = f"{link}{page + 1}" if page < last else None
    numbers = range(max(1, page - _LINKS_EACH_SIDE), min(last, page + _LINKS_EACH_SIDE) + 1)
    links = [{"url": f"{link}{n}", "label": str(n), "active": n == page} for n in numbers]
    return {
        "current_page": page,
        "data": rows,
        "first_page_url": f"{link}1",
        "from": first_row if rows else None,
        "last_page": last,
        "last_page_url": f"{link}{last}",
        "links": [
            {"url": before, "label": "&laquo; Previous", "active": False},
            *links,
            {"url": after, "label": "Next &raquo;", "active": False},
        ],
        "next_page_url": after,
        "path": link.partition("?")[0],
        "per_page": per_page,
        "prev_page_url": before,
        "to": first_row + len(rows) - 1 if rows else None,
        "total": total,
    }
