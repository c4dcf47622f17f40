"""Rows written down with a guess at those that failed: a guess may be wrong, and then nothing is read."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smspop_async.api.layouts import learn

HEAD = b'{"contacts":['
NUMBERS = [f"26377{at:07}" for at in range(20)]


def row(number: str, word: str = "sent") -> str:
    return f'{{"phone_number":"{number}","status":"{word}"}}'


def reply(rows: list[str], tail: str = "]}") -> bytes:
    return HEAD + ",".join(rows).encode() + tail.encode()


def read(body: bytes, numbers: list[str]) -> tuple[list[int], int] | None:
    """What the guess comes to, where the first row has a layout."""
    learned = learn(body, len(HEAD))
    assert learned is not None
    guessed = learned.layout.guessed
    assert guessed is not None
    result = guessed.read(body, len(HEAD), numbers)
    return None if result is None else (list(result[0]), result[1])


@given(
    failed=st.sets(st.sampled_from(range(len(NUMBERS)))),
    tail=st.sampled_from(["]}", '],"summary":{"sent":1,"failed":2}}', '],"fff":"failed"}']),
)
@example(failed=set(), tail="]}")
@example(failed=set(range(len(NUMBERS))), tail='],"summary":{"sent":0,"failed":20}}')
@example(failed={len(NUMBERS) - 1}, tail='],"fff":"failed"}')
def test_documented_rows_are_read_whoever_failed(failed: set[int], tail: str) -> None:
    """Numbers of one length in the order in which they were asked for: whatever follows, the guess is right."""
    rows = [row(number, "failed" if at in failed else "sent") for at, number in enumerate(NUMBERS)]
    body = reply(rows, tail)
    assert read(body, NUMBERS) == (sorted(failed), len(body) - len(tail))


@given(st.data())
def test_what_is_read_is_what_a_decoder_reads(data: st.DataObject) -> None:
    """Numbers of any length, rows that were changed, left out, repeated and put in: what is read is what is there."""
    numbers = data.draw(
        st.lists(st.text("123", min_size=1, max_size=4), min_size=1, max_size=12, unique=True)
    )
    words = st.sampled_from(["sent", "failed"])
    rows = [(number, data.draw(words)) for number in numbers]
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(rows)))
        other = (data.draw(st.sampled_from(["", "1", "123", *numbers])), data.draw(words))
        rows[at : at + data.draw(st.integers(0, 1))] = [other]
    if not rows or not rows[0][0]:
        return  # no layout to learn
    body = reply([row(*each) for each in rows])
    result = read(body, numbers)
    if result is not None:
        failed, end = result
        said = [(each["phone_number"], each["status"]) for each in json.loads(body)["contacts"]]
        assert said[: len(numbers)] == [
            (number, "failed" if at in failed else "sent") for at, number in enumerate(numbers)
        ]
        # What is behind that is not looked at here: rows too many are found in the frame, which must decode.
        assert body[end:] == b"]}" if len(said) == len(numbers) else body.startswith(b",", end)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([row("111", "failed"), row("", "failed"), row("222")], id="a row without a number"),
        pytest.param([row("111"), row("222", "failed"), row("", "failed")], id="the same at the end"),
        pytest.param([row("111"), row("222"), row("333", "failed")], id="a row too many"),
        pytest.param([row("111", "failed"), row("111", "failed"), row("222")], id="a row twice"),
        pytest.param([row("111")], id="a row too few"),
        pytest.param([row("111"), row("222", "fail")], id="another word"),
        pytest.param([row("222"), row("111")], id="another order"),
        pytest.param([row("111"), row("222f")], id="the letter in a number"),
    ],
)
def test_a_wrong_guess_reads_nothing(rows: list[str]) -> None:
    """Whatever the reply says beside what was asked is for those who look closer, and is never taken for a yes."""
    result = read(reply(rows), ["111", "222"])
    assert result is None or not reply(rows)[result[1] :].startswith(b"]")


def test_other_layouts_are_not_guessed_at() -> None:
    """With the word before the number, or with more values in a row, others read the rows."""
    for text in ('{"status":"sent","phone_number":"111"}', '{"id":7,"phone_number":"111","status":"sent"}'):
        learned = learn(reply([text]), len(HEAD))
        assert learned is not None
        assert learned.layout.guessed is None
