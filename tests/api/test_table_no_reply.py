"""The table: what it means when no whole reply came though the request may have left. It is always UNKNOWN."""

import json
import logging
import tracemalloc
import zlib
from collections.abc import Callable

import anyio
import pytest

from api.calling import (
    ECHO,
    NUMBERS,
    SECRETS,
    after,
    any_loop,
    assert_says,
    calling,
    create,
    every_way,
    failure_of,
    submit,
)
from rawserver import Peer, Request, Script, good_reply, raw_server
from smspop_async import APIConnectionError, APITimeoutError, Delivery, Timeouts
from smspop_async.api.reply import REPLY_CAP
from smspop_async.api.submit import Attempt

pytestmark = pytest.mark.anyio

GOOD = good_reply(NUMBERS).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def breaks_off(data: bytes) -> Script:
    """Send so much, then hang up."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.send(data)
        peer.close()

    return script


def resets(data: bytes = b"") -> Script:
    """Send so much, then reset the connection."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.send(data)
        peer.reset()

    return script


def says(data: bytes) -> Script:
    """Send so much and wait for more."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.send(data)

    return script


def with_length(body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    size = b"Content-Length: %d" % (len(body) if length is None else length)
    return HEAD + b"\r\n".join((*headers, size)) + b"\r\n\r\n" + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SCRIPTS: dict[str, Callable[[], Script]] = {
    "hang-up": lambda: breaks_off(b""),
    "reset": resets,
    "half-a-status-line": lambda: breaks_off(b"HTTP/1.1 200 O"),
    "half-a-header": lambda: breaks_off(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "reset-in-a-header": lambda: resets(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "interim-reply-then-hang-up": lambda: breaks_off(b"HTTP/1.1 102 Processing\r\n\r\n"),
    "early-hints-then-hang-up": lambda: breaks_off(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "garbage": lambda: says(f"{ECHO}\r\n\r\n".encode()),
    "another-protocol": lambda: says(b"SSH-2.0-OpenSSH_9.0\r\n"),
    "status-is-no-number": lambda: says(b"HTTP/1.1 abc OK\r\n\r\n"),
    "header-without-name": lambda: says(b"HTTP/1.1 200 OK\r\n: x\r\n\r\n"),
    "length-is-no-number": lambda: says(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"),
    "two-lengths": lambda: says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
    "header-too-long": lambda: says(b"HTTP/1.1 200 OK\r\nX-Echo: " + ECHO.encode() * 500 + b"\r\n\r\n"),
    "body-cut-short": lambda: breaks_off(with_length(GOOD[:50], length=len(GOOD))),
    "whole-json-but-length-is-longer": lambda: breaks_off(with_length(GOOD, length=len(GOOD) + 1)),
    "reset-in-the-body": lambda: resets(with_length(GOOD[:50], length=len(GOOD))),
    "refusal-cut-short": lambda: breaks_off(b"HTTP/1.1 422 X\r\nContent-Length: 99\r\n\r\n{}"),
    "chunks-cut-short": lambda: breaks_off(CHUNKED + chunk(GOOD[:50])),
    "chunks-without-an-end": lambda: breaks_off(CHUNKED + chunk(GOOD)),
    "reset-in-the-chunks": lambda: resets(CHUNKED + chunk(GOOD[:50])),
    "chunk-size-is-no-number": lambda: says(CHUNKED + b"zz\r\n"),
    "gzip-of-garbage": lambda: says(with_length(ECHO.encode(), b"Content-Encoding: gzip")),
    "deflate-of-garbage": lambda: says(with_length(ECHO.encode(), b"Content-Encoding: deflate")),
    "brotli-nobody-asked-for": lambda: says(with_length(b"\x0b\x02\x80{}\x03", b"Content-Encoding: br")),
    "zstd-nobody-asked-for": lambda: says(with_length(b"\x28\xb5\x2f\xfd", b"Content-Encoding: zstd")),
}


async def play(script: Script, *, reused: bool, owned: bool) -> None:
    async with (
        raw_server(after(reused, script)) as server,
        calling(server.base_url, owned=owned) as sms,
    ):
        if reused:
            await create(sms)
        error = await failure_of(create(sms))
        assert_says(error, APIConnectionError, Delivery.UNKNOWN)
        assert len(server.posts) == reused + 1


@every_way
@pytest.mark.parametrize("case", SCRIPTS)
async def test_lost_reply_is_unknown_and_never_asked_for_again(
    case: str, reused: bool, owned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Once the body may have left, whatever happens to the reply is UNKNOWN, and there is no second POST."""
    caplog.set_level(logging.DEBUG)
    await play(SCRIPTS[case](), reused=reused, owned=owned)
    for secret in SECRETS:
        assert secret not in caplog.text


@any_loop
@every_way
@pytest.mark.parametrize("case", ["hang-up", "reset", "garbage", "body-cut-short", "reset-in-the-body"])
async def test_lost_reply_is_unknown_on_every_loop(case: str, reused: bool, owned: bool) -> None:
    """The event loop has no say in what a lost reply means."""
    await play(SCRIPTS[case](), reused=reused, owned=owned)


