"""Reading the list of campaigns, page by page, and knowing whether it was read to its end."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from yarl import URL

from smspop_async.api.refusals import Context, refusal, server_error
from smspop_async.api.retry import backoff
from smspop_async.api.submit import connection_error
from smspop_async.api.transport import NoReplyError, Reply
from smspop_async.api.wire import CAMPAIGNS, Page, decode_object, read_page
from smspop_async.errors import APIStatusError, Delivery, RateLimitError, SmsPopError, UnreadableResponseError
from smspop_async.mask import Redactor

if TYPE_CHECKING:
    from smspop_async.api.client import ApiClient

PAGE_CAP = 1_000
"""Pages of a list that are read at most."""


async def list_pages(client: "ApiClient", *, page_cap: int = PAGE_CAP) -> AsyncGenerator[Page, None]:
    """Iterate over the pages; finishing without an error means that the last one is proven to be the last.

    Only ``page`` or ``cursor`` is taken out of the address of the next page; the address itself is never fetched.

    Raises:
        APIConnectionError: no reply after the retries.
        APIStatusError: the API refused or failed.
        UnreadableResponseError: not a list of campaigns, or a list without a provable end.
    """
    query: dict[str, str] = {}
    seen: set[tuple[tuple[str, str], ...]] = set()
    for _ in range(page_cap):
        page = await fetch_page(client, query)
        yield page
        if page.is_last:
            return
        query = dict(page.next_query or {})
        step = tuple(sorted(query.items()))
        if not query or step in seen:
            raise UnreadableResponseError(
                "The list of campaigns goes on, but not in a way that can be followed.",
                status=200,
                delivery=Delivery.NOT_SENT,
            )
        seen.add(step)
    raise UnreadableResponseError(
        f"The list of campaigns has more than {page_cap} pages; only those were read.",
        status=200,
        delivery=Delivery.NOT_SENT,
    )


async def fetch_page(client: "ApiClient", query: dict[str, str]) -> Page:
    """Fetch one page. A GET sends nothing, so it is retried on connection errors, 429 and 5xx, within a budget.

    Raises:
        APIConnectionError: no reply after the retries.
        APIStatusError: the API refused or failed.
        UnreadableResponseError: the reply is not a list of campaigns.
    """
    submitter = client.submitter
    failed = 0
    while True:
        page = await _try_page(client, query)
        if isinstance(page, Page):
            client.budget.succeed()
            return page
        failed += 1
        if failed >= submitter.retry.attempts or not _worth_repeating(page) or not client.budget.spend():
            raise page
        wait = backoff(submitter.retry, failed, submitter.clock.draw())
        if isinstance(page, RateLimitError) and page.retry_after is not None:
            wait = min(page.retry_after, submitter.retry.max_retry_after)
            submitter.gate.hold(wait)
        await submitter.clock.sleep(wait)


def _worth_repeating(error: SmsPopError) -> bool:
    if isinstance(error, APIStatusError):
        return error.status == 429 or error.status >= 500  # noqa: PLR2004 - RFC 9110 and 6585
    return not isinstance(error, UnreadableResponseError)


async def _try_page(client: "ApiClient", query: dict[str, str]) -> Page | SmsPopError:
    submitter = client.submitter
    url = URL(client.url(CAMPAIGNS), encoded=True).with_query(query)
    await submitter.gate.passing(submitter.clock.sleep)
    async with submitter.transport.slot():
        headers = await submitter.headers()
        try:
            reply = await submitter.transport.get(url, headers, submitter.timeouts)
        except NoReplyError as failure:
            return connection_error(failure, Delivery.NOT_SENT, "Nothing was sent by asking for the list.")
    return _read(reply, client, headers["Authorization"].partition(" ")[2])


def _read(reply: Reply, client: "ApiClient", token: str) -> Page | SmsPopError:
    if reply.status >= 500:  # noqa: PLR2004
        return server_error(reply.status, Delivery.NOT_SENT)
    if not 200 <= reply.status <= 299:  # noqa: PLR2004
        context = Context(
            url=client.url(CAMPAIGNS), redact=Redactor((token,)), now=client.submitter.clock.wall()
        )
        return refusal(reply, decode_object(reply.body) or {}, context)
    page = read_page(reply.body)
    if page is None:
        return UnreadableResponseError(
            f"The server answered {reply.status} with something that is not a list of campaigns.",
            status=reply.status,
            delivery=Delivery.NOT_SENT,
        )
    return page
