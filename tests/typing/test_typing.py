"""The types that users see, judged by the checkers that users run."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MISTAKES = {
    number
    for number, line in enumerate((HERE / "misuse.py").read_text(encoding="utf-8").splitlines(), 1)
    if line.endswith("# mistake")
}

needs_pyright = pytest.mark.skipif(
    importlib.util.find_spec("pyright") is None, reason="pyright is not installed; `nox -s types` has it"
)


def mypy(file: str, cache: Path) -> dict[int, str]:
    """The errors mypy reports in a file, by line; the library counts as installed, so its own are not told."""
    options = ["--strict", "--follow-imports=silent", "--cache-dir", str(cache)]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(HERE / file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {int(line): words for line, words in re.findall(r"py:(\d+): error: (.*)", done.stdout)}


def pyright(file: str) -> dict[int, str]:
    """The errors pyright reports in a file, by line."""
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(HERE / file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    errors = [
        entry for entry in json.loads(done.stdout)["generalDiagnostics"] if entry["severity"] == "error"
    ]
    return {entry["range"]["start"]["line"] + 1: entry["message"] for entry in errors}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for both files, so that the library is checked once."""
    return tmp_path_factory.mktemp("mypy")


def test_mypy_understands_the_usage(cache: Path) -> None:
    """Typical programs pass `mypy --strict`, with the types that they expect."""
    assert mypy("usage.py", cache) == {}


def test_mypy_finds_the_mistakes(cache: Path) -> None:
    """Each mistake is an error, and nothing else is."""
    assert set(mypy("misuse.py", cache)) == MISTAKES


@needs_pyright
def test_pyright_understands_the_usage() -> None:
    """Typical programs pass strict pyright, with the types that they expect."""
    assert pyright("usage.py") == {}


@needs_pyright
def test_pyright_finds_the_mistakes() -> None:
    """Each mistake is an error, and nothing else is."""
    assert set(pyright("misuse.py")) == MISTAKES
