"""The list of campaigns: its many shapes, its pages, its end, and its retries."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from api.calling import NUMBERS, TOKEN, FakeTime, after, assert_discreet, assert_pickles, calling, failure_of
from rawserver import Peer, Request, Script, answer_all, free_port, raw_server
from smspop_async import (
    AccountInactiveError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    Campaign,
    Delivery,
    RateLimitError,
    RetryPolicy,
    ServerError,
    SmsPop,
    SmsPopError,
    Timeouts,
    UnreadableResponseError,
)
from smspop_async.api.listing import list_pages
from smspop_async.api.wire import read_page

pytestmark = pytest.mark.anyio

A, B = {"name": "a", "status": "approved"}, {"name": "b", "status": "pending"}
EVIL = "https://evil.example/steal"


def says(value: object) -> Script:
    async def script(peer: Peer, request: Request) -> None:
        await peer.json(200, value if isinstance(value, str) else json.dumps(value))

    return script


async def names(sms: SmsPop) -> list[str]:
    return [campaign.name async for campaign in sms.campaigns.list()]


WHOLE: dict[str, object] = {
    "bare-array": [A, B],
    "data": {"data": [A, B]},
    "success-and-campaigns": {"success": True, "campaigns": [A, B]},
    "php-filtered": {"0": A, "2": B},
    "data-of-php-filtered": {"data": {"0": A, "2": B}},
    "campaigns-of-php-filtered": {"success": True, "campaigns": {"1": A, "3": B}},
    "campaigns-of-data": {"success": True, "campaigns": {"data": [A, B], "next_page_url": None}},
    "data-of-campaigns": {"success": True, "data": {"campaigns": [A, B]}},
    "length-aware": {"current_page": 1, "data": [A, B], "last_page": 1, "total": 2, "next_page_url": None,
                     "links": [{"url": None, "label": "Next", "active": False}]},
    "simple": {"current_page": 1, "data": [A, B], "next_page_url": None, "per_page": 15},
    "cursor": {"data": [A, B], "next_cursor": None, "next_page_url": None, "per_page": 15},
    "resource": {"data": [A, B], "links": {"first": EVIL, "next": None}, "meta": {"current_page": 1, "last_page": 1}},
    "cursor-resource": {"data": [A, B], "links": {"next": None}, "meta": {"next_cursor": None}},
    "numbers-as-texts": {"data": [A, B], "current_page": "1", "last_page": "1"},
    "odd-page-numbers": {"data": [A, B], "current_page": "x", "last_page": [1]},
    "total-of-all": {"success": True, "campaigns": [A, B], "total": 2},
    "pages-apart": {"success": True, "campaigns": [A, B], "pagination": {"current_page": 1, "last_page": 1}},
    "fractal": {"data": [A, B], "meta": {"pagination": {"total": 2, "per_page": 15, "current_page": 1, "total_pages": 1,
                                                        "links": {}}}},
    "page-and-total": {"data": [A, B], "current_page": 1, "per_page": 15, "total": 2},
    "no-more": {"data": [A, B], "has_more": False, "next": None},
    "byte-order-mark": "\ufeff" + json.dumps([A, B]),
}  # fmt: skip
EMPTY: dict[str, object] = {
    "bare-array": [],
    "data": {"data": []},
    "success-and-campaigns": {"success": True, "campaigns": []},
    "length-aware": {"current_page": 1, "data": [], "last_page": 1, "total": 0, "next_page_url": None},
}


@pytest.mark.parametrize("case", WHOLE)
async def test_list_on_one_page(case: str) -> None:
    """Every known shape of a list gives its campaigns, in order, in one request."""
    async with raw_server(says(WHOLE[case])) as server, calling(server.base_url) as sms:
        assert [campaign async for campaign in sms.campaigns.list()] == [
            Campaign(name="a", status="approved"),
            Campaign(name="b", status="pending"),
        ]
        assert [request.target for request in server.requests] == ["/api/campaigns"]


@pytest.mark.parametrize("case", EMPTY)
async def test_empty_list(case: str) -> None:
    """An account without campaigns has an empty list, in every shape that is one."""
    async with raw_server(says(EMPTY[case])) as server, calling(server.base_url) as sms:
        assert await names(sms) == []


def paged(make: Callable[[int], dict[str, Any]], pages: int = 3) -> Script:
    """Serve `pages` pages of one campaign each, as `make` frames them."""

    async def script(peer: Peer, request: Request) -> None:
        query = parse_qs(urlsplit(request.target).query)
        at = int(query.get("page", query.get("cursor", ["1"]))[0].removeprefix("c"))
        frame = {"data": [{"name": str(at)}]} | make(at)
        if at == pages:
            frame |= {
                "next_page_url": None,
                "next_cursor": None,
                "links": {"next": None},
                "meta": {},
                "next": None,
            }
        await peer.json(200, json.dumps(frame))

    return script


PAGERS: dict[str, Callable[[int], dict[str, Any]]] = {
    "next-page-url": lambda at: {"next_page_url": f"{EVIL}?page={at + 1}&token=x"},
    "next-page-url-relative": lambda at: {"next_page_url": f"/?page={at + 1}"},
    "cursor-url": lambda at: {"next_page_url": f"{EVIL}?cursor=c{at + 1}"},
    "links-next": lambda at: {"links": {"next": f"{EVIL}?page={at + 1}"}, "meta": {"current_page": at}},
    "next-cursor": lambda at: {"next_cursor": f"c{at + 1}"},
    "meta-next-cursor": lambda at: {"meta": {"next_cursor": f"c{at + 1}"}},
    "page-numbers-only": lambda at: {"current_page": at, "last_page": 3},
    "page-numbers-as-texts": lambda at: {"current_page": str(at), "last_page": "3"},
    "meta-page-numbers": lambda at: {"meta": {"current_page": at, "last_page": 3}},
    "pages-apart": lambda at: {"pagination": {"current_page": at, "last_page": 3}},
    "fractal": lambda at: {
        "meta": {
            "pagination": {"current_page": at, "total_pages": 3, "links": {"next": f"{EVIL}?page={at + 1}"}}
        }
    },
    "page-and-total": lambda at: {"current_page": at, "per_page": 1, "total": 3},
    "next": lambda at: {"next": f"{EVIL}?page={at + 1}"},
    "more-and-page": lambda at: {"current_page": at, "has_more": at < 3},
}


@pytest.mark.parametrize("case", PAGERS)
async def test_pages_are_followed_on_our_own_base_url(case: str) -> None:
    """``page`` or ``cursor`` is all that is taken from a reply: no address of a reply is ever fetched."""
    async with raw_server(paged(PAGERS[case])) as server, calling(server.base_url) as sms:
        assert await names(sms) == ["1", "2", "3"]
        targets = [urlsplit(request.target) for request in server.requests]
        assert {target.path for target in targets} == {"/api/campaigns"}
        assert all(set(parse_qs(target.query)) <= {"page", "cursor"} for target in targets)
        assert {request.headers["Host"] for request in server.requests} == {f"127.0.0.1:{server.port}"}


NO_END: dict[str, object] = {
    "the-same-page-again": {"data": [A], "next_page_url": f"{EVIL}?page=2"},
    "a-page-that-never-moves": {"data": [A], "current_page": 1, "last_page": 9},
    "an-address-without-a-page": {"data": [A], "next_page_url": f"{EVIL}?p=2"},
    "an-address-of-garbage": {"data": [A], "next_page_url": "https://[x?page=2"},
    "a-total-and-no-pages": {"success": True, "campaigns": [A], "total": 50},
    "a-total-and-no-pages-apart": {"success": True, "campaigns": [A], "pagination": {"total": 50}},
    "a-page-and-a-total": {"data": [A], "current_page": 2, "total": 50},
    "more-of-it": {"data": [A], "has_more": True},
    "more-of-it-as-a-number": {"data": [A], "meta": {"has_more_pages": 1}},
}


@pytest.mark.parametrize("case", NO_END)
async def test_list_without_a_provable_end_is_told(case: str) -> None:
    """A list that goes on in no way that can be followed gives what it has, and then says so."""
    async with raw_server(says(NO_END[case])) as server, calling(server.base_url) as sms:
        got = []
        with pytest.raises(UnreadableResponseError) as caught:
            async for campaign in sms.campaigns.list():
                got.append(campaign.name)  # noqa: PERF401 - the iteration ends with an error
        assert set(got) == {"a"}
        assert len(server.requests) <= 2
        assert caught.value.delivery is Delivery.NOT_SENT
        assert "evil" not in str(caught.value)


async def test_endless_list_is_capped() -> None:
    """A list whose every page names another one ends at the cap."""
    endless = paged(lambda at: {"next_page_url": f"?page={at + 1}"}, pages=10**9)
    async with raw_server(endless) as server, calling(server.base_url) as sms:
        pages = 0
        with pytest.raises(UnreadableResponseError, match="more than 7 pages"):
            async for _ in list_pages(sms, page_cap=7):
                pages += 1
        assert pages == len(server.requests) == 7


@pytest.mark.parametrize(
    "body",
    ["", "<html></html>", "null", "5", '"x"', "{}", "[1]", '[{"name": "a"}, 5]', '{"data": 5}',
     '{"data": {"data": {"data": []}}}', '{"campaigns": "none"}', "[" * 100_000, '{"message": "hi"}'],
)  # fmt: skip
async def test_what_is_no_list(body: str) -> None:
    """A reply that is none of the shapes is unreadable, not an empty list, and is not asked for again."""
    async with raw_server(says(body)) as server, calling(server.base_url) as sms:
        error = await failure_of(anext(sms.campaigns.list()))
        assert isinstance(error, UnreadableResponseError)
        assert error.delivery is Delivery.NOT_SENT
        assert_pickles(error)
        assert len(server.requests) == 1


def answers(status: int, body: str, *headers: str) -> Script:
    async def script(peer: Peer, request: Request) -> None:
        await peer.json(status, body, *headers)

    return script


LEAK = f"Bearer {TOKEN} and {', '.join(NUMBERS)}"
REFUSALS = [
    (401, "{}", AuthenticationError, Delivery.REJECTED),
    (403, '{"message": "Your account is inactive."}', AccountInactiveError, Delivery.REJECTED),
    (404, "<html>", APIStatusError, Delivery.REJECTED),
    (418, json.dumps({"message": LEAK}), APIStatusError, Delivery.REJECTED),
    (200, json.dumps({"success": False, "message": LEAK}), APIStatusError, Delivery.REJECTED),
    (302, "", APIStatusError, Delivery.REJECTED),
    (304, "", APIStatusError, Delivery.REJECTED),
]


@pytest.mark.parametrize(("status", "body", "kind", "delivery"), REFUSALS)
async def test_refused_list(status: int, body: str, kind: type[SmsPopError], delivery: Delivery) -> None:
    """A refusal is told by its class, once, and leaks nothing."""
    async with raw_server(answers(status, body)) as server, calling(server.base_url) as sms:
        error = await failure_of(anext(sms.campaigns.list()))
        assert type(error) is kind
        assert error.delivery is delivery
        assert error.status == status
        assert_discreet(error)
        assert_pickles(error)
        assert len(server.requests) == 1


async def test_moved_list_names_the_base_url() -> None:
    """The first request of a user is often a list: a redirect says what to configure there too."""
    moved = answers(301, "", "Location: https://new.example/api/campaigns?x=1")
    async with raw_server(moved) as server, calling(server.base_url) as sms:
        error = await failure_of(anext(sms.campaigns.list()))
        assert "Set base_url (or SMSPOP_BASE_URL) to https://new.example/api." in str(error)


async def hang_up(peer: Peer, request: Request) -> None:
    peer.close()


@pytest.mark.parametrize(
    ("trouble", "waits"),
    [
        pytest.param(answers(500, ""), [0.25, 0.5], id="500"),
        pytest.param(answers(503, "{}"), [0.25, 0.5], id="503"),
        pytest.param(answers(429, "{}"), [0.25, 0.5], id="429"),
        pytest.param(answers(429, "{}", "Retry-After: 7"), [7, 7], id="429-retry-after"),
        pytest.param(hang_up, [0.25], id="hang-up"),  # aiohttp itself has asked again once
    ],
)
async def test_passing_trouble_is_waited_out(trouble: Script, waits: list[float]) -> None:
    """A list is asked for again after 5xx, 429 and a lost connection: asking sends nothing."""
    troubles = [trouble, trouble]

    async def script(peer: Peer, request: Request) -> None:
        await (troubles.pop() if troubles else answer_all)(peer, request)

    async with raw_server(script) as server, SmsPop(TOKEN, base_url=server.base_url) as sms:
        time = FakeTime()
        time.rule(sms)
        assert await names(sms) == []
        assert time.slept == waits
        assert len(server.requests) == 3


LASTING = [
    (answers(500, ""), ServerError),
    (answers(600, ""), ServerError),
    (answers(429, "{}"), RateLimitError),
    (hang_up, APIConnectionError),
]


@pytest.mark.parametrize(("trouble", "kind"), LASTING)
async def test_lasting_trouble_is_raised_after_the_attempts(trouble: Script, kind: type[SmsPopError]) -> None:
    """After the attempts of the policy the last trouble is raised; nothing was sent by asking."""
    async with raw_server(trouble) as server, calling(server.base_url) as sms:
        error = await failure_of(anext(sms.campaigns.list()))
        assert type(error) is kind
        assert error.delivery is (Delivery.REJECTED if kind is RateLimitError else Delivery.NOT_SENT)
        assert_pickles(error)
        if trouble is not hang_up:
            assert len(server.requests) == RetryPolicy().attempts


async def test_unreachable_list() -> None:
    """Nobody listens: the error says so."""
    async with calling(f"http://127.0.0.1:{free_port()}/api") as sms:
        error = await failure_of(anext(sms.campaigns.list()))
        assert type(error) is APIConnectionError
        assert error.delivery is Delivery.NOT_SENT


async def test_silent_list_times_out() -> None:
    """The time limits hold for the list."""

    async def silent(peer: Peer, request: Request) -> None:
        await peer.reader.read()

    limits = Timeouts(connect=None, read=0.05, total=None)
    async with raw_server(silent) as server, calling(server.base_url, timeout=limits) as sms:
        error = await failure_of(anext(sms.campaigns.list()))
        assert type(error) is APITimeoutError
        assert error.delivery is Delivery.NOT_SENT


async def test_budget_bounds_the_retries_of_many_calls() -> None:
    """Against a server that is down, retries run out though attempts are left: a fleet does not multiply it."""
    async with raw_server(answers(503, "{}")) as server, calling(server.base_url) as sms:
        for _ in range(20):
            await failure_of(anext(sms.campaigns.list()))
        assert len(server.requests) == 20 + 10
        server.script = answer_all
        for _ in range(10):
            assert await names(sms) == []
        before = len(server.requests)
        server.script = after(0, answers(503, "{}"))
        await failure_of(anext(sms.campaigns.list()))
        assert len(server.requests) == before + 2, "ten successes earn one retry"


async def test_retry_after_of_a_list_holds_campaigns_too() -> None:
    """The gate is the account's: a list that was turned away makes a campaign wait."""
    async with raw_server(answers(429, "{}", "Retry-After: 30")) as server:
        async with SmsPop(TOKEN, base_url=server.base_url, retry=RetryPolicy(attempts=1)) as sms:
            FakeTime().rule(sms)
            await failure_of(anext(sms.campaigns.list()))
            assert sms.submitter.gate.wait_left == 30


