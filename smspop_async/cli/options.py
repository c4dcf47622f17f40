"""The options that commands share, as cyclopts reads them from these classes and their docstrings."""

from pathlib import Path
from typing import Annotated, Final

from attrs import frozen
from cyclopts import Group, Parameter
from cyclopts.types import PositiveFloat, PositiveInt
from cyclopts.validators import Number

from smspop_async.batch.chunks import CHUNK_LIMIT

ContactsArgument = Annotated[str, Parameter(allow_leading_hyphen=True, metavar="CONTACTS")]
"""A file, or ``-``."""
JsonFlag = Annotated[bool, Parameter(name="--json")]

_TEXT: Final = Group("Message", sort_key=1)
_LIST: Final = Group("Contacts", sort_key=2)
_PACE: Final = Group("Pace", sort_key=3)
_CARE: Final = Group("Care", sort_key=4)
TARGET: Final = Group("Account", sort_key=5)


@Parameter(name="*", group=_TEXT)
@frozen(kw_only=True)
class TextOptions:
    """What is sent."""

    message: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """The text."""
    message_file: Path | None = None
    """A UTF-8 file that holds the text; line ends at its end are left out."""
    template: bool = False
    """The text has merge fields: $first_name or ${First name} is filled from the columns of each row."""


@Parameter(name="*", group=_LIST)
@frozen(kw_only=True)
class ListOptions:
    """Who gets it."""

    column: str | None = None
    """The column of the phone number, where its header is unusual."""
    region: str = "ZW"
    """The country (ISO 3166-1) in which a number without a country code is read."""
    suppress: Path | None = None
    """A .txt, .csv or .xlsx file of numbers that must not be texted."""
    chunk_size: Annotated[int | None, Parameter(validator=Number(gte=1, lte=CHUNK_LIMIT))] = None
    """Contacts in one campaign, 1 to 50,000. [default: 500, or 100 with --sandbox]"""


@Parameter(name="*", group=_PACE)
@frozen(kw_only=True)
class PaceOptions:
    """How fast."""

    concurrency: Annotated[int, Parameter(validator=Number(gte=1, lte=1000))] = 8
    """Campaigns under way at once, at most."""
    rate: PositiveFloat | None = None
    """Contacts a second, at most."""
    requests_per_second: PositiveFloat | None = None
    """Campaigns a second, at most."""
    adaptive: bool = False
    """Lower the concurrency when the API is overloaded (429, 503), and raise it again."""
    timeout: PositiveFloat | None = None
    """Seconds one request may take. [default: 150; shorter ones make outcomes unknown]"""


@Parameter(name="*", group=_CARE)
@frozen(kw_only=True)
class CareOptions:
    """What is held back, and looked up."""

    max_credits: PositiveInt | None = None
    """Send nothing when it would take more credits than this."""
    no_canary: bool = False
    """Do not send the first campaign alone."""
    no_reconcile: bool = False
    """Do not look for campaigns of unknown outcome; their contacts stay unknown."""
    grace: Annotated[float, Parameter(validator=Number(gte=0))] = 30.0
    """Seconds that campaigns under way may still take after Ctrl-C."""


@Parameter(name="*", group=_PACE)
@frozen(kw_only=True)
class AgainPace:
    """How fast."""

    concurrency: Annotated[int | None, Parameter(validator=Number(gte=1, lte=1000))] = None
    """Campaigns under way at once, at most. [default: as it was begun]"""
    rate: PositiveFloat | None = None
    """Contacts a second, at most. [default: as it was begun]"""
    requests_per_second: PositiveFloat | None = None
    """Campaigns a second, at most. [default: as it was begun]"""
    timeout: PositiveFloat | None = None
    """Seconds one request may take. [default: 150; shorter ones make outcomes unknown]"""


@Parameter(name="*", group=_CARE)
@frozen(kw_only=True)
class AgainCare:
    """What is held back, and looked up."""

    max_credits: PositiveInt | None = None
    """Send nothing when the rest would take more credits than this."""
    no_reconcile: bool = False
    """Do not look for campaigns of unknown outcome; their contacts stay unknown."""
    grace: Annotated[float, Parameter(validator=Number(gte=0))] = 30.0
    """Seconds that campaigns under way may still take after Ctrl-C."""
