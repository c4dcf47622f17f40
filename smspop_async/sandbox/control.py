"""The control API under ``/_sandbox/``: what `Sandbox` offers in Python, for every other language.

It has no password, so it is guarded like any local service that a web page must not reach: the ``Host``
must be a loopback name (against DNS rebinding) and an ``Origin``, if there is one, must be the sandbox's
own (against forged cross-site requests).
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, cast

from aiohttp import web
from attrs import frozen

from smspop_async.errors import ConfigurationError
from smspop_async.sandbox.faults import PendingFault
from smspop_async.sandbox.loopback import is_loopback
from smspop_async.sandbox.openapi import MAX_COUNT, MAX_CREDITS, MAX_WAIT, describe
from smspop_async.sandbox.received import RecordedRequest
from smspop_async.sandbox.records import Message

if TYPE_CHECKING:
    from smspop_async.sandbox.server import Sandbox

_FAULT_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "kind": (int, str),
    "times": int,
    "probability": (int, float),
    "seed": int,
    "endpoint": (str, type(None)),
    "status": int,
    "message": str,
    "retry_after": (int, float, str),
    "errors": dict,
    "category": str,
    "location": str,
    "seconds": (int, float),
}
_INDEX = """\
SMSPop sandbox: it answers like the API and texts nobody.

API            {api}/campaigns      (POST sends, GET lists; bearer token)
control API    {here}_sandbox/        described in {here}_sandbox/openapi.json
messages       {here}_sandbox/messages
requests       {here}_sandbox/requests

