"""Reading the list of campaigns, page by page, and knowing whether it was read to its end."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from attrs import field, frozen
from yarl import URL

from smspop_async.api.refusals import Context, refusal, server_error
from smspop_async.api.reply import NoReplyError, Reply
from smspop_async.api.retry import backoff
from smspop_async.api.submit import connection_error
from smspop_async.api.wire import CAMPAIGNS, Page, decode_object, read_page
from smspop_async.errors import (
    APIConnectionError,
    APIStatusError,
    Delivery,
    RateLimitError,
    SmsPopError,
    UnreadableResponseError,
)

if TYPE_CHECKING:
    from smspop_async.api.client import ApiClient

PAGE_CAP = 1_000
"""Pages of a list that are read at most."""


async def list_pages(client: "ApiClient", *, page_cap: int = PAGE_CAP) -> AsyncGenerator[Page, None]:
    """Iterate over the pages; finishing without an error means that the last one is proven to be the last.

    Only ``page`` or ``cursor`` is taken out of the address of the next page, which itself is never fetched.

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


@frozen(kw_only=True)
class Look:
    """What asking for one page came to."""

    page: Page | SmsPopError = field(repr=False)
    reply: Reply | None = None
    """None where no whole reply came."""

    @property
    def error(self) -> SmsPopError:
        """The failure; asked for only where there is one."""
        assert isinstance(self.page, SmsPopError)  # noqa: S101 - the caller looked
        return self.page


async def fetch_page(client: "ApiClient", query: dict[str, str]) -> Page:
    """Fetch one page.

    Raises:
        APIConnectionError: no reply after the retries.
        APIStatusError: the API refused or failed.
        UnreadableResponseError: the reply is not a list of campaigns.
    """
    look = await look_at_page(client, query)
    if isinstance(look.page, Page):
        return look.page
    raise look.error


async def look_at_page(client: "ApiClient", query: dict[str, str]) -> Look:
    """Ask for one page.

    A GET sends nothing, so it is retried on connection errors, 429 and 5xx, within a budget.

    Raises:
        ConfigurationError: the token, or the event loop, is not usable.
    """
    submitter = client.submitter
    failed = 0
    while True:
        look = await _look(client, query)
        if isinstance(look.page, Page):
            client.budget.succeed()
            return look
        failed += 1
        wait = backoff(submitter.retry, failed, submitter.clock.draw())
        if isinstance(look.error, RateLimitError) and look.error.retry_after is not None:
            wait = min(look.error.retry_after, submitter.retry.max_retry_after)
            submitter.gate.hold(wait)
        if (
            failed >= submitter.retry.attempts
            or not _worth_repeating(look.error)
            or not client.budget.spend()
        ):
            return look
        await submitter.clock.sleep(wait)


def _worth_repeating(error: SmsPopError) -> bool:
    if isinstance(error, APIStatusError):
        return error.status == 429 or error.status >= 500  # noqa: PLR2004 - RFC 9110 and 6585
    return isinstance(error, APIConnectionError)


async def _look(client: "ApiClient", query: dict[str, str]) -> Look:
    submitter = client.submitter
    url = URL(client.url(CAMPAIGNS), encoded=True).with_query(query)
    await submitter.gate.passing(submitter.clock.sleep)
    async with submitter.transport.slot():
        headers = await submitter.headers()
        try:
            reply = await submitter.transport.get(url, headers, submitter.timeouts)
        except NoReplyError as failure:
            return Look(
                page=connection_error(failure, Delivery.NOT_SENT, "Nothing was sent by asking for the list.")
            )
    return Look(page=_read(reply, submitter.context(headers)), reply=reply)


def _read(reply: Reply, context: Context) -> Page | SmsPopError:
    if reply.status >= 500:  # noqa: PLR2004
        return server_error(reply.status, Delivery.NOT_SENT)
    page = read_page(reply.body) if 200 <= reply.status <= 299 else None  # noqa: PLR2004
    if page is not None:
        return page
    body = decode_object(reply.body) or {}
    if not 200 <= reply.status <= 299 or body.get("success") is False:  # noqa: PLR2004
        return refusal(reply, body, context)
    return UnreadableResponseError(
        f"The server answered {reply.status} with something that is not a list of campaigns. "
        "Nothing was sent by asking for it.",
        status=reply.status,
        delivery=Delivery.NOT_SENT,
    )
