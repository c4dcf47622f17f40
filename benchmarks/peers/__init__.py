"""Those who are compared. Each sends the same contacts to the same server in chunks of the same size.

A peer is an async context manager that opens its client once and gives a function that sends a list. What a peer
does inside that function is on the clock. What the function returns is asked for a `Tally` afterwards, off the clock,
and that is checked against what the server should have said, so that none can win by doing less.
"""

from peers.job import Count, Job, Peer, Send, Tally
from peers.loops import bare, httpx, httpx2, niquests, parsing, pyreqwest, requests
from peers.ours import create, journal, sdk, stream

__all__ = ["PEERS", "Count", "Job", "Peer", "Send", "Tally"]

PEERS: dict[str, Peer] = {
    "bare": bare,
    "parsing": parsing,
    "httpx": httpx,
    "httpx2": httpx2,
    "niquests": niquests,
    "pyreqwest": pyreqwest,
    "requests": requests,
    "sdk": sdk,
    "journal": journal,
    "stream": stream,
    "create": create,
}
