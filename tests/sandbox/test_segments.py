"""What a text takes, by the sandbox's own count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smspop_async.sandbox.segments import count_segments


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 152, 3),  # the two septets of the euro sign stay together
        ("é\n\rΩ¡", 1),
        ("ç" * 70, 1),  # only the capital is in the table
        ("ç" * 71, 2),
        ("a" * 70 + "ç", 2),
        ("ç" * 134, 2),
        ("ç" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("ç" * 66 + "😀" + "ç" * 66, 3),  # so do the two units of the emoji
    ],
)
def test_the_limits(text, segments):
    """160 and 153 septets, 70 and 67 code units (3GPP TS 23.038 and 23.040)."""
    assert count_segments(text) == segments


@given(text=st.text(max_size=700))
def test_more_text_never_takes_fewer_segments_of_its_alphabet(text):
    """The count is within what the units say, and grows with the text."""
    count = count_segments(text)
    units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    assert 1 <= count <= max(1, -(-units // 66))
    assert count_segments(text + text) >= count
