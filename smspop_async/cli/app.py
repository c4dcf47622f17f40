"""The commands under one roof: parsing, and what becomes of an error that no command dealt with."""

from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from cyclopts import App, CycloptsError, Parameter

from smspop_async.cli.campaigns import campaigns
from smspop_async.cli.check import check
from smspop_async.cli.exits import HELP, Exit, MisuseError, exit_of_error
from smspop_async.cli.failures import tell_failure
from smspop_async.cli.report import report
from smspop_async.cli.resume import resume
from smspop_async.cli.sandbox import sandbox
from smspop_async.cli.screen import Screen
from smspop_async.cli.send import send
from smspop_async.config import TOKEN_VARIABLE
from smspop_async.errors import Delivery

_ABOUT: Final = """\
Send one SMS text to any number of contacts through SMSPop, and know what became of every one of them.

Try it without an account: smspop send contacts.csv --sandbox"""


def _version() -> str:
    try:
        return version("smspop-async")
    except PackageNotFoundError:
        return "not installed"


def _shown_default(value: object) -> str | None:
    """A flag that is off by default goes without saying, and so does an option that is left out."""
    return None if value is False or value is None else str(value)


def make_app() -> App:
    """Build the command-line application."""
    app = App(
        name="smspop",
        help=_ABOUT,
        help_epilogue=HELP,
        version=_version,
        default_parameter=Parameter(negative=(), show_default=_shown_default),
        suppress_keyboard_interrupt=False,
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
    )
    commands: tuple[Callable[..., int], ...] = (send, check, resume, report, campaigns, sandbox)
    for place, command in enumerate(commands):
        app.command(command, sort_key=place)
    return app


def run(argv: Sequence[str]) -> int:
    """Run one command and return the exit code. No exception leaves it but those of a bug in here."""
    screen = Screen()
    json = "--json" in argv
    sending = list(argv[:1]) in (["send"], ["resume"])
    command = ""
    try:
        app = make_app()
        command = f"{argv[0]} " if argv and argv[0] in app else ""
        _refuse_token(argv)
        code = app(argv)
    except CycloptsError as error:
        misuse = MisuseError(f"{str(error).rstrip('.')}. For help, type: smspop {command}--help")
        return tell_failure(screen, misuse, Exit.USAGE, json=json, nothing_sent=sending)
    except KeyboardInterrupt as stop:
        interrupted = MisuseError(str(stop) or "Interrupted.")
        return tell_failure(
            screen,
            interrupted,
            Exit.INTERRUPTED,
            json=json,
            nothing_sent=sending and not stop.args,
            delivery=Delivery.UNKNOWN if stop.args else Delivery.NOT_SENT,
        )
    except Exception as error:  # noqa: BLE001 - the last place where it can be said in one line
        return tell_failure(screen, error, exit_of_error(error), json=json, nothing_sent=sending)
    return code if isinstance(code, int) else Exit.OK


def _refuse_token(argv: Sequence[str]) -> None:
    if any(word == "--token" or word.startswith("--token=") for word in argv):
        raise MisuseError(
            "A token is never an argument: it would stand in the list of processes and in the shell's history. "
            f"Type: export {TOKEN_VARIABLE}='…'   and leave --token out."
        )
