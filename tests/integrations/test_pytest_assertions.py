"""What the assertions of the pytest plugin say, letter by letter where it matters."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from anyio.from_thread import start_blocking_portal

import smspop_async
from smspop_async import ConfigurationError, RetryPolicy, SmsPop, Status
from smspop_async.integrations.pytest_differences import Inbox, Wanted
from smspop_async.integrations.pytest_faults import FAULT_WORDS, FaultWord, in_words_of_the_sandbox
from smspop_async.integrations.pytest_sandbox import running_sandbox
from smspop_async.sandbox import FaultKind, Message, RecordedRequest, Sandbox
from smspop_async.sync import run

ONE, TWO, THREE = "263770000001", "263770000002", "263770000003"
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def message(to: str = ONE, text: str = "Hello!", **changes) -> Message:
    values = {"sender_id": "BRAND1", "campaign": "C", "campaign_id": 1, "status": "sent", "segments": 1}
    return Message(to=to, text=text, at=NOON, **values | changes)


def request(status: int | None, fault: str | None = None) -> RecordedRequest:
    return RecordedRequest(
        id=1, at=NOON, method="POST", url="http://x/api", headers=(), body=b"", status=status, fault=fault
    )


def wanted(number: str = ONE, **what) -> Wanted:
    return Wanted(spelling=what.pop("spelling", number), number=number, **what)


def test_a_text_fits_as_a_whole_and_a_pattern_anywhere() -> None:
    """A text that is only a part of what was sent is a difference; a pattern is searched."""
    inbox = Inbox(messages=[message(text="Your code is 1234")])
    assert inbox.fitting(wanted(text="Your code is 1234"))
    assert inbox.fitting(wanted(text=re.compile(r"\d{4}")))
    assert inbox.fitting(wanted())
    assert not inbox.fitting(wanted(text="Your code"))
    assert not inbox.fitting(wanted(text=re.compile("^code")))
    assert not inbox.fitting(wanted(sender_id="DEMO"))
    assert not inbox.fitting(wanted(TWO))


def test_a_failed_message_is_no_text() -> None:
    """Nobody received it: no assertion counts it, and the words mention it."""
    inbox = Inbox(messages=[message(status="failed"), message(status="failed"), message(TWO)])
    assert not inbox.fitting(wanted())
    assert "Beside these, 2 messages to the number failed." in inbox.without(wanted())
    assert inbox.others_than([wanted(TWO)], None) == ""
    assert inbox.repeated(per_text=False) == ""


def test_what_is_missing_stands_beside_what_came() -> None:
    """The differing letters are marked, and so is a wrong sender."""
    inbox = Inbox(
        messages=[message(text="Your code is 1243")], requests=[request(None, "hang"), request(200)]
    )
    said = inbox.without(wanted(text="Your code is 1234", sender_id="DEMO", spelling="0770 000 001"))
    assert said == (
        "0770 000 001 (263770000001) was not texted like this.\n\n"
        "expected:\n  the text 'Your code is 1234'\n  from 'DEMO'\n\n"
        "received: 1 text\n"
        "  1. BRAND1, campaign 'C': 'Your code is 1243'\n"
        "     - Your code is 1234\n"
        "     ?                 -\n"
        "     + Your code is 1243\n"
        "     ?                +\n"
        "     the sender ID is 'BRAND1', not 'DEMO'\n\n"
        "The API's last answers: POST no answer (hang), POST 200."
    )


def test_a_pattern_that_is_not_found_says_so() -> None:
    said = Inbox(messages=[message()]).without(wanted(text=re.compile("odd")))
    assert "a text with the pattern 'odd'" in said
    assert "the pattern is not found in the text" in said


def test_an_empty_inbox_asks_whether_the_app_looked_at_the_environment() -> None:
    """The commonest mistake: the app read its settings before the test began."""
    said = Inbox(messages=[]).without(wanted())
    assert said.startswith("263770000001 was not texted.\n\nexpected:\n  any text\n\nreceived: no texts\n\n")
    assert "Nobody else was texted." in said
    assert said.endswith("does the app take SMSPOP_BASE_URL and SMSPOP_TOKEN at this time?")


def test_somebody_else_is_named_and_many_are_cut() -> None:
    """A list of thousands does not bury what matters."""
    inbox = Inbox(messages=[message(f"26377{number:07}") for number in range(100, 400)])
    said = inbox.without(wanted())
    assert "texted instead:\n  263770000100: 1 text\n" in said
    assert "  and 290 more" in said
    assert len(said.splitlines()) < 30


def test_the_number_of_times_is_exact() -> None:
    said = Inbox(messages=[message(), message(), message()]).without(wanted(), times=2)
    assert said.startswith("263770000001 was texted like this 3 times, not twice.")
    assert "3. BRAND1" in said


def test_what_should_not_be_there_is_shown() -> None:
    said = Inbox(messages=[message()]).despite(wanted())
    assert said == (
        "263770000001 was texted once, and should not have been.\n\n"
        "received:\n  1. BRAND1, campaign 'C': 'Hello!'"
    )


def test_who_was_texted_is_compared_as_a_set() -> None:
    """Missing and surplus people are told apart, and what the surplus ones were sent is shown."""
    inbox = Inbox(messages=[message(ONE), message(THREE), message(THREE, "Other")])
    said = inbox.others_than([wanted(ONE), wanted(TWO)], None)
    assert said.startswith("Other people were texted than expected: 2 numbers, not 2.")
    assert f"not texted:\n  - {TWO}\n\ntexted, and not expected:\n  + {THREE}\n" in said
    assert f"'Hello!' to {THREE}" in said
    assert inbox.others_than([wanted(THREE)], "Other") == ""
    assert "+" not in inbox.others_than([wanted(ONE), wanted(TWO), wanted(THREE)], None)


def test_nobody_is_nobody() -> None:
    inbox = Inbox(messages=[message()])
    assert Inbox(messages=[]).others_than([], None) == ""
    said = inbox.others_than([], None)
    assert said.startswith("Somebody was texted, and nobody should have been: 1 number.")


def test_a_double_send_is_found_by_number_or_by_text() -> None:
    """Two different texts are a double send unless the test says that they are not."""
    inbox = Inbox(messages=[message(), message(text="Other", campaign="D"), message(TWO)])
    said = inbox.repeated(per_text=False)
    assert said.startswith(
        f"Somebody was texted more than once: 1 number.\n\n{ONE}:\n  1. BRAND1, campaign 'C'"
    )
    assert "2. BRAND1, campaign 'D': 'Other'" in said
    assert inbox.repeated(per_text=True) == ""
    twice = Inbox(messages=[message(f"26377{number:07}") for number in range(20)] * 2)
    assert twice.repeated(per_text=True).startswith(
        "Somebody was sent the same text more than once: 20 numbers"
    )
    assert twice.repeated(per_text=True).endswith("and 10 more")


def test_masks_hide_numbers_and_texts() -> None:
    """Under the mask no assertion prints a whole number or a text."""
    inbox = Inbox(
        messages=[message(text="Secret"), message(text="Secret"), message(TWO, "Secret")], masked=True
    )
    said = [
        inbox.without(wanted(text="Other", spelling="0770 000 001")),
        inbox.without(wanted(THREE)),
        inbox.despite(wanted(text=re.compile("Sec"))),
        inbox.others_than([wanted(THREE)], None),
        inbox.repeated(per_text=True),
    ]
    for words in said:
        assert not re.search(r"0000|000 00|Secret|Other\b(?! people)", words), words
        assert "263…0" in words


def test_every_word_is_a_fault_of_the_sandbox() -> None:
    """The words of the type and of the table are the same, and the sandbox takes what they stand for."""
    assert sorted(FAULT_WORDS) == sorted(get_args(FaultWord))
    sandbox = Sandbox()
    for word in FAULT_WORDS:
        kind, options = in_words_of_the_sandbox(word)
        sandbox.fail_next(kind, **options)
    assert len(sandbox.faults) == len(FAULT_WORDS)
    assert in_words_of_the_sandbox(503) == (503, {})
    assert in_words_of_the_sandbox("latency") == ("latency", {})


@pytest.mark.parametrize("slip", ["rate_limted", "", None])
def test_a_word_that_there_is_not_is_answered_with_those_that_there_are(slip: Any) -> None:
    """The words of the documentation come first, and the sandbox's own kinds behind them."""
    with pytest.raises(ConfigurationError, match="no such kind of fault") as caught:
        in_words_of_the_sandbox(slip)
    said = str(caught.value)
    assert all(word in said for word in (*FAULT_WORDS, *FaultKind))
    assert said.index("rate_limited") < said.index(FaultKind.STATUS)


