"""Asyncio-first SDK for the SMSPop bulk-SMS API that never texts anyone twice.

``from smspop_async import SmsPop`` and see the README. The names below are loaded when they are first used,
so that importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smspop_async.api.models import Campaign as Campaign
    from smspop_async.api.models import CampaignResult as CampaignResult
    from smspop_async.api.models import ContactResult as ContactResult
    from smspop_async.api.models import Status as Status
    from smspop_async.api.models import Summary as Summary
    from smspop_async.batch.archive import read_report as read_report
    from smspop_async.batch.campaigns import CampaignOutcome as CampaignOutcome
    from smspop_async.batch.client import SmsPop as SmsPop
    from smspop_async.batch.outcomes import ContactOutcome as ContactOutcome
    from smspop_async.batch.plan import Plan as Plan
    from smspop_async.batch.plan import plan_campaign as plan_campaign
    from smspop_async.batch.report import Progress as Progress
    from smspop_async.batch.report import Report as Report
    from smspop_async.batch.stream import Batch as Batch
    from smspop_async.config import PlaintextTokenWarning as PlaintextTokenWarning
    from smspop_async.config import RateLimit as RateLimit
    from smspop_async.config import ReconcilePolicy as ReconcilePolicy
    from smspop_async.config import RetryPolicy as RetryPolicy
    from smspop_async.config import Timeouts as Timeouts
    from smspop_async.errors import AccountInactiveError as AccountInactiveError
    from smspop_async.errors import APIConnectionError as APIConnectionError
    from smspop_async.errors import APIStatusError as APIStatusError
    from smspop_async.errors import APITimeoutError as APITimeoutError
    from smspop_async.errors import AuthenticationError as AuthenticationError
    from smspop_async.errors import ConfigurationError as ConfigurationError
    from smspop_async.errors import ContactSourceError as ContactSourceError
    from smspop_async.errors import ContentRejectedError as ContentRejectedError
    from smspop_async.errors import Delivery as Delivery
    from smspop_async.errors import InsufficientCreditsError as InsufficientCreditsError
    from smspop_async.errors import InvalidSenderError as InvalidSenderError
    from smspop_async.errors import JournalError as JournalError
    from smspop_async.errors import OutcomeUnknownError as OutcomeUnknownError
    from smspop_async.errors import PartialFailureError as PartialFailureError
    from smspop_async.errors import PermissionDeniedError as PermissionDeniedError
    from smspop_async.errors import RateLimitError as RateLimitError
    from smspop_async.errors import ServerError as ServerError
    from smspop_async.errors import SmsPopError as SmsPopError
    from smspop_async.errors import UnreadableResponseError as UnreadableResponseError
    from smspop_async.errors import ValidationError as ValidationError
    from smspop_async.journal.base import SendRecord as SendRecord
    from smspop_async.journal.sends import list_sends as list_sends
    from smspop_async.journal.sqlite import SqliteJournal as SqliteJournal
    from smspop_async.sync import SmsPopPortal as SmsPopPortal
    from smspop_async.sync import run as run

_HOMES = {
    "api.models": ("Campaign", "CampaignResult", "ContactResult", "Status", "Summary"),
    "batch.archive": ("read_report",),
    "batch.client": ("SmsPop",),
    "batch.outcomes": ("ContactOutcome",),
    "batch.plan": ("Plan", "plan_campaign"),
    "batch.campaigns": ("CampaignOutcome",),
    "batch.report": ("Progress", "Report"),
    "batch.stream": ("Batch",),
    "config": ("PlaintextTokenWarning", "RateLimit", "ReconcilePolicy", "RetryPolicy", "Timeouts"),
    "errors": (
        "APIConnectionError",
        "APIStatusError",
        "APITimeoutError",
        "AccountInactiveError",
        "AuthenticationError",
        "ConfigurationError",
        "ContactSourceError",
        "ContentRejectedError",
        "Delivery",
        "InsufficientCreditsError",
        "InvalidSenderError",
        "JournalError",
        "OutcomeUnknownError",
        "PartialFailureError",
        "PermissionDeniedError",
        "RateLimitError",
        "ServerError",
        "SmsPopError",
        "UnreadableResponseError",
        "ValidationError",
    ),
    "journal.base": ("SendRecord",),
    "journal.sends": ("list_sends",),
    "journal.sqlite": ("SqliteJournal",),
    "sync": ("SmsPopPortal", "run"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # written out, because type checkers do not run code
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AccountInactiveError",
    "AuthenticationError",
    "Batch",
    "Campaign",
    "CampaignOutcome",
    "CampaignResult",
    "ConfigurationError",
    "ContactOutcome",
    "ContactResult",
    "ContactSourceError",
    "ContentRejectedError",
    "Delivery",
    "InsufficientCreditsError",
    "InvalidSenderError",
    "JournalError",
    "OutcomeUnknownError",
    "PartialFailureError",
    "PermissionDeniedError",
    "PlaintextTokenWarning",
    "Plan",
    "Progress",
    "RateLimit",
    "RateLimitError",
    "ReconcilePolicy",
    "Report",
    "RetryPolicy",
    "SendRecord",
    "ServerError",
    "SmsPop",
    "SmsPopError",
    "SmsPopPortal",
    "SqliteJournal",
    "Status",
    "Summary",
    "Timeouts",
    "UnreadableResponseError",
    "ValidationError",
    "list_sends",
    "plan_campaign",
    "read_report",
    "run",
]


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562)."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted({*globals(), *_HOME})