There is no page yet.
"""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _BadRequestError(Exception):
    """The request cannot be understood; the text tells why."""


def control_routes(sandbox: "Sandbox") -> list[web.RouteDef]:
    """Return the routes of the control API and of the index, guarded."""
    control = Control(sandbox=sandbox)
    endpoints: list[tuple[str, str, Handler]] = [
        ("GET", "/", control.index),
        ("GET", "/_sandbox/health", control.health),
        ("GET", "/_sandbox/openapi.json", control.openapi),
        ("GET", "/_sandbox/messages", control.messages),
        ("GET", "/_sandbox/wait", control.wait),
        ("GET", "/_sandbox/requests", control.requests),
        ("POST", "/_sandbox/reset", control.reset),
        ("GET", "/_sandbox/faults", control.list_faults),
        ("POST", "/_sandbox/faults", control.add_fault),
        ("DELETE", "/_sandbox/faults", control.clear_faults),
        ("GET", "/_sandbox/credits", control.credits),
        ("POST", "/_sandbox/credits", control.set_credits),
        ("POST", "/_sandbox/account", control.set_account),
        ("POST", "/_sandbox/tokens", control.create_token),
        ("DELETE", "/_sandbox/tokens", control.revoke_token),
        ("POST", "/_sandbox/senders", control.add_sender),
    ]
    return [web.route(method, path, _guarded(handler)) for method, path, handler in endpoints]


def _guarded(handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if not is_loopback(_host_name(request.host)) or origin not in (None, f"http://{request.host}"):
            return _answer({"success": False, "message": "Only from this machine, and not from a page."}, 403)
        try:
            return await handler(request)
        except (_BadRequestError, ConfigurationError) as error:
            return _answer({"success": False, "message": str(error)}, 400)

    return guarded


@frozen(kw_only=True)
class Control:
    """The handlers. Each answers JSON; what cannot be understood is a 400 that tells why."""

    sandbox: "Sandbox"

    async def index(self, _: web.Request) -> web.StreamResponse:
        """Tell what is where, in plain text."""
        return web.Response(text=_INDEX.format(api=self.sandbox.api_url, here=self.sandbox.inbox_url))

    async def health(self, _: web.Request) -> web.StreamResponse:
        """Tell that it runs."""
        return _answer({"status": "ok"})

    async def openapi(self, _: web.Request) -> web.StreamResponse:
        """Give the description of everything served."""
        return _answer(describe(url=self.sandbox.inbox_url.rstrip("/"), senders=self.sandbox.senders))

    async def messages(self, request: web.Request) -> web.StreamResponse:
        """Search the messages by recipient and by the campaign's name."""
        found = self.sandbox.messages(to=request.query.get("to"))
        if (campaign := request.query.get("campaign")) is not None:
            found = [message for message in found if message.campaign == campaign]
        limit = _query_integer(request, "limit", 100, low=1, high=MAX_COUNT)
        newest = [message_json(message) for message in found[-limit:]]
        return _answer({"messages": newest, "total": len(found)})

    async def wait(self, request: web.Request) -> web.StreamResponse:
        """Answer as soon as the messages are there; 404 when they are not in time."""
        count = _query_integer(request, "count", 1, low=1, high=MAX_COUNT)
        seconds = _query_seconds(request, "timeout", 5.0, high=MAX_WAIT)
        to = request.query.get("to")
        try:
            await self.sandbox.wait_for(to=to, count=count, timeout=seconds)
        except TimeoutError as error:
            return _answer({"success": False, "message": str(error)}, 404)
        return _answer({"messages": [message_json(message) for message in self.sandbox.messages(to=to)]})

    async def requests(self, request: web.Request) -> web.StreamResponse:
        """Give the newest requests of the journal, each with a command that sends it again."""
        limit = _query_integer(request, "limit", 100, low=1, high=MAX_COUNT)
        return _answer({"requests": [request_json(kept) for kept in self.sandbox.requests[-limit:]]})

    async def reset(self, _: web.Request) -> web.StreamResponse:
        """Return to the state as constructed."""
        self.sandbox.reset()
        return await self._done({"success": True})

    async def list_faults(self, _: web.Request) -> web.StreamResponse:
        """Give the faults that wait."""
        return _answer({"faults": [fault_json(pending) for pending in self.sandbox.faults]})

    async def add_fault(self, request: web.Request) -> web.StreamResponse:
        """Let the next requests, or requests by chance, meet a fault."""
        values = _checked(await _read_object(request), _FAULT_FIELDS, required="kind")
        kind, times, seed = values.pop("kind"), values.pop("times", None), values.pop("seed", None)
        probability = values.pop("probability", None)
        if probability is None and seed is not None:
            raise _BadRequestError("seed goes with probability.")
        if probability is not None and times is not None:
            raise _BadRequestError("Give times or probability, not both.")
        if probability is None:
            self.sandbox.fail_next(kind, times=1 if times is None else times, **values)
        else:
            self.sandbox.fail_with_probability(kind, probability, seed=seed, **values)
        return _answer({"faults": [fault_json(pending) for pending in self.sandbox.faults]}, 201)

    async def clear_faults(self, _: web.Request) -> web.StreamResponse:
        """Forget the faults that wait."""
        self.sandbox.clear_faults()
        return _answer({"faults": []})

    async def credits(self, _: web.Request) -> web.StreamResponse:
        """Give the balance and the last 100 changes."""
        statement = [
            {
                "at": entry.at.isoformat(),
                "change": entry.change,
                "balance": entry.balance,
                "campaign_id": entry.campaign_id,
            }
            for entry in self.sandbox.statement[-100:]
        ]
        return _answer({"credits": self.sandbox.credits, "statement": statement})

    async def set_credits(self, request: web.Request) -> web.StreamResponse:
        """Set the balance."""
        values = _checked(await _read_object(request), {"credits": int}, required="credits")
        if not 0 <= values["credits"] <= MAX_CREDITS:
            raise _BadRequestError(f"credits is 0 to {MAX_CREDITS}.")
        self.sandbox.credits = values["credits"]
        return await self._done({"credits": self.sandbox.credits})

    async def set_account(self, request: web.Request) -> web.StreamResponse:
        """Make the account active or inactive."""
        values = await _read_object(request)
        if set(values) != {"active"} or not isinstance(values["active"], bool):
            raise _BadRequestError("Send active: true or false.")
        self.sandbox.active = values["active"]
        return await self._done({"active": self.sandbox.active})

    async def create_token(self, _: web.Request) -> web.StreamResponse:
        """Make one more valid token."""
        return await self._done({"token": self.sandbox.create_token()}, 201)

    async def revoke_token(self, request: web.Request) -> web.StreamResponse:
        """Revoke the token in the body, or the ready one where there is no body."""
        values = _checked(await _read_object(request), {"token": str})
        return await self._done({"revoked": self.sandbox.revoke_token(values.get("token"))})

    async def add_sender(self, request: web.Request) -> web.StreamResponse:
        """Add a sender ID."""
        values = _checked(await _read_object(request), {"sender_id": str}, required="sender_id")
        self.sandbox.add_sender(values["sender_id"])
        return await self._done({"senders": list(self.sandbox.senders)}, 201)

    async def _done(self, value: Any, status: int = 200) -> web.Response:
        await self.sandbox.flush()
        return _answer(value, status)


