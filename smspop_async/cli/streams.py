"""Standard streams that were closed before the command began, as ``>&-`` and some schedulers leave them."""

import os
import sys
from typing import Final, TextIO

_STANDARD: Final = (0, 1, 2)


def fill_closed_streams() -> None:
    """Let /dev/null stand in for what is closed; who closes a stream does not want to read it, and nothing else.

    The descriptors are taken as well: the next file that is opened, a journal or a connection, would get the number of
    a stream, and with it all that is written to that number. Standard input stays None, so that a list that was to come
    from there is not taken for an empty one.
    """
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free: this one
    if sys.stdout is None:
        sys.stdout = _nowhere()
    if sys.stderr is None:
        sys.stderr = _nowhere()


def _nowhere() -> TextIO:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    return open(nowhere, "w", encoding="utf-8", closefd=False)
