"""What needs no server: the normaliser against the full parser, and decoding against cattrs' default.

Here the contestants take turns in one process, hundreds of times and in rotated order: each turn is too short for a
process of its own. Every turn starts from a collected heap.
"""

import gc
import json
import time
from collections.abc import Callable, Sequence
from itertools import islice
from random import Random
from typing import Any

from inputs import FAILING, scattered
from replies import LAYOUTS, answer
from spellings import SPELLINGS, odd_strings

from cells.server import Measured, Spec

_SLAB = 500
"""Rows that the engine reads at once, unless told otherwise."""


def in_turns(contestants: dict[str, tuple[Callable[[], object], int]], rounds: int) -> dict[str, list[float]]:
    """Let each run once a round, another one first each time.

    Args:
        contestants: What to run, and how many things it does in one run.
        rounds: How often.

    Returns:
        For each the processor seconds that one of its things took, round by round.
    """
    labels = list(contestants)
    taken: dict[str, list[float]] = {label: [] for label in labels}
    for number in range(rounds):
        turn = number % len(labels)
        for label in (*labels[turn:], *labels[:turn]):
            run, things = contestants[label]
            gc.collect()
            began = time.process_time()
            run()
            taken[label].append((time.process_time() - began) / things)
    return taken


def full_parse(value: str) -> str | None:
    """What the phone library makes of a value."""
    import phonenumbers  # noqa: PLC0415

    try:
        parsed = phonenumbers.parse(value, "ZW")
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)[1:]


def fast_normalise(normaliser: Any, values: Sequence[str]) -> list[str | None]:
    """What the normaliser makes of values: the fast path in slabs, and its own parser for what that leaves."""
    numbers: list[str | None] = []
    for at in range(0, len(values), _SLAB):
        slab = values[at : at + _SLAB]
        scan = normaliser.scan(slab)
        for offset in scan.undecided:
            scan.numbers[offset] = normaliser.parse(slab[offset])
        numbers += scan.numbers
    return numbers


async def normalising(spec: Spec) -> Measured:
    """Processor seconds a number, of the normaliser and of the full parser, spelling by spelling and combined."""
    from smspop_async.contacts.numbers import Normaliser  # noqa: PLC0415

    normaliser = Normaliser("ZW")
    canonical = list(scattered(spec["contacts"]))
    lists = {name: [spell(number[3:]) for number in canonical] for name, spell in SPELLINGS.items()}
    plain = list(SPELLINGS)[1:]
    draw = Random(1)
    lists["mixed"] = [lists[draw.choice(plain)][at] for at in range(len(canonical))]
    taken = {}
    for name, values in lists.items():
        some = values[: spec["parsed"]]
        if (
            fast_normalise(normaliser, values) != canonical
            or [*map(full_parse, some)] != canonical[: len(some)]
        ):
            raise SystemExit(f"numbers spelled like {name} came out wrong")
        contestants: dict[str, tuple[Callable[[], object], int]] = {
            "fast": (lambda values=values: fast_normalise(normaliser, values), len(values)),  # type: ignore[misc]
            "full": (lambda some=some: list(map(full_parse, some)), len(some)),  # type: ignore[misc]
        }
        taken[name] = in_turns(contestants, spec["rounds"])
    return {"taken": taken}


async def equality(spec: Spec) -> Measured:
    """Where the fast path decides otherwise than the full parser, on random and edge strings in slabs of any size."""
    from smspop_async.contacts.numbers import InvalidNumber, Normaliser  # noqa: PLC0415

    normaliser = Normaliser("ZW")

    def full(value: str) -> str | None:
        try:
            return normaliser.parse(value)
        except InvalidNumber:
            return None

    values = odd_strings(spec["strings"])
    draw, left = Random(2), iter(values)
    decided = differences = 0
    while slab := list(islice(left, draw.choice((1, 7, 50, _SLAB, 2000)))):
        fast = normaliser.scan(slab).numbers
        decided += sum(number is not None for number in fast)
        differences += sum(
            number is not None and number != full(value) for number, value in zip(fast, slab, strict=True)
        )
    return {"strings": len(values), "decided": decided, "differences": differences}


def _plain_reader() -> Callable[[bytes], Sequence[Any]]:
    """The documented reply as attrs classes, structured by cattrs as it comes."""
    from attrs import frozen  # noqa: PLC0415
    from cattrs import Converter  # noqa: PLC0415

    from smspop_async import Status  # noqa: PLC0415

    @frozen
    class Campaign:
        name: str
        message: str
        sender_id: str
        status: str

    @frozen
    class Summary:
        sent: int
        failed: int

    @frozen
    class ContactResult:
        phone_number: str
        status: Status

    @frozen
    class Answer:
        success: bool
        message: str
        campaign: Campaign
        summary: Summary
        contacts: list[ContactResult]

    converter = Converter()
    return lambda body: converter.structure(json.loads(body), Answer).contacts


async def decoding(spec: Spec) -> Measured:
    """Processor seconds for the reply to one campaign, from its bytes to a status for each number sent."""
    from smspop_async.api.classify import Accepted, classify  # noqa: PLC0415
    from smspop_async.api.refusals import Context  # noqa: PLC0415
    from smspop_async.api.reply import Reply  # noqa: PLC0415
    from smspop_async.mask import Redactor  # noqa: PLC0415

    context = Context(url="http://127.0.0.1/api/campaigns", redact=Redactor(("1|fake-token", "Hello!")))
    numbers = list(scattered(spec["chunk"] * spec["replies"]))
    chunks = [numbers[at : at + spec["chunk"]] for at in range(0, len(numbers), spec["chunk"])]
    wires = [answer(", ".join(chunk).encode(), LAYOUTS[spec["layout"]]).wire for chunk in chunks]
    bodies = [wire.partition(b"\r\n\r\n")[2] for wire in wires]
    replies = [Reply(status=200, headers={"Content-Type": "application/json"}, body=body) for body in bodies]
    plain = _plain_reader()

    def ours() -> None:
        for reply, chunk in zip(replies, chunks, strict=True):
            classify(reply, chunk, context)

    def objects() -> None:
        for reply, chunk in zip(replies, chunks, strict=True):
            verdict = classify(reply, chunk, context)
            list(verdict.settlement.contacts())  # type: ignore[union-attr] # checked below

    def theirs(read: Callable[[bytes], object]) -> None:
        for body in bodies:
            read(body)

    for chunk, body, reply in zip(chunks, bodies, replies, strict=True):
        verdict = classify(reply, chunk, context)
        if not isinstance(verdict, Accepted):
            raise SystemExit(f"the reply was taken for {type(verdict).__name__}")
        expected = [(number, "failed" if number.endswith(FAILING) else "sent") for number in chunk]
        for contacts in (verdict.settlement.contacts(), plain(body)):
            if [(contact.phone_number, contact.status) for contact in contacts] != expected:
                raise SystemExit("a reader gave other statuses than the server")
    contestants: dict[str, tuple[Callable[[], object], int]] = {
        "classify": (ours, len(bodies)),
        "objects": (objects, len(bodies)),
        "cattrs": (lambda: theirs(plain), len(bodies)),
        "json": (lambda: theirs(json.loads), len(bodies)),
    }
    return {"taken": in_turns(contestants, spec["rounds"])}