def message_json(message: Message) -> dict[str, Any]:
    """Return a message as JSON."""
    return {
        "to": message.to,
        "text": message.text,
        "sender_id": message.sender_id,
        "campaign": message.campaign,
        "campaign_id": message.campaign_id,
        "status": message.status,
        "at": message.at.isoformat(),
        "segments": message.segments,
    }


def request_json(request: RecordedRequest) -> dict[str, Any]:
    """Return a request of the journal as JSON."""
    return {
        "id": request.id,
        "at": request.at.isoformat(),
        "method": request.method,
        "url": request.url,
        "headers": [list(header) for header in request.headers],
        "body": request.body.decode(errors="replace"),
        "status": request.status,
        "fault": request.fault,
        "curl": request.as_curl(),
    }


def fault_json(pending: PendingFault) -> dict[str, Any]:
    """Return a fault that waits as JSON, without what it does not have."""
    fault = pending.fault
    values = {
        "kind": str(fault.kind),
        "times": pending.times,
        "probability": pending.probability,
        "status": fault.status,
        "message": fault.message,
        "retry_after": fault.retry_after,
        "errors": fault.errors,
        "category": fault.category,
        "location": fault.location,
        "seconds": fault.seconds if fault.kind == "latency" else None,
    }
    return {
        "endpoint": fault.endpoint,
        **{name: value for name, value in values.items() if value is not None},
    }


def _answer(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, text=json.dumps(value), content_type="application/json")


def _host_name(host: str) -> str:
    return host[: host.rindex("]") + 1] if host.endswith("]") or "]:" in host else host.partition(":")[0]


async def _read_object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in the body; an empty body counts as ``{}``."""
    raw = await request.read()
    if not raw:
        return {}
    try:
        value = json.loads(raw.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise _BadRequestError("The body is not JSON.") from None
    if not isinstance(value, dict):
        raise _BadRequestError("The body is not a JSON object.")
    return cast("dict[str, Any]", value)


def _checked(
    values: dict[str, Any], fields: Mapping[str, type | tuple[type, ...]], *, required: str | None = None
) -> dict[str, Any]:
    """Return ``values`` if they are among ``fields``, of their types, and not empty texts."""
    if required is not None and required not in values:
        raise _BadRequestError(f"{required} is missing.")
    for name, value in values.items():
        if name not in fields:
            raise _BadRequestError(f"There is no such field; there are: {', '.join(fields)}.")
        types = fields[name]
        if types in (int, (int, str)) and isinstance(value, float) and value.is_integer():
            values[name] = int(value)  # to JSON, 5.0 is the integer 5
        elif not isinstance(values[name], types) or isinstance(value, bool) or value == "":
            raise _BadRequestError(f"{name} is not of the right type, or empty.")
    if not all(_is_words(words) for words in values.get("errors", {}).values()):
        raise _BadRequestError("errors is an object of lists of texts.")
    return values


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in cast("Iterable[Any]", value))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _query_integer(request: web.Request, name: str, default: int, *, low: int, high: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high):  # noqa: PLR2004
        raise _BadRequestError(f"{name} is a whole number, {low} to {high}.")
    return int(text)


def _query_seconds(request: web.Request, name: str, default: float, *, high: float) -> float:
    try:
        seconds = float(request.query.get(name, default))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= high:
        raise _BadRequestError(f"{name} is a number of seconds, 0 to {high:g}.")
    return seconds
