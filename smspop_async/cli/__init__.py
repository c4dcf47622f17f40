"""The ``smspop`` command: ``send``, ``check``, ``resume``, ``report``, ``campaigns`` and ``sandbox``.

It needs the extra ``[cli]``, so nothing but the standard library is imported until `main` runs.
"""

import sys
from collections.abc import Sequence
from typing import Final

from smspop_async.cli.streams import fill_closed_streams

_EXTRA: Final = frozenset({"cyclopts", "rich"})
_INTERRUPTED: Final = 130
"""What `smspop_async.cli.exits` says; it cannot be asked while it is loaded."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The words after ``smspop``; those of the process by default.

    Returns:
        The exit code; `smspop_async.cli.exits` lists them.
    """
    fill_closed_streams()
    try:
        from smspop_async.cli.app import run  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write("The smspop command needs its extra: pip install 'smspop-async[cli]'\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("smspop: Interrupted. Nothing was sent.\n")
        return _INTERRUPTED
    return run(sys.argv[1:] if argv is None else argv)