async def test_raw_page() -> None:
    """A raw page holds what came, says how to go on, and parses to its campaigns."""
    async with raw_server(paged(PAGERS["next-page-url"], pages=2)) as server:
        async with calling(server.base_url) as sms:
            raw = await sms.campaigns.with_raw_response.list()
            assert raw.status == 200
            assert json.loads(raw.body)["data"] == [{"name": "1"}]
            assert [campaign.name for campaign in raw.parse()] == ["1"]
            assert raw.next_query == {"page": "2"}
            last = await sms.campaigns.with_raw_response.list(raw.next_query)
            assert [campaign.name for campaign in last.parse()] == ["2"]
            assert last.next_query is None
            assert "name" not in repr(raw)


async def test_raw_page_of_a_refusal() -> None:
    """A refusal of the list is returned raw, and raised when it is parsed."""
    async with raw_server(answers(401, "{}")) as server, calling(server.base_url) as sms:
        raw = await sms.campaigns.with_raw_response.list()
        assert raw.status == 401
        with pytest.raises(AuthenticationError):
            raw.parse()
        server.script = hang_up
        assert isinstance(await failure_of(sms.campaigns.with_raw_response.list()), APIConnectionError)


def test_page_that_is_no_json_is_none() -> None:
    """`read_page` raises for nothing."""
    assert read_page(b"\xff") is None
