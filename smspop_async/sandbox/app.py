"""The API on aiohttp: reads a request, lets a fault meet it, answers, and keeps the journal.

Like PHP-FPM (observed), a request that was read is processed to its end even when the client has hung up
meanwhile: a campaign can be sent although nobody waits for its answer any more.
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from attrs import evolve, frozen

from smspop_async.sandbox.campaigns import bearer_token, create_campaign, document_sample, list_campaigns
from smspop_async.sandbox.deliver import Gate, deliver, hang_up
from smspop_async.sandbox.faults import Fault, FaultBook, FaultKind
from smspop_async.sandbox.ledger import Ledger
from smspop_async.sandbox.received import RequestJournal
from smspop_async.sandbox.replies import (
    FATAL_PAGE,
    HTML_TYPE,
    Reply,
    content_rejected,
    refusal,
    status_reply,
)

log: logging.Logger = logging.getLogger("smspop_async.sandbox")
"""Where aiohttp logs what goes wrong in a handler."""

CAMPAIGNS_PATH = "/api/campaigns"
_PIECE = 64 * 1024


@frozen(kw_only=True)
class CampaignApi:
    """The handler of everything under ``/api/``."""

    ledger: Ledger
    faults: FaultBook
    journal: RequestJournal
    gate: Gate
    clock: Callable[[], datetime]
    flush: Callable[[], Awaitable[None]]
    """Makes what happened durable, before it is answered."""
    address: str
    """Scheme, host and port, without a slash at the end."""
    latency: float
    page_size: int
    max_body: int

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; nothing happens for one that never came whole."""
        try:
            raw, too_large = await self._read(request)
        except ConnectionError:
            return hang_up(request)
        except web.RequestPayloadError:
            raise web.HTTPBadRequest from None
        fault = self.faults.take(request.method)
        number = self.journal.receive(
            at=self.clock(),
            method=request.method,
            url=f"{self.address}{request.path_qs}",
            headers=request.headers.items(),
            body=raw,
            fault=fault.label if fault else None,
        )
        if await self._wait(fault):
            return hang_up(request)
        reply = self._refuse(fault, request)
        if reply is None:
            reply = spoil(self._process(request, raw, too_large=too_large), fault)
            await self.flush()
        if not (fault and fault.silent):
            self.journal.answer(number, reply.status)  # before the client can see it, and look here
        return await deliver(request, reply, fault, self.gate)

    async def _read(self, request: web.Request) -> tuple[bytes, bool]:
        """Read the body; of one that is too large, only as much as it takes to see that."""
        body = bytearray()
        async for piece in request.content.iter_chunked(_PIECE):
            body += piece
            if len(body) > self.max_body:
                return b"", True
        return bytes(body), False

    async def _wait(self, fault: Fault | None) -> bool:
        extra = fault.seconds if fault and fault.kind is FaultKind.LATENCY else 0.0
        return await self.gate.wait(self.latency + extra)

    def _refuse(self, fault: Fault | None, request: web.Request) -> Reply | None:
        """Return the answer of a fault that comes before the processing; None to go on and process."""
        if fault is None:
            return None
        match fault.kind:
            case FaultKind.STATUS | FaultKind.REDIRECT | FaultKind.SUCCESS_FALSE:
                return canned(fault, self.address.replace("http:", "https:", 1) + request.path)
            case FaultKind.HANG_BEFORE | FaultKind.RESET_BEFORE | FaultKind.DISCONNECT_BEFORE:
                return Reply()  # never delivered
            case FaultKind.NO_CREDITS:
                self.ledger.set_credits(0)
            case FaultKind.REVOKE_TOKEN:
                self.ledger.revoke_token(bearer_token(request.headers))
            case _:
                pass
        return None

    def _process(self, request: web.Request, raw: bytes, *, too_large: bool) -> Reply:
        if too_large:
            return status_reply(413)
        if request.path != CAMPAIGNS_PATH:
            return status_reply(404)
        match request.method:
            case "POST":
                return create_campaign(self.ledger, request.headers, raw, home=f"{self.address}/")
            case "GET":
                return list_campaigns(
                    self.ledger,
                    request.headers,
                    request.query,
                    url=f"{self.address}{CAMPAIGNS_PATH}",
                    page_size=self.page_size,
                )
            case _:
                return evolve(status_reply(405), headers={"Allow": "GET, POST"})


def canned(fault: Fault, secure_url: str) -> Reply:
    """Return the answer of a fault of the kinds ``status``, ``redirect`` and ``success_false``.

    A redirect leads to the same host over https by default: a client that wrongly follows it must not
    end up at the vendor's.
    """
    if fault.kind is FaultKind.SUCCESS_FALSE:
        return refusal(200, fault.message or "Campaign could not be sent.")
    status = fault.status or 503
    if fault.category is not None:
        reply = evolve(content_rejected(fault.category), status=status)
    else:
        reply = status_reply(status, message=fault.message, errors=fault.errors)
    headers: dict[str, str] = {}
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    if 300 <= status < 400:  # noqa: PLR2004 - the redirects
        headers["Location"] = fault.location or secure_url
    return evolve(reply, headers=headers)


def spoil(reply: Reply, fault: Fault | None) -> Reply:
    """Return what becomes of an answer under a fault that comes after the processing."""
    match fault.kind if fault else None:
        case FaultKind.MALFORMED:
            return evolve(reply, body=document_sample(reply.body))
        case FaultKind.HTML:
            return Reply(body=FATAL_PAGE, content_type=HTML_TYPE)
        case FaultKind.EMPTY:
            return Reply(content_type=HTML_TYPE)
        case FaultKind.ERROR_AFTER if fault is not None:
            return canned(fault, "")
        case _:
            return reply


def is_discreet(record: logging.LogRecord) -> bool:
    """Tell whether a record may be logged.

    aiohttp logs the bytes of a request that it cannot parse, and a token may be among them. The client is told
    anyway, and a client that leaves in mid-request is no event at all.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, (HttpProcessingError, web.RequestPayloadError, ConnectionError))


log.addFilter(is_discreet)


@web.middleware
async def json_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Give aiohttp's own 404 and 405 the form of every other refusal."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        reply = status_reply(error.status)
        headers = {name: value for name, value in error.headers.items() if name == "Allow"}
        return web.Response(
            status=reply.status, body=reply.body, content_type="application/json", headers=headers
        )
