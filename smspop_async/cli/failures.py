"""Errors as a person gets to see them: one line that says what happened, to what, and what to do next."""

import os
import traceback
from typing import Final

from smspop_async.cli.ending import error_values
from smspop_async.cli.exits import Exit, MisuseError
from smspop_async.cli.screen import Screen
from smspop_async.config import TOKEN_VARIABLE
from smspop_async.errors import Delivery, SmsPopError
from smspop_async.mask import Redactor

DEBUG_VARIABLE: Final = "SMSPOP_DEBUG"


def describe(error: BaseException) -> str:
    """The error in one line, without a traceback."""
    if isinstance(error, SmsPopError | MisuseError):
        return str(error)
    if isinstance(error, OSError):
        what = error.strerror or type(error).__name__
        return f"{what}: {error.filename}." if error.filename is not None else f"{what}."
    words = Redactor((os.environ.get(TOKEN_VARIABLE, ""),))(str(error))
    return (
        f"An error that should not happen: {type(error).__name__}{': ' if words else ''}{words}. "
        f"Please report it, with what {DEBUG_VARIABLE}=1 shows."
    )


def tell_failure(
    screen: Screen,
    error: BaseException,
    code: Exit,
    *,
    json: bool,
    nothing_sent: bool = False,
    delivery: Delivery = Delivery.NOT_SENT,
) -> int:
    """Tell why the command ends here, and return its exit code.

    Args:
        screen: Where to.
        error: Why.
        code: The exit code.
        json: Whether standard output is to get its JSON object.
        nothing_sent: Whether to say that nothing was sent, where the error does not.
        delivery: What is known about the texts, where the error does not say.
    """
    text = describe(error)
    if nothing_sent and "nothing was sent" not in text.lower():
        text += " Nothing was sent."
    screen.complain(text)
    show_traceback(screen, error)
    if json:
        nothing = dict.fromkeys(("plan", "message", "report", "journal"))
        values = error_values(error, text, otherwise=delivery)
        screen.tell_json({"exit_code": int(code), "error": values} | nothing)
    return int(code)


def show_traceback(screen: Screen, error: BaseException) -> None:
    """Show where the error came from, if SMSPOP_DEBUG asks for it."""
    if os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0"):
        screen.say("".join(traceback.format_exception(error)))
