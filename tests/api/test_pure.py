"""The pure parts against random input: retry arithmetic, settling against a naive twin, classifying anything."""

import json
import math
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawserver import fake_number
from smspop_async import Delivery, RetryPolicy, Status, Summary
from smspop_async.api.classify import Accepted, Rejected, Unknown, classify
from smspop_async.api.gate import Gate
from smspop_async.api.refusals import Context
from smspop_async.api.reply import Reply
from smspop_async.api.retry import RetryBudget, backoff, parse_retry_after
from smspop_async.api.settle import settle
from smspop_async.api.wire import Envelope, decode_object, read_page
from smspop_async.mask import Redactor

policies = st.builds(
    RetryPolicy,
    initial_backoff=st.floats(0, 100),
    max_backoff=st.floats(0, 1_000),
)


@given(policy=policies, attempt=st.integers(1, 10_000), draw=st.floats(0, 1))
def test_backoff_stays_under_its_ceiling(policy: RetryPolicy, attempt: int, draw: float) -> None:
    """A wait is between 0 and the doubled ceiling, which never exceeds ``max_backoff``."""
    wait = backoff(policy, attempt, draw)
    assert 0 <= wait <= policy.max_backoff
    assert wait <= policy.initial_backoff * 2.0 ** min(attempt - 1, 500)
    assert backoff(policy, attempt, 0.0) == 0


@given(policy=policies, attempt=st.integers(1, 60))
def test_ceiling_of_the_backoff_only_grows(policy: RetryPolicy, attempt: int) -> None:
    """Patience never shrinks from one attempt to the next."""
    assert backoff(policy, attempt, 1.0) <= backoff(policy, attempt + 1, 1.0)


@given(value=st.none() | st.text(), now=st.floats(0, 4e9))
def test_retry_after_of_anything_is_seconds_or_none(value: str | None, now: float) -> None:
    """No header raises, and what comes out is a finite number of seconds, 0 at least."""
    wait = parse_retry_after(value, now)
    assert wait is None or (wait >= 0 and math.isfinite(wait))


@given(seconds=st.integers(0, 10**15))
def test_retry_after_in_seconds(seconds: int) -> None:
    """Seconds are read as they are written, with blanks around them."""
    assert parse_retry_after(f" {seconds} ", 0.0) == seconds


