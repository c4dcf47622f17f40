"""A stand-in for SMSPop that costs next to nothing, so that what is measured is the client.

It runs in a process of its own, on a core of its own where the machine has one to spare, as a bare
`asyncio.Protocol`. A reply is made of the request's own list of numbers by two calls of `bytes.replace`: no JSON is
parsed, and no Python runs per contact.

``POST /{layout}/{milliseconds}/api/campaigns`` answers after that delay, rows laid out as named:

* ``documented``: ``{"phone_number":"263…","status":"sent"}``, as the vendor's document shows them;
* ``spaced``: with a blank behind each colon and comma, as other JSON encoders would write them.

``GET /stats`` tells the requests and contacts served and the processor time used since the start, from which a
run shows that the stub was not its bottleneck, and that every contact really arrived.

Run by the harness: ``python stub.py [--cpu N]`` prints its port and ends when its standard input does.
"""

import argparse
import asyncio
import json
import os
import sys
import threading
import time
from importlib.util import find_spec
from typing import cast

from attrs import frozen
from inputs import FAILING

_SENT = b"sent"
_FAILED = b"failed"


@frozen(kw_only=True)
class Layout:
    """What stands around the number and the status in a row of the reply."""

    before: bytes
    between: bytes
    after: bytes
    next_row: bytes

    def rows(self, numbers: bytes) -> tuple[bytes, int]:
        """Make the rows for ``263…, 263…``, and count those that failed."""
        end = self.between + _SENT + self.after
        text = self.before + numbers.replace(b", ", end + self.next_row + self.before) + end
        mark = FAILING.encode() + self.between
        text = text.replace(mark + _SENT, mark + _FAILED)
        return text, text.count(mark + _FAILED)


LAYOUTS = {
    "documented": Layout(before=b'{"phone_number":"', between=b'","status":"', after=b'"}', next_row=b","),
    "spaced": Layout(before=b'{"phone_number": "', between=b'", "status": "', after=b'"}', next_row=b", "),
}


@frozen(kw_only=True)
class Manner:
    """How requests to one path are answered."""

    layout: Layout
    delay: float


class Served:
    """What the stub has done since it started."""

    requests = 0
    contacts = 0
    failed = 0

    def as_json(self) -> bytes:
        return json.dumps(
            {
                "requests": self.requests,
                "contacts": self.contacts,
                "failed": self.failed,
                "cpu": time.process_time(),
            }
        ).encode()


def reply_to(body: bytes, layout: Layout, served: Served) -> bytes:
    """Answer a campaign; its only field that matters is ``manual_contacts``."""
    begin = body.index(b'"', body.index(b":", body.index(b'"manual_contacts"'))) + 1
    numbers = body[begin : body.index(b'"', begin)]
    count = numbers.count(b",") + 1
    rows, failed = layout.rows(numbers)
    served.contacts += count
    served.failed += failed
    return (
        b'{"success":true,"message":"Successfully imported %d contacts and SMS sending completed.",'
        b'"campaign":{"name":"Benchmark","message":"Hello!","sender_id":"BRAND1","status":"approved"},'
        b'"summary":{"sent":%d,"failed":%d},"contacts":[%b]}' % (count, count - failed, failed, rows)
    )


class Connection(asyncio.Protocol):
    """One client's connection; requests may be pipelined."""

    def __init__(self, served: Served, manners: dict[bytes, Manner]) -> None:
        self._served = served
        self._manners = manners
        self._held = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its bases

    def data_received(self, data: bytes) -> None:
        data = self._held + data if self._held else data
        at = 0
        while (head_end := data.find(b"\r\n\r\n", at)) >= 0:
            head = data[at:head_end]
            end = head_end + 4 + _content_length(head)
            if len(data) < end:
                break
            self._serve(head, data[head_end + 4 : end])
            at = end
        self._held = data[at:]

    def _serve(self, head: bytes, body: bytes) -> None:
        method, target, _ = head.split(b" ", 2)
        if method == b"GET":
            self._write(self._served.as_json())
            return
        self._served.requests += 1
        manner = self._manners.get(target)
        if manner is None:
            manner = self._manners[target] = _manner(target)
        reply = reply_to(body, manner.layout, self._served)
        if manner.delay:
            asyncio.get_running_loop().call_later(manner.delay, self._write, reply)
        else:
            self._write(reply)

    def _write(self, body: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    return int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def _manner(target: bytes) -> Manner:
    _, layout, milliseconds, _ = target.decode().split("/", 3)
    return Manner(layout=LAYOUTS[layout], delay=float(milliseconds) / 1000)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    served, manners, over = Served(), dict[bytes, Manner](), asyncio.Event()
    server = await loop.create_server(lambda: Connection(served, manners), "127.0.0.1", 0, backlog=1024)

    def until_parent_ends() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(over.set)

    threading.Thread(target=until_parent_ends, daemon=True).start()
    print(server.sockets[0].getsockname()[1], flush=True)
    await over.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cpu", type=int, help="the core to stay on")
    cpu = parser.parse_args().cpu
    if cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})
    factory = None
    if find_spec("uvloop"):
        import uvloop  # noqa: PLC0415 - not there on every platform

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve())


if __name__ == "__main__":
    main()
