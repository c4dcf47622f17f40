"""The list of people who must not be texted. All of it is read before anything is sent, or nothing is sent."""

from collections.abc import AsyncIterable
from pathlib import Path

from smspop_async.contacts.numbers import Normaliser
from smspop_async.contacts.roster import Roster
from smspop_async.contacts.sources import Contacts, load_suppression
from smspop_async.errors import ConfigurationError, ContactSourceError


def read_roster(suppress: Contacts | None, normaliser: Normaliser) -> Roster:
    """Make a roster that admits nobody on the list. Blocks while it reads.

    Args:
        suppress: The list.
        normaliser: Decides what is a number.

    Raises:
        ConfigurationError: it is an async iterable.
        ContactSourceError: it cannot be read, or a line of it is not a phone number.
    """
    if suppress is None:
        return Roster()
    if isinstance(suppress, AsyncIterable):
        raise ConfigurationError(
            "suppress takes no async iterable: read it first, for example suppress=[number async for number in …]."
        )
    try:
        return Roster(load_suppression(suppress, normaliser))
    except ContactSourceError as error:
        if error.line is not None:  # the words name the list or its file, and the line
            raise
        words = _words(error, of_a_file=isinstance(suppress, Path))
        raise ContactSourceError(words) from error.__cause__


def _words(error: ContactSourceError, *, of_a_file: bool) -> str:
    """What to say of a list that cannot be read; the words of `error` are about contacts."""
    cause = error.__cause__
    if of_a_file or cause is None:
        return f"The suppression list cannot be read. {error}"
    return (
        f"The suppression list failed while it was read ({type(cause).__name__}). Nothing was sent; "
        "see the cause, and give the whole list once it is mended."
    )
