"""Other processes beside the one of the test: one that holds a journal, and one that is nobody."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NOBODY = 65534

_HOLD = """
import sys
from pathlib import Path
from smspop_async.journal.opening import own
opened = own(Path(sys.argv[1]))
print("mine", flush=True)
sys.stdin.read()
opened.close()
"""

_BE_NOBODY = f"""
import os
os.umask(0o022)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({_NOBODY})
    os.setuid({_NOBODY})
"""


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}


def run(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run a script of Python to its end; its errors are shown where it fails."""
    words = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *map(str, args)]
    return subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=60, check=False)


def run_as_nobody(script: str, *args: object, first: str = "") -> str:
    """Run a script as a user to whom permissions apply: they do not to root. Returns what it printed.

    Args:
        script: What nobody does.
        args: For the script.
        first: What is to be imported before that: where the library lies, nobody may not read.
    """
    done = run(textwrap.dedent(first) + _BE_NOBODY + textwrap.dedent(script), *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def give_to_nobody(folder: Path) -> None:
    """Make a folder with all that is in it nobody's, where the test is root's."""
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, _NOBODY, _NOBODY)


@contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a journal until the block ends, or until it is killed."""
    words = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(
        words, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "mine\n"
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def open_and_close(path: Path) -> None:
    """Do what somebody does who looks into a file with SQLite's shell."""
    script = """
        import sqlite3, sys
        connection = sqlite3.connect(sys.argv[1])
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.close()
    """
    done = run(script, path)
    assert done.returncode == 0, done.stderr
