"""Phone numbers as people write them, and strings that only look like some: for the normaliser's scenario. Pure."""

from collections.abc import Callable
from random import Random

SPELLINGS: dict[str, Callable[[str], str]] = {
    "263771234567": lambda national: f"263{national}",
    "+263771234567": lambda national: f"+263{national}",
    "00263771234567": lambda national: f"00263{national}",
    "0771234567": lambda national: f"0{national}",
    "771234567": lambda national: national,
    "077 123 4567": lambda national: f"0{national[:2]} {national[2:5]} {national[5:]}",
    "077-123-4567": lambda national: f"0{national[:2]}-{national[2:5]}-{national[5:]}",
    "(077) 123 4567": lambda national: f"(0{national[:2]}) {national[2:5]} {national[5:]}",
    "+263 77 123 4567": lambda national: f"+263 {national[:2]} {national[2:5]} {national[5:]}",
}
"""What each spelling looks like, and how it is made of a national number; the first is the canonical one."""
CANONICAL = next(iter(SPELLINGS))

_HEADS = (
    "",
    "0",
    "263",
    "+263",
    "00263",
    "+",
    "00",
    "2630",
    "+2630",
    "263263",
    "27",
    "+27",
    "0263",
    "+44",
    "1",
    "110",
)
_ODD = "0123456789 -+().,/;#xe\t\n\r\u00a0\u200b\u2010\u2013\u202f\ufeff\u0663\uff17oOlI"
_EDGES = (
    "", " ", "+", "0", "00", "263", "+263", "-263771234567", "263771234567.0", "263771234567.00", "0771234567.",
    "2.63771234567e11", "2.63771E+11", "0771234567 ext 5", "0771234567#5", "0771234567/8", "077/1234567",
    "077.123.4567", "0771234567,0771234568", "0771234567\n0771234568", "\n0771234567", "0771234567\n",
    "\t0771234567", "0771234567\r",
    "\ufeff0771234567", "\u202a+263771234567\u202c", "+263 (0)77 123 4567", "(+263) 771234567", "+ 263771234567",
    "++263771234567", "263771234567+", "00 263 77 123 4567", "0263771234567", "2630771234567", "263263771234567",
    "\u0660\u0667\u0667\u0661\u0662\u0663\u0664\u0665\u0666\u0667", "\uff10\uff17\uff17\uff11\uff12\uff13\uff14",
    "0" * 10, "0" * 300, "9" * 15, "9" * 16, "tel:+263771234567", "0800 PIZZA", "None", "nan",
)  # fmt: skip


def odd_strings(count: int, seed: int = 1) -> list[str]:
    """Make strings on both sides of every line that a normaliser draws, in random order.

    A third are numbers that exist in spellings of all kinds, a third the same after one to three random edits, and a
    third made of heads and digits of any length, with some well-known edge cases among them.
    """
    random = Random(seed)
    kinds = (_spelled, _edited, _assembled)
    return [kinds[at % 3](random) if random.random() > 0.01 else random.choice(_EDGES) for at in range(count)]  # noqa: PLR2004


def _national(random: Random) -> str:
    head = random.choice(("71", "73", "77", "78", "77", "71", "242", "8677", "29", "800"))
    return head + "".join(random.choices("0123456789", k=9 - len(head) if random.random() < 0.9 else 7))  # noqa: PLR2004


def _spelled(random: Random) -> str:
    return random.choice(list(SPELLINGS.values()))(_national(random))


def _edited(random: Random) -> str:
    text = _spelled(random)
    for _ in range(random.randint(1, 3)):
        at = random.randint(0, len(text))
        text = text[:at] + random.choice(("", random.choice(_ODD))) + text[at + random.randint(0, 1) :]
    return text


def _assembled(random: Random) -> str:
    return random.choice(_HEADS) + "".join(random.choices("0123456789", k=random.randint(0, 16)))