@pytest.mark.parametrize("zone", ["Africa/Harare", "America/New_York", "UTC"])
@pytest.mark.parametrize(
    "date", ["Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 -0000", "Sunday, 06-Nov-94 08:49:37 GMT"]
)
def test_retry_after_in_the_old_forms_of_dates(zone: str, date: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A date without a zone is Greenwich's (RFC 9110, 5.6.7), wherever this machine stands."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert parse_retry_after(date, 784111777.0 - 3) == 3
    finally:
        monkeypatch.undo()
        time.tzset()


@given(at=st.integers(0, 4_000_000_000), now=st.integers(0, 4_000_000_000))
def test_retry_after_as_a_date(at: int, now: int) -> None:
    """A date is so far in the future as it is, and never in the past."""
    from email.utils import formatdate

    assert parse_retry_after(formatdate(at, usegmt=True), float(now)) == max(0, at - now)


@given(spends=st.lists(st.booleans(), max_size=300))
def test_budget_never_gives_more_than_it_has(spends: list[bool]) -> None:
    """Retries given out never exceed the capital and a tenth of the successes."""
    budget, given_out, successes = RetryBudget(), 0, 0
    for spend in spends:
        if spend:
            given_out += budget.spend()
        else:
            budget.succeed()
            successes += 1
        assert given_out <= 10 + successes / 10


@given(holds=st.lists(st.floats(0, 100), max_size=20), passed=st.floats(0, 100))
def test_gate_opens_when_the_longest_hold_is_over(holds: list[float], passed: float) -> None:
    """The moment at which the gate opens only moves forward."""
    now = 0.0
    gate = Gate(lambda: now)
    for seconds in holds:
        gate.hold(seconds)
    now = passed
    assert gate.wait_left == pytest.approx(max(0.0, max(holds, default=0.0) - passed))


NUMBERS = [fake_number(n) for n in range(1, 7)]
words = st.sampled_from(["sent", "failed", "SENT", " Failed ", "queued", "", None, 5, True, ["sent"]])
spellings = st.sampled_from(
    [
        str, int, float, lambda number: f"+{number}", lambda number: f"+{number[:3]} {number[3:6]}-{number[6:]}",
        lambda number: "0" + number[3:], lambda number: f" {number}",
    ]
)  # fmt: skip
known_rows = st.builds(
    lambda number, spell, word: {"phone_number": spell(number), "status": word},
    st.sampled_from(NUMBERS),
    spellings,
    words,
)
odd_rows = st.sampled_from(
    [
        {"phone_number": fake_number(99), "status": "sent"}, {"phone_number": None, "status": "sent"},
        {"status": "sent"}, {"phone_number": NUMBERS[0]}, {"phone_number": True, "status": "sent"},
        {"phone_number": 1.5, "status": "sent"}, {"phone_number": float("inf"), "status": "sent"},
        {"phone_number": [NUMBERS[0]], "status": "sent"}, {"phone_number": "", "status": "sent"}, None, 5,
        "263770000001", [],
    ]
)  # fmt: skip
plain_rows = st.permutations(NUMBERS).flatmap(
    lambda numbers: st.lists(st.sampled_from(["sent", "failed"]), min_size=6, max_size=6).map(
        lambda said: [{"phone_number": n, "status": word} for n, word in zip(numbers, said, strict=True)]
    )
)
replies = st.lists(known_rows | odd_rows, max_size=12) | plain_rows
claims = st.none() | st.builds(Summary, sent=st.integers(0, 7), failed=st.integers(0, 7))


def national(text: str) -> str | None:
    return "263" + text[1:] if text.startswith("0") and text[1:].isdigit() else None


def naive(rows: Sequence[Any]) -> list[Status]:
    """The law in the plainest words: all that is said of a number, and what it amounts to."""
    statuses = []
    for number in NUMBERS:
        said = [row["status"] for row in rows if _is_about(row, number)]
        meant = {str(word).strip().lower() if isinstance(word, str) else "?" for word in said}
        known = {"sent": Status.SENT, "failed": Status.FAILED}
        statuses.append(known.get(*meant, Status.UNKNOWN) if len(meant) == 1 else Status.UNKNOWN)
    return statuses


def _is_about(row: object, number: str) -> bool:
    if not isinstance(row, dict) or "status" not in row or isinstance(row.get("phone_number"), bool | list):
        return False
    value = row.get("phone_number")
    text = str(int(value)) if isinstance(value, float) and value == number_of(value) else str(value)
    digits = "".join(char for char in text if char.isdigit()) if value is not None else ""
    return digits == number or ("263" + digits[1:] == number and digits.startswith("0"))


def number_of(value: float) -> float:
    return math.trunc(value) if math.isfinite(value) else math.nan


@given(rows=replies, claimed=claims)
def test_settling_agrees_with_its_naive_twin(rows: list[Any], claimed: Summary | None) -> None:
    """Whatever the rows are, each number gets the status that the plainest reading gives it (law 2, Identity)."""
    settlement = settle(NUMBERS, rows, claimed, national)
    assert [contact.phone_number for contact in settlement.contacts()] == NUMBERS
    if not rows:
        assert set(settlement.statuses) == {Status.ACCEPTED}
        return
    missing_status = {number for number in NUMBERS if any(_lacks_status(row, number) for row in rows)}
    for number, status, expected in zip(NUMBERS, settlement.statuses, naive(rows), strict=True):
        if number not in missing_status:
            assert status is expected
    counted = Summary(
        sent=settlement.statuses.count(Status.SENT), failed=settlement.statuses.count(Status.FAILED)
    )
    assert settlement.summary == counted
    for status, contact in zip(settlement.statuses, settlement.contacts(), strict=True):
        assert bool(contact.detail) == (status is Status.UNKNOWN)
    for words_ in settlement.discrepancies:
        assert not any(number in words_ for number in NUMBERS)


def _lacks_status(row: object, number: str) -> bool:
    return isinstance(row, dict) and "status" not in row and row.get("phone_number") == number


@given(rows=plain_rows, seed=st.randoms(use_true_random=False))
def test_order_of_the_rows_is_of_no_account(rows: list[Any], seed: Any) -> None:
    """Joined by number, never by position."""
    shuffled = list(rows)
    seed.shuffle(shuffled)
    assert settle(NUMBERS, rows, None).statuses == settle(NUMBERS, shuffled, None).statuses


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "success": st.sampled_from([True, False, 1, 0, "true", "false", None, 2, "x", []]),
        "message": json_values,
        "campaign": json_values,
        "summary": json_values | st.fixed_dictionaries({"sent": json_values, "failed": json_values}),
        "contacts": json_values | replies,
        "errors": json_values,
    },
)
bodies = (
    st.binary(max_size=60)
    | json_values.map(_dumps := lambda value: json.dumps(value).encode())
    | (envelopes.map(_dumps))
)
header_values = st.dictionaries(st.sampled_from(["Location", "Retry-After"]), st.text(max_size=30))


