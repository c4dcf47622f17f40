"""The redactor takes secrets out of whatever text, and numbers in whatever spelling (law 7, Discretion)."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smspop_async.mask import Redactor, mask_number

secrets = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=8, max_size=60).filter(
    lambda text: len("".join(text.split())) >= 8
)
around = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
shapes = st.sampled_from([str, str.upper, lambda text: text.replace(" ", "\n\t "), lambda text: f"'{text}'"])


def squeezed(text: str) -> str:
    return " ".join(text.split())


@given(secret=secrets, before=around, behind=around, shape=shapes)
def test_secret_never_survives(secret: str, before: str, behind: str, shape: object) -> None:
    """However a text quotes a secret, the secret is not in what comes out."""
    shown = Redactor([secret])(f"{before} {shape(secret)} {behind}")
    plain = squeezed(secret)
    assert plain not in shown.replace("[redacted]", "")


@given(secret=st.text(st.sampled_from("abcdefgh "), min_size=30, max_size=90), cut=st.integers(22, 60))
def test_secret_cut_short_never_survives(secret: str, cut: int) -> None:
    """A server that quotes the beginning of a message gives away no more than a few letters of it."""
    piece = squeezed(secret)[:cut]
    if len(piece) < 20:
        return
    shown = Redactor([secret])(f"the text '{piece}…' is refused")
    assert piece[:20] not in shown


SEPARATORS = ["", " ", "-", ".", "/", "_", "\u00a0", "\u2011", "\u2013", ") (", " - ", "\u200b", ", ", "\t"]


@given(
    digits=st.from_regex(r"[1-9][0-9]{8,14}", fullmatch=True),
    gaps=st.lists(st.sampled_from(SEPARATORS), min_size=15, max_size=15),
    plus=st.booleans(),
    words=st.sampled_from(["", "to ", "number: ", "'", "(", "x"]),
)
@example(digits="263770000001", gaps=[""] * 15, plus=True, words="")
def test_number_is_masked_in_any_spelling(digits: str, gaps: list[str], plus: bool, words: str) -> None:
    """Of a phone number at most five digits are shown, however it is grouped."""
    spelled = "+" * plus + "".join(digit + gap for digit, gap in zip(digits, gaps, strict=False))
    shown = Redactor()(f"{words}{spelled} is not valid")
    assert sum(char.isdigit() for char in shown) <= 5


@given(text=st.text(max_size=2_000), secret=st.text(max_size=40))
def test_what_comes_out_is_one_printable_line(text: str, secret: str) -> None:
    """Nothing that comes out breaks a log line, hides a control character or grows beyond 300 letters."""
    shown = Redactor([secret])(text)
    assert shown.isprintable()
    assert len(shown) <= 300


@pytest.mark.parametrize(
    "text",
    [
        "Insufficient credits. Please purchase more SMS credits",
        "Your account is inactive. Please contact support.",
        "Campaign rejected: Content classified as political is not allowed",
        "The contact import method field is required.",
        "Too Many Attempts.",
    ],
)
def test_innocent_words_stay(text: str) -> None:
    """The API's documented words are shown as they are, also where the message is a short word of theirs."""
    assert Redactor(["1|fake-token-0123456789", "Hi", "", "  ", "a"])(text) == text.replace(
        " a ", " [redacted] "
    )


def test_short_message_is_taken_out_as_a_word() -> None:
    """``Hi`` is a secret, and no reason to cut up ``this``."""
    assert Redactor(["Hi"])("this text: Hi!") == "this text: [redacted]!"


@pytest.mark.parametrize("shown", ["1|fakefakefake", "Bearer abc", "bearer 1|x", "fakefakefake"])
def test_tokens_are_taken_out(shown: str) -> None:
    """Anything like a token goes, and of the client's own also the part behind the bar."""
    said = Redactor(["9|fakefakefake"])(f"bad token {shown} given")
    assert shown not in said


def test_long_letters_keep_their_places() -> None:
    """A letter whose small form is two letters does not shift what is taken out."""
    secret = "The parcel of İstanbul waits at the depot of İzmir"
    shown = Redactor([secret])("İ said: " + secret[:40] + " and more")
    assert "parcel" not in shown
    assert "İ said: [redacted]" in shown
    assert len(unicodedata.normalize("NFD", "İ").lower()) > 1


def test_endless_text_costs_no_more_than_what_is_shown() -> None:
    """Of a text of megabytes only the beginning is looked at."""
    assert len(Redactor(["secret words"])("a" * 5_000_000)) == 300


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("263770000001", "263…01"),
        ("+263770000001", "+26…01"),
        (263770000001, "263…01"),
        ("1234567", "…"),
        ("", "…"),
    ],
)
def test_masked_number(number: object, shown: str) -> None:
    """A number is shown by its ends; what is too short to hide in is not shown at all."""
    assert mask_number(number) == shown


@given(st.text())
def test_no_mask_shows_more_than_five_letters(text: str) -> None:
    """Whatever is masked, five letters are the most that is left of it."""
    assert len(re.sub("…", "", mask_number(text))) <= 5
