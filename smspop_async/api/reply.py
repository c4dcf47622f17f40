"""What comes back for a request: a reply, read under a cap, or the reason why there is none."""

from collections.abc import Mapping
from typing import Final

from aiohttp import StreamReader
from attrs import define, field

from smspop_async.api.deadlines import Deadline

REPLY_CAP: Final = 16 * 1024 * 1024
"""Bytes of a reply, decompressed, that are read at most."""
READ_BUFFER: Final = 2**18
"""Bytes that are read ahead: whole replies of some hundred contacts arrive in one or two reads."""


@define(kw_only=True)  # not frozen: made for each campaign, at half the cost (measured)
class Reply:
    """What the server answered, untouched."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")


class NoReplyError(Exception):
    """No whole reply came. The text says why, in words that hold no secret."""

    def __init__(self, words: str, *, timeout: bool = False) -> None:
        super().__init__(words)
        self.words = words
        self.timeout = timeout


def read_whole(content: StreamReader, deadline: Deadline | None) -> bytes | None:
    """Take a body that is here as a whole, as most are by the time that somebody looks.

    Args:
        content: The body.
        deadline: Asked, as by `read_capped`.

    Returns:
        The body, or None where more is to come.

    Raises:
        NoReplyError: as by `read_capped`.
    """
    if not content.is_eof():
        return None
    body = content.read_nowait()
    if len(body) > REPLY_CAP:
        raise _too_large()
    if deadline is not None and deadline.expired:
        raise NoReplyError(deadline.expired, timeout=True)
    return body


def _too_large() -> NoReplyError:
    """What is said of a reply beyond the cap."""
    return NoReplyError(f"the reply is larger than {REPLY_CAP // 2**20} MiB")


async def read_capped(content: StreamReader, deadline: Deadline | None = None) -> bytes:
    """Read a body piece by piece.

    Args:
        content: The body.
        deadline: Told about each piece, and asked at the end: a body without a length ends where the connection
            does, also when that was our doing.

    Raises:
        NoReplyError: it grows beyond `REPLY_CAP`, or the time was over.
    """
    pieces: list[bytes] = []
    size = 0
    while not content.at_eof() and (piece := await content.readany()):
        if deadline is not None:
            deadline.hear()
        size += len(piece)
        if size > REPLY_CAP:
            raise _too_large()
        pieces.append(piece)
    if (error := content.exception()) is not None:
        raise error
    if deadline is not None and deadline.expired:
        raise NoReplyError(deadline.expired, timeout=True)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
