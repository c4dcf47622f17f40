"""Law 7, Discretion, in the log of a program that logs everything: every fault of the sandbox, at DEBUG."""

import asyncio
import json
import logging
import pickle
import traceback
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

from smspop_async import (
    ReconcilePolicy,
    RetryPolicy,
    SmsPop,
    SmsPopError,
    SqliteJournal,
    list_sends,
    plan_campaign,
    read_report,
)
from smspop_async.events import Event
from smspop_async.journal.base import (
    PlannedChunk,
    RejectedRow,
    SendPlan,
    StoredChunk,
    StoredRows,
)
from smspop_async.journal.base import Verdict as StoredVerdict
from smspop_async.sandbox import MAGIC, FaultKind, Sandbox

pytestmark = pytest.mark.anyio

KEY = "FakeTokenThatMustNotBeSeenAnywhere"
TOKEN = f"1|{KEY}"
MESSAGE = "Fees of Tendai are due, kindly pay at the bursar's office"
NUMBERS = [f"26377123{number:04}" for number in range(4711, 4721)]
IN_THE_LABEL = "0772 345 678"
LABEL = f"Reminder for {IN_THE_LABEL}"
PATIENCE = 0.25
"""Seconds that the client waits for an answer that does not come."""
QUOTING: dict[str, dict[str, Any]] = {
    "message": {"message": f"Bearer {TOKEN} must not send {MESSAGE!r} to +{NUMBERS[0]}, {NUMBERS[1]}"},
    "errors": {"errors": {"manual_contacts": [f"+263 77 123 4711 cannot get {MESSAGE}"], KEY: [MESSAGE]}},
    "location": {"location": f"http://127.0.0.1/?token={TOKEN}&to={NUMBERS[0]}"},
    "category": {"category": f"political {NUMBERS[0]} {MESSAGE}"},
}
FAULTS: list[tuple[str | int, dict[str, Any]]] = [
    *((kind.value, {"seconds": 0.0} if kind is FaultKind.LATENCY else {}) for kind in FaultKind),
    *((status, QUOTING["message"]) for status in (400, 401, 402, 403, 404, 419, 422, 429, 500, 503, 504)),
    (422, QUOTING["errors"]),
    (403, QUOTING["category"]),
    (301, QUOTING["location"]),
    (302, QUOTING["location"]),
    ("success_false", QUOTING["message"]),
    ("error_after", QUOTING["message"]),
]
QUIET = RetryPolicy(attempts=2, initial_backoff=0.0, max_backoff=0.0, max_retry_after=0.0)


def spellings(number: str) -> list[str]:
    """A number as people and servers write it."""
    local = number[3:]
    return [number, f"0{local}", local, f"{number[:3]} {local[:2]} {local[2:5]} {local[5:]}"]


def without_texts(said: Any) -> Any:
    """What a server says, less the message."""
    return json.loads(json.dumps(said).replace(MESSAGE, "it"))


SECRETS = [TOKEN, KEY, KEY[:20], MESSAGE, MESSAGE[:20], "Tendai", "bursar"]
SECRETS += [spelling for number in (*NUMBERS, *MAGIC) for spelling in spellings(number)]


def assert_discreet(*texts: str, secrets: list[str] = SECRETS) -> None:
    for text in texts:
        for secret in secrets:
            assert secret not in text, f"{secret!r} in {text!r}"


def shown(error: BaseException) -> list[str]:
    """All that an exception can show, its chain and what it carries included."""
    carried = {key: value for key, value in vars(error).items() if key != "report"}
    return [str(error), repr(error), repr(error.args), repr(carried), *traceback.format_exception(error)]


class Everything(logging.Handler):
    """Keeps the whole of every record, as a careless formatter would show it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []
        self.names: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.names.add(record.name)
        self.texts += [self.format(record), repr(record.msg), repr(record.args), repr(vars(record))]
        self.texts += [str(each) for each in (record.args if isinstance(record.args, tuple) else ())]


@pytest.fixture
async def log() -> AsyncIterator[Everything]:
    """The log of a program in which every logger is at DEBUG, and asyncio in its debug mode."""
    handler, root, loop = Everything(), logging.getLogger(), asyncio.get_running_loop()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    loop.set_debug(True)
    # Every turn counts as slow, so that asyncio shows all of its handles, tasks and coroutines.
    loop.slow_callback_duration = 0.0
    yield handler
    loop.set_debug(False)
    root.setLevel(level)
    root.removeHandler(handler)


class Watch:
    """An observer that keeps what it hears, and raises what it should not be quoted with."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.heard.append(event)
        raise ValueError(f"{TOKEN} {MESSAGE} {NUMBERS[0]}")


async def create(sms: SmsPop) -> list[str]:
    try:
        result = await sms.campaigns.create(
            name=LABEL, message=MESSAGE, sender_id="BRAND1", contacts=[*NUMBERS[:3], *MAGIC]
        )
    except SmsPopError as error:
        return [*shown(error), *shown(pickle.loads(pickle.dumps(error)))]
    return [repr(result), repr(list(result.contacts))]


async def raw(sms: SmsPop) -> list[str]:
    calls = sms.campaigns.with_raw_response
    try:
        response = await calls.create(
            name=LABEL, message=MESSAGE, sender_id="BRAND1", contacts=[*NUMBERS[:3], *MAGIC]
        )
        page = await calls.list()
    except SmsPopError as error:
        return shown(error)
    return [repr(response), repr(page)]


