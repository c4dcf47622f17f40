"""The ready-made routes: start a send, watch it, stop it, go on with it, and take its report."""

from string import Template
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from smspop_async.config import RateLimit
from smspop_async.errors import ConfigurationError
from smspop_async.integrations._errors import InvalidSendError
from smspop_async.integrations._fastapi_events import campaign_events
from smspop_async.integrations._fastapi_state import SendsDep, readiness
from smspop_async.integrations.sends import SendState

_PROBLEM: dict[str, Any] = {
    "description": "Problem details (RFC 9457). `delivery` says whether anything was sent.",
    "content": {"application/problem+json": {"schema": {"type": "object"}}},
}
_PROBLEMS: dict[int | str, dict[str, Any]] = dict.fromkeys((404, 409, 422, 503), _PROBLEM)


class NewSend(BaseModel):
    """What to send, and to whom."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field(min_length=1, repr=False)
    sender_id: str = Field(min_length=1)
    name: str = Field("Campaign", min_length=1, repr=False)
    contacts: list[str] | list[dict[str, str]] = Field(repr=False)
    """Phone numbers, or rows with a phone number and the fields of the message."""
    personal: bool = False
    """Whether `$field` in the message stands for the field of each row."""
    contacts_per_second: float | None = Field(None, gt=0)


class SendView(BaseModel):
    """Where a send stands."""

    id: str
    name: str = Field(repr=False)
    state: SendState
    run: str
    expected: int | None
    total: int
    settled: int
    counts: dict[str, int]
    campaigns: int
    in_flight: int
    reconciling: int
    elapsed: float
    detail: str
    error: str
    journalled: bool
    void: bool
    resumable: bool


def smspop_router(*, prefix: str = "/sends", ready: str = "/ready") -> APIRouter:
    """Make the routes of sends in the background, and the check of readiness.

    They have no authentication: give `include_router` the dependency that has. `add_exception_handlers` has to be
    called, too.

    Args:
        prefix: Of the sends.
        ready: The path of the check.
    """
    router = APIRouter(tags=["sms"])
    router.get(
        ready,
        summary="Whether sends can be started",
        description="200 while they can, 503 from the moment in which the app begins to end.",
    )(readiness)
    router.include_router(_sends(), prefix=prefix)
    return router


def _sends() -> APIRouter:
    router = APIRouter(responses=_PROBLEMS)
    router.post("", status_code=202, summary="Start a send")(start_send)
    router.get("", summary="All sends that are known, the latest first")(list_sends)
    router.get("/{send_id}", summary="Where a send stands")(show_send)
    router.get(
        "/{send_id}/events",
        summary="The progress of a send as server-sent events",
        description="Events `progress` and at last `end`, with ids, as JSON; 204 when there is nothing more to come.",
        response_class=Response,
    )(campaign_events)
    router.get("/{send_id}/report", summary="The account of a send that has ended")(show_report)
    router.get(
        "/{send_id}/report.csv", summary="What became of every row of it", response_class=FileResponse
    )(download_report)
    router.post("/{send_id}/stop", status_code=202, summary="Dispatch nothing more")(stop_send)
    router.post("/{send_id}/resume", status_code=202, summary="Go on with what was not submitted")(
        resume_send
    )
    router.delete("/{send_id}", status_code=204, summary="Delete what is known of a send")(forget_send)
    return router


async def start_send(
    new: NewSend,
    sends: SendsDep,
    request: Request,
    response: Response,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> SendView:
    """Start a send. With the same `Idempotency-Key` a second request is the first one, and sends nothing."""
    rate = new.contacts_per_second
    try:
        send = await sends.start(
            new.contacts,
            message=Template(new.message) if new.personal else new.message,
            sender_id=new.sender_id,
            name=new.name,
            key=idempotency_key,
            rate_limit=None if rate is None else RateLimit(contacts_per_second=rate),
        )
    except ConfigurationError as error:
        raise InvalidSendError(str(error)) from error  # every setting came with the request
    response.headers["Location"] = str(request.url_for("show_send", send_id=send))
    return await show_send(send, sends)


async def list_sends(sends: SendsDep) -> list[SendView]:
    """All sends that are known, the latest first."""
    return [SendView(**status.to_dict()) for status in await sends.statuses()]


async def show_send(send_id: str, sends: SendsDep) -> SendView:
    """Where a send stands, whichever worker runs it."""
    return SendView(**(await sends.status(send_id)).to_dict())


async def show_report(send_id: str, sends: SendsDep) -> dict[str, Any]:
    """The account of a send that has ended: counts and campaigns, and no phone number."""
    return dict(await sends.report(send_id))


async def download_report(send_id: str, sends: SendsDep) -> FileResponse:
    """The outcome of every row of a send that has ended. It holds phone numbers."""
    path = await sends.report_csv(send_id)
    return FileResponse(path, media_type="text/csv", filename=f"report-{send_id}.csv")


async def stop_send(send_id: str, sends: SendsDep) -> SendView:
    """Let a send dispatch nothing more. Campaigns under way settle; the rest can be resumed."""
    await sends.stop(send_id)
    return await show_send(send_id, sends)


async def resume_send(send_id: str, sends: SendsDep, *, resend_unknown: bool = False) -> SendView:
    """Submit what was not submitted, and look for what is unknown. With `resend_unknown` people may be texted twice."""
    await sends.resume(send_id, resend_unknown=resend_unknown)
    return await show_send(send_id, sends)


async def forget_send(send_id: str, sends: SendsDep) -> None:
    """Delete the state, the report and the journal of a send that has ended."""
    await sends.forget(send_id)