@pytest.mark.anyio
@pytest.mark.parametrize("word", FAULT_WORDS)
async def test_a_word_says_whether_the_texts_went_out(word: FaultWord) -> None:
    """The name, the table of the documentation and what happens agree."""
    kind, options = in_words_of_the_sandbox(word)
    async with Sandbox() as sandbox, SmsPop(sandbox.token, base_url=sandbox.api_url, timeout=0.3) as sms:
        sandbox.fail_next(kind, **options)
        report = await sms.with_options(retry=RetryPolicy(attempts=1)).send(
            [ONE], message="Hello!", sender_id="BRAND1", reconcile=None
        )
        went_out = bool(sandbox.messages())
    assert report.counts[Status.SENT] == 0
    assert went_out == word.endswith("_after_sending")
    page = (Path(smspop_async.__file__).parents[1] / "docs" / "testing.md").read_text(encoding="utf-8")
    assert f"| `{word}` | {'yes' if went_out else 'no'} |" in page


def test_the_assertions_hold_and_fail() -> None:
    """Each of them in both ways, on what a sandbox has."""
    with start_blocking_portal("asyncio") as portal, running_sandbox(portal, {}) as sandbox:
        with pytest.raises(AssertionError, match="was not texted"):
            sandbox.assert_texted(ONE)
        with pytest.raises(AssertionError, match="not texted:"):
            sandbox.assert_texted_only(ONE)
        sandbox.assert_not_texted(ONE)
        sandbox.assert_nobody_texted()
        sandbox.assert_nobody_texted_twice()
        for _ in range(2):
            run(
                lambda sms: sms.campaigns.create(name="C", message="Hi!", sender_id="BRAND1", contacts=[ONE]),
                token=sandbox.token,
                base_url=sandbox.api_url,
            )
        with pytest.raises(AssertionError, match="more than once"):
            sandbox.assert_nobody_texted_twice()
        with pytest.raises(AssertionError, match="should not have been"):
            sandbox.assert_not_texted(ONE)
        assert sandbox.assert_texted(ONE, times=2).text == "Hi!"


def test_a_spelling_that_is_no_number_is_refused() -> None:
    """`assert_not_texted` with a slip in the number would hold for ever."""
    with start_blocking_portal("asyncio") as portal, running_sandbox(portal, {}) as sandbox:
        for refused in (
            lambda: sandbox.assert_not_texted("0770 000 00"),
            lambda: sandbox.assert_texted_only("call me"),
            lambda: sandbox.messages(to="12"),
            lambda: sandbox.assert_texted(ONE, times=0),
        ):
            with pytest.raises(ConfigurationError):
                refused()
