"""The only module that knows endpoints, headers and JSON: values in, bytes out, and back. No await, no clock.

What stands here as documented is in the vendor's document; the form of the campaign list, of paging and of
most error bodies is assumed (Laravel's habits), and read as tolerantly as `read_page` can without guessing.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from attrs import field, frozen
from multidict import CIMultiDict, CIMultiDictProxy

from smspop_async.api.models import Campaign, converter
from smspop_async.api.shapes import is_list, is_object, list_in, object_in

CAMPAIGNS: Final = "/campaigns"
"""POST creates and sends, GET lists (documented)."""
NAME_LIMIT: Final = 191
"""Characters of a campaign's name (assumed: the width of a Laravel string column)."""
HOLE: Final = object()
"""Stands for what was cut out: see `decode_around`."""
_DECODE: Final = json.JSONDecoder().decode
_AROUND: Final = json.JSONDecoder(parse_constant=lambda _: HOLE)
_TEXT: Final = json.JSONEncoder().encode
CONTACT: Final = re.compile(r"[0-9]{9,15}")
"""What may be joined into ``manual_contacts``; a comma inside one would smuggle another contact in."""


def _user_agent() -> str:
    try:
        return f"smspop-async/{version('smspop-async')}"
    except PackageNotFoundError:  # imported from a source tree that is not installed
        return "smspop-async"


USER_AGENT: Final = _user_agent()


@lru_cache(maxsize=8)
def headers(token: str) -> CIMultiDictProxy[str]:
    """The headers of every request, made once for a token, in the form that aiohttp need not convert.

    ``Accept`` is exactly one type: Laravel decides by the first one whether a refusal is JSON or a redirect
    to an HTML page. No encoding is offered beyond those that aiohttp always decodes.
    """
    return CIMultiDictProxy(
        CIMultiDict(
            {
                "Authorization": f"Bearer {token}",
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
                "User-Agent": USER_AGENT,
            }
        )
    )


@frozen(kw_only=True)
class Envelope:
    """What all campaigns of a run share, encoded once."""

    message: str = field(repr=False)
    sender_id: str
    _tail: str = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Encode the part that does not change."""
        message, sender_id = _TEXT(self.message), _TEXT(self.sender_id)
        tail = f'"message": {message}, "sender_id": {sender_id}, "contact_import_method": "manual"'
        object.__setattr__(self, "_tail", f'{tail}, "manual_contacts": "')

    def encode(self, name: str, numbers: Iterable[str]) -> bytes:
        """The body of one campaign: the documented object. `numbers` must be digits already."""
        # Digits need no escaping, so the list of them is joined, not passed through the encoder.
        return f'{{"name": {_TEXT(name)}, {self._tail}{", ".join(numbers)}"}}'.encode()


def decode(body: bytes) -> Any:
    """Parse a JSON body; raises ValueError for whatever is not JSON, however it is broken."""
    try:
        try:
            return _DECODE(str(body, "utf-8"))
        except ValueError:  # a byte-order mark, or one of the other encodings of Unicode
            return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def decode_around(head: bytes, tail: bytes) -> Any:
    """Parse a body from which a piece was cut out of the middle.

    Returns:
        What is left of it, with `HOLE` where the piece was and nowhere else; and without it, where that was in a text.

    Raises:
        ValueError: it is not UTF-8, not JSON, or nothing can stand where the piece was.
    """
    # NaN is no JSON, but Python's decoder reads it, and says so: as often as it stands there, and not in a text.
    text = str(b"%bNaN%b" % (head, tail), "utf-8")
    if text.count("NaN") + text.count("Infinity") == 1:
        whole, end = _AROUND.raw_decode(text) if text.startswith("{") else (None, 0)
        return whole if end == len(text) else _AROUND.decode(text)
    holes: list[str] = []

    def dig(name: str) -> object:
        holes.append(name)
        return HOLE

    whole = json.JSONDecoder(parse_constant=dig).decode(text)
    if len(holes) != 1:
        raise ValueError("a constant that JSON does not have")
    return whole


def decode_object(body: bytes) -> Mapping[str, Any] | None:
    """Parse a body that should be a JSON object; None where it is not."""
    try:
        data = decode(body)
    except ValueError:
        return None
    return data if is_object(data) else None


@frozen(kw_only=True)
class Page:
    """One page of the list of campaigns."""

    campaigns: Sequence[Campaign]
    rows: Sequence[Mapping[str, Any]] = field(repr=False)
    """The same campaigns as the API wrote them; a row may hold per-contact statuses."""
    next_query: Mapping[str, str] | None
    """What to ask for next, on our own base URL; None where there is nothing more or nothing usable."""
    is_last: bool
    """Proven to be the last page. Both this and `next_query` can be missing: then the list is not whole."""


def read_page(body: bytes) -> Page | None:
    """Read a page of campaigns in any form that Laravel gives a list; None where it is none of them."""
    try:
        data = decode(body)
    except ValueError:
        return None
    frame, rows = _find_rows(data)
    if rows is None:
        return None
    query, is_last = _what_follows(frame, len(rows))
    return Page(
        campaigns=[converter.structure(row, Campaign) for row in rows],
        rows=rows,
        next_query=query,
        is_last=is_last,
    )


def _find_rows(data: Any) -> tuple[Mapping[str, Any], list[dict[str, Any]] | None]:
    """Return the object that frames the list (it may hold the paging) and the rows."""
    frame: Mapping[str, Any] = {}
    for _ in range(3):  # {"campaigns": {"data": […]}} is the deepest form known
        rows = _as_rows(data)
        if rows is not None:
            return frame, rows
        layer = object_in(data)
        if not layer or layer.get("success") is False:
            break
        frame = {**frame, **layer}
        data = layer.get("data") if layer.get("campaigns") is None else layer["campaigns"]
    return frame, None


def _as_rows(data: object) -> list[dict[str, Any]] | None:
    """A list of objects, also in PHP's ``{"0": …, "2": …}`` form; None for anything else."""
    layer = object_in(data)
    rows = list_in(data)
    like_a_list = is_list(data) or (layer and all(key.isdigit() for key in layer))
    return rows if like_a_list and all(map(is_object, rows)) else None


