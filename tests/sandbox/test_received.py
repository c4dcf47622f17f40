"""The request journal: complete, bounded, replayable, and without the token."""

import shlex
from datetime import UTC, datetime

import pytest

from smspop_async.sandbox.received import KEPT_BYTES, KEPT_REQUESTS, RequestJournal, mask_header

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def receive(journal, **changes):
    parts = {
        "at": NOW,
        "method": "POST",
        "url": "http://127.0.0.1:1/api/campaigns",
        "headers": [],
        "body": b"",
        "fault": None,
    }
    return journal.receive(**(parts | changes))


@pytest.mark.anyio
async def test_the_journal_tells_request_and_answer(caller, sandbox):
    """Method, path, body, status and fault of each request are there, in order."""
    await caller.list_campaigns("?page=2")
    sandbox.fail_next(503)
    await caller.post()
    get, post = sandbox.requests
    assert (get.id, get.method, get.path, get.status, get.fault) == (
        1,
        "GET",
        "/api/campaigns?page=2",
        200,
        None,
    )
    assert (post.method, post.status, post.fault) == ("POST", 503, "status 503")
    assert b"Welcome Campaign" in post.body
    assert dict(post.headers)["Authorization"] == "Bearer ***"


@pytest.mark.anyio
async def test_the_token_is_never_kept(caller, sandbox):
    """Neither in the journal nor in the command."""
    await caller.call("POST", "/api/campaigns", json={}, headers={"Cookie": "session=fake-token"})
    (request,) = sandbox.requests
    assert "fake-token" not in f"{request!r}{request.headers}{request.as_curl()}{request.body!r}"


@pytest.mark.anyio
async def test_as_curl_sends_the_same_request(caller, sandbox):
    """The command, read as a shell would, has the method, URL, headers and body; the token is a variable."""
    await caller.post(message='it\'s $HOME `id` "quoted"\n\\')
    (request,) = sandbox.requests
    command = request.as_curl()
    words = shlex.split(command)
    assert words[:4] == ["curl", "-X", "POST", f"{sandbox.api_url}/campaigns"]
    assert words[words.index("--data-raw") + 1].encode() == request.body
    assert "Content-Type: application/json" in words
    assert '"Authorization: Bearer $SMSPOP_TOKEN"' in command
    assert not any(word.startswith(("Host:", "Content-Length:")) for word in words)


def test_a_get_has_no_body():
    """A command without a body has no --data-raw, which would make curl send one."""
    journal = RequestJournal(on_request=list)
    receive(journal, method="GET", headers=[("Cookie", "a=b"), ("X-A", "b c")])
    (request,) = journal.requests()
    assert request.as_curl() == "curl -X GET http://127.0.0.1:1/api/campaigns -H 'X-A: b c'"


def test_the_journal_is_bounded_in_number():
    """Only the latest requests are kept, and a late answer to a forgotten one is harmless."""
    journal = RequestJournal(on_request=list)
    numbers = [receive(journal) for _ in range(KEPT_REQUESTS + 5)]
    assert [request.id for request in journal.requests()] == numbers[5:]
    journal.answer(numbers[0], 200)
    journal.answer(numbers[-1], 204)
    assert journal.requests()[-1].status == 204
    assert {request.status for request in journal.requests()[:-1]} == {None}


def test_the_journal_is_bounded_in_bytes():
    """Large bodies push out older requests; a reset starts the count again."""
    journal = RequestJournal(on_request=list)
    half = bytes(KEPT_BYTES // 2)
    for _ in range(3):
        receive(journal, body=half)
    assert [request.id for request in journal.requests()] == [2, 3]
    journal.clear()
    assert journal.requests() == []
    receive(journal, body=half)
    receive(journal, body=half)
    assert [request.id for request in journal.requests()] == [4, 5]


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("authorization", "Bearer 1|fake", "Bearer ***"),
        ("Authorization", "1|fake", "***"),
        ("Authorization", "1|fake token", "***"),
        ("Cookie", "a=fake", "***"),
        ("Accept", "a b", "a b"),
    ],
)
def test_masking(name, value, kept):
    """A secret header keeps its scheme at most."""
    assert mask_header(name, value) == kept