@given(status=st.integers(100, 999), body=bodies, headers=header_values)
def test_any_reply_has_a_verdict_and_is_refused_only_when_nothing_says_sent(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    """No reply raises; REJECTED is never said of a reply in which anything claims that somebody was texted."""
    context = Context(url="http://127.0.0.1/api/campaigns", redact=Redactor(["secret"]), normalise=national)
    verdict = classify(Reply(status=status, headers=headers, body=body), NUMBERS, context)
    if isinstance(verdict, Accepted):
        assert 200 <= status <= 299
        assert len(verdict.settlement.statuses) == len(NUMBERS)
    elif isinstance(verdict, Rejected):
        assert 200 <= status <= 499
        assert verdict.error.delivery is Delivery.REJECTED
        claim = decode_object(body) or {}
        assert claim.get("success") is not True or 300 <= status <= 399
    else:
        assert isinstance(verdict, Unknown)
        assert verdict.error.delivery is Delivery.UNKNOWN


@given(body=bodies | st.lists(st.fixed_dictionaries({"name": json_values})).map(_dumps))
def test_any_body_is_a_page_or_none(body: bytes) -> None:
    """Reading a page raises for nothing, and what goes on is never called the last page."""
    page = read_page(body)
    if page is not None:
        assert len(page.campaigns) == len(page.rows)
        assert not (page.is_last and page.next_query)


@given(
    name=st.text(st.characters(exclude_categories=["Cs"])),
    message=st.text(st.characters(exclude_categories=["Cs"])),
    sender_id=st.text(st.characters(exclude_categories=["Cs"])),
    numbers=st.lists(st.from_regex(r"[0-9]{9,15}", fullmatch=True), max_size=5),
)
def test_body_says_exactly_what_was_given(
    name: str, message: str, sender_id: str, numbers: list[str]
) -> None:
    """Whatever characters a text holds, the body is JSON of the documented fields with those very texts."""
    body = Envelope(message=message, sender_id=sender_id).encode(name, numbers)
    assert json.loads(body) == {
        "name": name,
        "message": message,
        "sender_id": sender_id,
        "contact_import_method": "manual",
        "manual_contacts": ", ".join(numbers),
    }


def test_a_spreadsheets_fraction_is_no_digit() -> None:
    """Identity: a number with ``.0`` behind it is that number, and not the one with a 0 more."""
    short, long = "431234543808", "4312345438080"
    settled = settle([short, long], [{"phone_number": f"{short}.0", "status": "sent"}], None, None)
    assert list(settled.statuses) == [Status.SENT, Status.UNKNOWN]