def _what_follows(frame: Mapping[str, Any], seen: int) -> tuple[Mapping[str, str] | None, bool]:
    """Work out the next page, and whether this one, with `seen` rows, is proven to be the last."""
    meta = object_in(frame.get("meta"))
    layers = [frame, meta, object_in(frame.get("pagination")), object_in(meta.get("pagination"))]
    told = _Told(layers=layers)
    # "links" is a list in one form, and says nothing then.
    urls = [
        told.first("next_page_url", "next"),
        *(object_in(layer.get("links")).get("next") for layer in layers),
    ]
    url = next((url for url in urls if isinstance(url, str) and url), "")
    if url:
        return _steps(url), False
    cursor = told.first("next_cursor")
    if isinstance(cursor, str) and cursor:
        return {"cursor": cursor}, False
    current = told.number("current_page")
    is_last = _is_last(told, current, seen)
    return (None if is_last or current is None else {"page": str(current + 1)}), is_last


@frozen(kw_only=True)
class _Told:
    """What a list says of its pages, in any of the places in which lists say so."""

    layers: Sequence[Mapping[str, Any]]

    def first(self, *keys: str) -> object:
        """What is told under the first of these keys; None where nothing is."""
        said = (layer.get(key) for layer in self.layers for key in keys)
        return next((value for value in said if value is not None), None)

    def number(self, *keys: str) -> int | None:
        """The same as a whole number."""
        try:
            return int(self.first(*keys))  # type: ignore[call-overload, no-any-return]  # what is no number raises
        except (TypeError, ValueError):
            return None


def _is_last(told: _Told, current: int | None, seen: int) -> bool:
    """Whether a page that names no next one is proven to be the last."""
    last, total = told.number("last_page", "total_pages"), told.number("total")
    if current is not None and last is not None:
        return current >= last
    if told.first("has_more", "has_more_pages"):
        return False
    if total is None:
        return True
    # A total above what was seen, and no word of where the others are: not the whole list.
    size = told.number("per_page") or seen
    return total <= (seen if current is None else (current - 1) * size + seen)


def _steps(url: str) -> dict[str, str] | None:
    """What to take over from the address of the next page, which itself is never fetched."""
    try:
        query = parse_qs(urlsplit(url).query)
    except ValueError:
        return None
    return {key: query[key][0] for key in ("page", "cursor") if query.get(key)} or None
