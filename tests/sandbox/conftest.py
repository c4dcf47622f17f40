"""A sandbox on a free port, and a client that speaks to it without the SDK."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from smspop_async.sandbox import Sandbox

ONE = "263770000001"
TWO = "263770000002"


class Answer:
    """A reply that was read whole."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status, self.headers, self.body = response.status, response.headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """A client of one sandbox that asks for JSON, follows nothing and repeats nothing."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox, self.session = sandbox, session

    def of(self, sandbox: Sandbox) -> "Caller":
        """The same client, calling another sandbox."""
        return Caller(sandbox, self.session)

    @staticmethod
    def campaign(**changes: Any) -> dict[str, Any]:
        """The document's sample request, with changes."""
        return {
            "name": "Welcome Campaign",
            "message": "Hello, welcome to our service!",
            "sender_id": "BRAND1",
            "contact_import_method": "manual",
            "manual_contacts": f"{ONE}, {TWO}",
        } | changes

    async def call(self, method: str, path: str, *, token: str | None = "", **options: Any) -> Answer:
        headers = {"Accept": "application/json"} | options.pop("headers", {})
        if token is not None:
            headers.setdefault("Authorization", f"Bearer {token or self.sandbox.token}")
        url = self.sandbox.inbox_url.rstrip("/") + path
        async with self.session.request(
            method, url, headers=headers, allow_redirects=False, **options
        ) as response:
            return Answer(response, await response.read())

    async def post(self, **changes: Any) -> Answer:
        return await self.call("POST", "/api/campaigns", json=self.campaign(**changes))

    async def list_campaigns(self, query: str = "") -> Answer:
        return await self.call("GET", f"/api/campaigns{query}")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(token="1|fake-token") as running:
        yield running


@pytest.fixture
async def caller(sandbox: Sandbox) -> AsyncIterator[Caller]:
    # One connection per request: whether a reused connection went stale is not what these tests are about.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Caller(sandbox, session)
