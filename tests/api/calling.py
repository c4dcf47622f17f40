"""The ways in which the API is called by these tests, and what every error of such a call has to hold."""

import pickle
import traceback
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

import aiohttp
import anyio
import pytest
from attrs import evolve

from rawserver import Peer, Request, Script, answer_all, fake_numbers
from smspop_async import Delivery, SmsPop, SmsPopError
from smspop_async.api.campaigns import prepare
from smspop_async.api.gate import Gate
from smspop_async.api.submit import Attempt, Clock

TOKEN = "1|fake-token-0123456789abcdef"
MESSAGE = "Dear customer, your parcel waits at the depot."
NUMBERS = fake_numbers(3)
SECRETS = (TOKEN, TOKEN.partition("|")[2], MESSAGE, *NUMBERS, *(f"+{number}" for number in NUMBERS))
ECHO = f"Bearer {TOKEN} sent '{MESSAGE}' to {', '.join(NUMBERS)}"
"""What a careless server might say back."""

any_loop = pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(
            ("asyncio", {"use_uvloop": True}),
            id="uvloop",
            marks=pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop is not installed"),
        ),
    ],
)
"""Run on asyncio's own loop and on uvloop."""
every_way = pytest.mark.parametrize(
    ("reused", "owned"),
    [
        pytest.param(False, True, id="fresh-owned"),
        pytest.param(False, False, id="fresh-borrowed"),
        pytest.param(True, True, id="reused-owned"),
        pytest.param(True, False, id="reused-borrowed"),
    ],
)
"""On a fresh connection and on one that carried a good reply; on our own session, which takes the short way, and on a
borrowed one that is traced, which takes the layered way."""


class FakeTime:
    """A clock that moves when somebody sleeps on it, and draws the same number every time."""

    def __init__(self, draw: float = 0.5) -> None:
        self.now = 1_000.0
        self.drawn = draw
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await anyio.lowlevel.checkpoint()

    def rule(self, sms: SmsPop) -> SmsPop:
        """Make `sms` live by this clock."""
        clock = Clock(
            monotonic=lambda: self.now, wall=lambda: self.now, draw=lambda: self.drawn, sleep=self.sleep
        )
        sms._submitter = evolve(sms.submitter, clock=clock, gate=Gate(clock.monotonic))
        return sms


@asynccontextmanager
async def calling(base_url: str, *, owned: bool = True, **options: Any) -> AsyncIterator[SmsPop]:
    """A client that never waits between attempts, on its own session or on a borrowed one."""
    options = {"token": TOKEN, "base_url": base_url} | options
    if owned:
        async with SmsPop(**options) as sms:
            yield FakeTime().rule(sms)
        return
    # Somebody looks on, so that requests take the layered way, while those on a session of our own take the short one.
    traced = aiohttp.ClientSession(trace_configs=[aiohttp.TraceConfig()])
    async with traced as session, SmsPop(session=session, **options) as sms:
        yield FakeTime().rule(sms)
        assert not session.closed


async def create(sms: SmsPop, contacts: list[str] | None = None) -> Any:
    return await sms.campaigns.create(
        name="Parcels", message=MESSAGE, sender_id="DEMO", contacts=contacts or NUMBERS
    )


async def submit(sms: SmsPop, attempt: Attempt) -> Any:
    """Submit as `create` does, with an attempt that can be looked at afterwards."""
    submission = await prepare(sms, name="Parcels", message=MESSAGE, sender_id="DEMO", contacts=NUMBERS)
    return await sms.submitter.submit(submission, attempt)


async def failure_of(call: Awaitable[object]) -> SmsPopError:
    """The error that `call` raises."""
    try:
        result = await call
    except SmsPopError as error:
        return error
    raise AssertionError(f"nothing was raised; the result is {result!r}")


def after(good: int, script: Script) -> Script:
    """Play `script`, after so many good replies."""
    left = good

    async def play(peer: Peer, request: Request) -> None:
        nonlocal left
        left -= 1
        await (answer_all if left >= 0 else script)(peer, request)

    return play


def assert_discreet(error: BaseException, *secrets: str) -> None:
    """Nothing that a person or a log may get to see of `error` holds a secret (law 7)."""
    shown = "".join(traceback.format_exception(error))
    link: BaseException | None = error
    while link is not None:
        shown += f"{link!s}{link!r}{link.args!r}{vars(link)!r}"
        link = link.__cause__ or link.__context__
    for secret in (*SECRETS, *secrets):
        assert secret not in shown


def assert_pickles(error: SmsPopError) -> None:
    """The error crosses a process boundary whole."""
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)


def assert_says(error: SmsPopError, kind: type[SmsPopError], delivery: Delivery) -> None:
    """The error is of exactly this class, says what was delivered, is discreet, pickles and tells what to do.

    It speaks of its own request alone: a run of many may have texted people before it.
    """
    assert type(error) is kind
    assert error.delivery is delivery
    assert_discreet(error)
    assert_pickles(error)
    text = str(error)
    assert text.endswith((".", "…)"))
    assert "was sent" not in text.replace("Nothing was sent by ", "")
    assert ("before sending again" in text) == (delivery is Delivery.UNKNOWN)
