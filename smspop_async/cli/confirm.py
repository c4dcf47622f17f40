"""The question before anybody is texted. The answer is no unless it is yes."""

import sys
from pathlib import Path
from typing import Final

from smspop_async.cli.exits import MisuseError
from smspop_async.cli.screen import Screen

_TERMINAL: Final = Path("/dev/tty")
_YES: Final = frozenset({"y", "yes"})


def confirmed(question: str, screen: Screen, *, stdin_taken: bool) -> bool:
    """Ask on the terminal.

    Args:
        question: What is about to be done.
        screen: Where to ask.
        stdin_taken: Whether the contacts came through standard input, so that the answer cannot.

    Raises:
        MisuseError: There is no terminal to ask on.
    """
    text = f"{question} [y/N] "
    if stdin_taken:
        return _ask_terminal(text).strip().lower() in _YES
    return _ask(text, screen).strip().lower() in _YES


def typed_out(question: str, number: int, screen: Screen) -> bool:
    """Ask for a number to be typed, where a y out of habit would be too easily said.

    Args:
        question: What is about to be done.
        number: What must be typed.
        screen: Where to ask.

    Raises:
        MisuseError: There is no terminal to ask on.
    """
    answer = _ask(f"{question} ", screen).strip()
    return answer.replace(",", "").replace(" ", "") == str(number)


def _ask(text: str, screen: Screen) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise MisuseError(
            "Nothing was sent: there is no terminal to ask on. Look at the recap above, then type the same "
            "command with --yes."
        )
    screen.err.print(text, end="")
    screen.err.file.flush()
    return sys.stdin.readline()


def _ask_terminal(text: str) -> str:
    try:
        with _TERMINAL.open("w") as ask, _TERMINAL.open() as answer:
            ask.write(text)
            ask.flush()
            return answer.readline()
    except OSError:
        raise MisuseError(
            "Nothing was sent: the contacts came through standard input, and there is no other terminal to "
            "ask on. Look at the recap above, then type the same command with --yes."
        ) from None
