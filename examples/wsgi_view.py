"""A synchronous web app that texts: `python examples/wsgi_view.py` serves, asks itself, shows the answers, and ends.

    python examples/wsgi_view.py --serve 8000                        goes on until Ctrl-C
    curl -d "phone=0770 000 001" http://127.0.0.1:8000/welcome      asks it

The sandbox stands in for SMSPop, so nobody is texted. The server is that of the standard library with a thread for each
request; a view of Django or Flask does the same with the same three lines, and docs/scripts.md shows both.
"""

import argparse
import json
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from socketserver import ThreadingMixIn
from urllib.parse import parse_qs, urlencode
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from anyio.from_thread import start_blocking_portal

from smspop_async import Delivery, SmsPopError, SmsPopPortal
from smspop_async.sandbox import Sandbox

STATUS = {Delivery.NOT_SENT: 503, Delivery.REJECTED: 502, Delivery.UNKNOWN: 504}
"""Only 503 invites whoever asks to try again: after the others, people may have been texted, or never will be."""


class Welcome:
    """The app: one client for all of its threads."""

    def __init__(self, sms: SmsPopPortal) -> None:
        self.sms = sms

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        form = parse_qs(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode())
        status, answer = self.welcome(form.get("phone", [""])[0])
        start_response(f"{status} {HTTPStatus(status).phrase}", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]

    def welcome(self, phone: str) -> tuple[int, dict[str, str]]:
        """The view: it waits for the text to be sent, and says what became of it."""
        try:
            result = self.sms.call(
                lambda sms: sms.campaigns.create(
                    name="Welcome", message="Welcome!", sender_id="BRAND1", contacts=[phone]
                )
            )
        except SmsPopError as error:
            return STATUS[error.delivery], {"error": str(error), "delivery": error.delivery}
        return 200, {"status": result.contacts[0].status}


class Server(ThreadingMixIn, WSGIServer):
    """A thread for each request."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """Writes no log: its lines would stand between the answers."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class named it
        """Say nothing."""


def ask(server: WSGIServer, phones: Iterable[str]) -> None:
    """Ask the server for several people at once, as browsers would."""
    url = f"http://127.0.0.1:{server.server_port}/welcome"

    def post(phone: str) -> str:
        with urlopen(url, urlencode({"phone": phone}).encode(), timeout=20) as reply:
            return f"{phone}: {reply.read().decode()}"

    with ThreadPoolExecutor(8) as browsers:
        for line in browsers.map(post, phones):
            print(line)


def serve(server: WSGIServer, until: Callable[[], object]) -> None:
    """Serve in a thread until a function returns."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        until()
    except KeyboardInterrupt:
        print("Stopped.")
    finally:
        server.shutdown()
        thread.join()


def main() -> None:
    """Start a sandbox and the server before it."""
    parser = argparse.ArgumentParser(description="A synchronous web app that texts, in a sandbox.")
    parser.add_argument("--serve", type=int, metavar="PORT", help="go on until Ctrl-C")
    port = parser.parse_args().serve
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Sandbox()) as sandbox,
        SmsPopPortal(token=sandbox.token, base_url=sandbox.api_url) as sms,
        make_server("127.0.0.1", port or 0, Welcome(sms), Server, Quiet) as server,
    ):
        if port:
            print(
                f"http://127.0.0.1:{port}/welcome takes a form with a phone; {sandbox.inbox_url} shows the texts."
            )
            serve(server, threading.Event().wait)
        else:
            serve(server, lambda: ask(server, [f"0770 000 {number:03}" for number in range(1, 9)]))
            print(f"{len(portal.call(sandbox.messages))} people were texted, in the sandbox.")


if __name__ == "__main__":
    main()