SILENCES: dict[str, tuple[bytes, Timeouts]] = {
    "no-byte-read-limit": (b"", Timeouts(connect=None, read=0.05, total=None)),
    "no-byte-total-limit": (b"", Timeouts(connect=None, read=None, total=0.05)),
    "in-the-head": (b"HTTP/1.1 200", Timeouts(connect=None, read=0.05, total=None)),
    "in-the-body": (with_length(GOOD[:50], length=len(GOOD)), Timeouts(connect=None, read=0.05, total=None)),
    "in-the-body-total": (
        with_length(GOOD[:50], length=len(GOOD)),
        Timeouts(connect=None, read=None, total=0.05),
    ),
    "after-an-interim-reply": (
        b"HTTP/1.1 102 Processing\r\n\r\n",
        Timeouts(connect=None, read=None, total=0.05),
    ),
}


@any_loop
@every_way
@pytest.mark.parametrize("case", SILENCES)
async def test_silence_after_the_request_is_unknown(case: str, reused: bool, owned: bool) -> None:
    """A time limit that passes after the body left says nothing about what the server did."""
    data, timeouts = SILENCES[case]
    async with (
        raw_server(after(reused, says(data))) as server,
        calling(server.base_url, owned=owned, timeout=None) as sms,
    ):
        if reused:
            await create(sms)
        error = await failure_of(create(sms.with_options(timeout=timeouts)))
        assert_says(error, APITimeoutError, Delivery.UNKNOWN)
        assert len(server.posts) == reused + 1


async def test_trickle_ends_with_the_total_limit() -> None:
    """A server that sends one byte now and then outlives the read limit, not the total one."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.send(with_length(b"", length=10_000))
        while True:
            await peer.send(b" ")
            await anyio.sleep(0.01)

    limits = Timeouts(connect=None, read=5, total=0.1)
    async with raw_server(script) as server, calling(server.base_url, timeout=limits) as sms:
        assert_says(await failure_of(create(sms)), APITimeoutError, Delivery.UNKNOWN)
        assert len(server.posts) == 1


def _bomb(size: int) -> bytes:
    """Gzip that unpacks to `size` zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(2**20)
    return b"".join(packer.compress(block) for _ in range(size // 2**20)) + packer.flush()


async def test_gzip_bomb_stops_at_the_cap() -> None:
    """A few kilobytes that unpack to gigabytes cost no more memory than the cap and some buffers."""
    bomb = _bomb(160 * 2**20)
    reply = with_length(bomb, b"Content-Encoding: gzip")
    async with raw_server(says(reply)) as server, calling(server.base_url) as sms:
        tracemalloc.start()
        try:
            error = await failure_of(create(sms))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert_says(error, APIConnectionError, Delivery.UNKNOWN)
        assert len(server.posts) == 1
    assert peak < 3 * REPLY_CAP


async def test_endless_reply_stops_at_the_cap() -> None:
    """A reply without an end is given up at the cap, so the server cannot push more than that and its buffers."""
    pushed = 0

    async def script(peer: Peer, request: Request) -> None:
        nonlocal pushed
        await peer.send(CHUNKED)
        while True:
            await peer.send(chunk(bytes(2**16)))
            pushed += 2**16

    async with raw_server(script) as server, calling(server.base_url) as sms:
        error = await failure_of(create(sms))
        assert_says(error, APIConnectionError, Delivery.UNKNOWN)
        assert "larger than 16 MiB" in str(error)
        await server.drained()
    assert REPLY_CAP <= pushed < 2 * REPLY_CAP


async def test_reply_of_just_the_cap_is_read() -> None:
    """The cap is a cap: a reply of exactly that size counts."""
    body = GOOD + b" " * (REPLY_CAP - len(GOOD))
    async with raw_server(says(with_length(body))) as server, calling(server.base_url) as sms:
        assert (await create(sms)).summary.sent == len(NUMBERS)


async def test_large_list_reply_is_capped_too() -> None:
    """The cap holds for the list of campaigns as for a campaign."""
    async with raw_server(says(with_length(_bomb(64 * 2**20), b"Content-Encoding: gzip"))) as server:
        async with calling(server.base_url) as sms:
            error = await failure_of(anext(sms.campaigns.list()))
        assert_says(error, APIConnectionError, Delivery.NOT_SENT)


@every_way
async def test_flag_is_up_whenever_the_body_was_read(reused: bool, owned: bool) -> None:
    """The attempt says that the campaign may have left, for whoever asks after the call is gone."""
    async with (
        raw_server(after(reused, breaks_off(b""))) as server,
        calling(server.base_url, owned=owned) as sms,
    ):
        if reused:
            await create(sms)
        attempt = Attempt()
        await submit(sms, attempt)
        assert attempt.may_have_left
        assert json.loads(server.posts[-1].body)["manual_contacts"] == ", ".join(NUMBERS)