async def listing(sms: SmsPop) -> list[str]:
    try:
        return [repr(campaign) async for campaign in sms.campaigns.list()]
    except SmsPopError as error:
        return shown(error)


def of_a_report(report: Any) -> list[str]:
    texts = [repr(report), repr(report.campaigns), json.dumps(report.to_dict()), *report.discrepancies]
    for outcome in report.outcomes():
        texts += [repr(outcome), outcome.detail]
    if report.stopped_by is not None:
        texts += shown(report.stopped_by)
    try:
        report.raise_for_failures()
    except SmsPopError as error:
        texts += shown(error)
    return texts


async def send(sms: SmsPop, journal: SqliteJournal) -> list[str]:
    contacts = [*NUMBERS, *MAGIC, NUMBERS[0] + "99", "Tendai", NUMBERS[0]]
    report = await sms.send(
        contacts,
        message=MESSAGE,
        sender_id="BRAND1",
        name=LABEL,
        chunk_size=4,
        max_concurrency=2,
        suppress=NUMBERS[-1:],
        journal=journal,
        reconcile=ReconcilePolicy(first=0.001, horizon=0.002),
    )
    return [*of_a_report(report), repr(sms), repr(journal), *map(repr, await journal.sends())]


async def resume(sms: SmsPop, journal: SqliteJournal) -> list[str]:
    try:
        return of_a_report(await sms.resume(journal, reconcile=ReconcilePolicy(first=0.001, horizon=0.002)))
    except SmsPopError as error:
        return shown(error)


@pytest.mark.parametrize(
    ("fault", "parameters"),
    FAULTS,
    ids=lambda value: str(value) if not isinstance(value, dict) else "".join(value),
)
async def test_no_fault_gets_a_secret_into_the_log(
    fault: str | int, parameters: dict[str, Any], log: Everything, tmp_path
) -> None:
    """One fault through create, send, list and resume: no log, repr, error or report of it shows a secret."""
    watch, path = Watch(), tmp_path / "journal.db"
    texts: list[str] = []
    async with Sandbox(token=TOKEN) as sandbox:
        sms = SmsPop(TOKEN, base_url=sandbox.api_url, retry=QUIET, timeout=PATIENCE, on_event=watch)

        def fail(endpoint: Any, times: int = 1) -> None:
            # To a request for the list no text belongs by which an echo of it could be recognised.
            said = (
                {key: without_texts(value) for key, value in parameters.items()}
                if endpoint == "GET"
                else parameters
            )
            sandbox.fail_next(fault, endpoint=endpoint, times=times, **said)

        async with sms, SqliteJournal(path) as journal:
            fail("POST")
            texts += await create(sms)
            fail("POST")
            texts += await raw(sms)
            fail("POST", 2)
            fail("GET")
            texts += await send(sms, journal)
            texts += await resume(sms, journal)
            sandbox.clear_faults()
            fail("GET", 3)
            texts += await listing(sms)
        texts += [repr(list_sends(path)), *of_a_report(read_report(path)), *map(repr, watch.heard)]
    assert_discreet(*texts)
    assert watch.heard
    assert "smspop_async.events" in log.names
    assert "asyncio" in log.names
    assert_discreet(*log.texts, secrets=[*SECRETS, IN_THE_LABEL])
    assert_discreet(*map(repr, watch.heard), secrets=[IN_THE_LABEL])


def test_the_values_of_a_journal_hide_what_they_hold() -> None:
    """What the journal's own values hold is not in their repr, so that a debugger's log does not show it either."""
    chunk: dict[str, Any] = {"rows": [0], "numbers": NUMBERS[:1], "text": MESSAGE, "detail": MESSAGE}
    planned = PlannedChunk(seq=1, **chunk)
    verdict = StoredVerdict(state="done", status="accepted", detail=MESSAGE, details={0: NUMBERS[0]})
    plan = SendPlan(
        run="abcdefghij",
        name="x",
        sender_id="x",
        message=MESSAGE,
        base_url="http://127.0.0.1/api",
        settings={},
    )
    rows = StoredRows(
        first=0,
        numbers=NUMBERS,
        status="sent",
        detail=MESSAGE,
        others={0: ("sent", MESSAGE)},
        line=1,
        waiting=False,
    )
    stored = StoredChunk(planned=planned, verdict=verdict, token=1, claimed_at=None)
    rejected = RejectedRow(row=0, status="invalid", shown=NUMBERS[0], detail=MESSAGE)
    for value in (planned, verdict, plan, rows, stored, rejected):
        assert_discreet(repr(value), str(value), repr([value]), repr(attrs.evolve(value)))


def test_a_plan_hides_what_it_holds() -> None:
    """The plan of a list can be printed."""
    plan = plan_campaign([*NUMBERS, NUMBERS[0] + "99"], message=MESSAGE)
    assert_discreet(repr(plan), repr(plan.invalid))


@pytest.mark.parametrize("secret", [TOKEN, MESSAGE, NUMBERS[0]])
async def test_the_net_catches_what_is_logged(secret: str, log: Everything) -> None:
    """The check above can fail: it sees what is in a line, in its arguments, in an exception and in a task."""
    careless = logging.getLogger("smspop_async.api")
    careless.debug("sending %s", secret)
    with pytest.raises(AssertionError):
        assert_discreet(*log.texts)
    log.texts.clear()
    careless.debug("it failed", exc_info=ValueError(secret))
    with pytest.raises(AssertionError):
        assert_discreet(*log.texts)
