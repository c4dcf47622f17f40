"""Exit codes: what a script, or a person who looks at ``$?``, may conclude.

The line that matters is the one between 1 and the others: after a 1 nothing was sent, and the same
command may be typed again.
"""

from enum import IntEnum
from typing import Final

from smspop_async.api.models import Status
from smspop_async.batch.report import Report
from smspop_async.errors import APIStatusError


class Exit(IntEnum):
    """How the command ended."""

    OK = 0
    """All sent or accepted, or left out as duplicate or suppressed; nothing wrong found."""
    NOT_STARTED = 1
    """The run could not start, or was declined. Nothing was sent."""
    USAGE = 2
    """The command was typed wrongly, or --yes is missing where nobody can be asked. Nothing was sent."""
    NOT_CLEAN = 3
    """Finished, but not all is well."""
    STOPPED_BY_API = 4
    """The API refused with 401, 402, 403 or 422, and the run stopped there."""
    INTERRUPTED = 130
    """Ctrl-C, SIGTERM or a closed terminal."""


HELP: Final = """\
Exit codes

- 0: all contacts were sent to or accepted (or are duplicates or suppressed)
- 1: the run could not start, or was declined; nothing was sent
- 2: wrong usage, or --yes is missing where nobody can be asked; nothing was sent
- 3: finished, with contacts failed, rejected, invalid, unknown or not submitted, or without its --report
- 4: stopped by the API (401 token, 402 credits, 403 account or content, 422 sender ID or data)
- 130: interrupted by Ctrl-C or SIGTERM; the report tells what was sent until then, and with --journal the last
  line is the command that goes on

Environment: SMSPOP_TOKEN holds the API token, SMSPOP_BASE_URL another address of the API,
SMSPOP_DEBUG=1 shows tracebacks, NO_COLOR=1 turns colours off."""

_REFUSALS: Final = frozenset({401, 402, 403, 422})
_TEXTED: Final = (Status.SENT, Status.ACCEPTED, Status.FAILED, Status.UNKNOWN)
_NOT_CLEAN: Final = (
    Status.FAILED,
    Status.UNKNOWN,
    Status.REJECTED,
    Status.NOT_SUBMITTED,
    Status.INVALID,
)


class MisuseError(Exception):
    """The command cannot be meant as it was typed; the text says what to type."""


def exit_of(report: Report) -> Exit:
    """The exit code of a run that began."""
    if report.cancelled:
        return Exit.INTERRUPTED
    stopped = report.stopped_by
    if isinstance(stopped, APIStatusError) and stopped.status in _REFUSALS:
        return Exit.STOPPED_BY_API
    if stopped is not None and not may_have_texted(report):
        return Exit.NOT_STARTED
    if stopped is not None or any(report.counts[status] for status in _NOT_CLEAN):
        return Exit.NOT_CLEAN
    return Exit.OK


def exit_of_error(error: Exception) -> Exit:
    """The exit code of an error that was raised before, or without, a run."""
    if isinstance(error, APIStatusError) and error.status in _REFUSALS:
        return Exit.STOPPED_BY_API
    return Exit.USAGE if isinstance(error, MisuseError) else Exit.NOT_STARTED


def may_have_texted(report: Report) -> bool:
    """Whether a single contact of the run may have been texted."""
    return any(report.counts[status] for status in _TEXTED)
