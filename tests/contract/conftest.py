"""Two APIs that keep the same contract: the sandbox, and a server that replays golden bytes."""

from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from contract.golden import LIST, REPLIES, said
from rawserver import Peer, Request, raw_server
from smspop_async import SmsPop
from smspop_async.sandbox import Sandbox

FAILS = "263770009901"


class Api(Protocol):
    """An API that can be brought into the situation of a case."""

    sms: SmsPop

    def stage(self, case: str) -> None: ...
    @property
    def posts(self) -> int: ...


class GoldenApi:
    """Replays the golden reply of the case that is staged."""

    def __init__(self) -> None:
        self.case = "sent"
        self.posts = 0
        self.sms: SmsPop

    def stage(self, case: str) -> None:
        self.case = case

    async def play(self, peer: Peer, request: Request) -> None:
        if request.method == "GET":
            await peer.send(said(b"200 OK", LIST))
            return
        self.posts += 1
        reply = REPLIES[self.case]
        await peer.send(reply)
        if self.case == "reset_after":
            peer.reset()
        elif self.case in ("truncated", "disconnect_after", "disconnect_before"):
            peer.close()


class SandboxApi:
    """A sandbox whose account or whose next request is brought into the situation."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.sms: SmsPop

    @property
    def posts(self) -> int:
        return sum(request.method == "POST" for request in self.sandbox.requests)

    def stage(self, case: str) -> None:
        match case.split():
            case ["sent"] | ["one", "failed"]:
                pass
            case ["401"]:
                self.sandbox.fail_next("revoke_token")
            case ["402"]:
                self.sandbox.credits = 0
            case ["403", "inactive"]:
                self.sandbox.active = False
            case ["403", "content"]:
                self.sandbox.fail_next(403, category="political")
            case ["422", "sender"]:
                self.sandbox.fail_next(422, message="Invalid sender ID")
            case ["422", "field"]:
                self.sandbox.fail_next(422)
            case ["429"]:
                self.sandbox.fail_next(429, retry_after=2, times=3)
            case [word]:
                self.sandbox.fail_next(int(word) if word.isdigit() else word)


@pytest.fixture(params=["sandbox", "golden"])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    if request.param == "sandbox":
        async with Sandbox(token="1|fake-token") as sandbox:
            staged: Api = SandboxApi(sandbox)
            async with SmsPop(sandbox.token, base_url=sandbox.api_url) as staged.sms:
                yield staged
        return
    staged = golden = GoldenApi()
    async with raw_server(golden.play) as server:
        async with SmsPop("1|fake-token", base_url=server.base_url) as staged.sms:
            yield staged
