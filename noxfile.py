"""Everything that is checked, one session each: `nox` runs all but the benchmarks, `nox -s types` one of them.

The Pythons are those of the classifiers in pyproject.toml; one that is not installed is skipped.
"""

import pathlib

import nox

nox.needs_version = ">=2025.5"
nox.options.sessions = ["tests", "lint", "types", "docs"]
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True

PYPROJECT = nox.project.load_toml("pyproject.toml")
NIQUESTS = pathlib.Path(__file__).parent / "benchmarks" / ".peers" / "niquests"
PYTHONS = nox.project.python_versions(PYPROJECT)


def group(name: str) -> list[str]:
    """The requirements of a dependency group (PEP 735), spelled out, because pip knows groups only since 25.1."""
    return list(nox.project.dependency_groups(PYPROJECT, name))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on every supported Python, and measure the coverage of all of them together."""
    session.install("-e", ".[all]", *group("tests"))
    if session.posargs:  # a part of the tests covers a part of the code: nothing to measure
        session.run("pytest", *session.posargs)
        return
    session.run("coverage", "run", "-m", "pytest")
    session.notify("coverage")


@nox.session
def coverage(session: nox.Session) -> None:
    """Combine what the test sessions measured, and report it."""
    session.install("coverage>=7.10")
    session.run("coverage", "combine")
    session.run("coverage", "report")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and the layers of the architecture."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Check the library's own types, those that users see, and that none is missing from the wheel."""
    session.install(".[all]", *group("tests"), *group("types"))
    session.run("mypy")
    session.run("pyright")
    session.run("pytest", "tests/typing", *session.posargs)
    # Away from the sources, so that the installed wheel is judged: its py.typed, its modules, its annotations.
    session.chdir(session.create_tmp())
    session.run("pyright", "--verifytypes", "smspop_async", "--ignoreexternal")


@nox.session
def docs(session: nox.Session) -> None:
    """Run every example of the README and of the documentation against a sandbox."""
    session.install("-e", ".[all]", *group("tests"))
    session.run("pytest", "tests/test_docs.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure every goal and every figure that the README quotes, beside its peers; not part of a plain `nox`.

    A full run takes half an hour and wants the machine for itself; `nox -s bench -- --quick` is a look.
    """
    session.install(".[all]", *group("bench"))
    if not NIQUESTS.exists():  # it would replace the urllib3 of the others: see benchmarks/available.py
        session.install("--target", str(NIQUESTS), "niquests>=3")
    session.run("python", "benchmarks/run.py", *session.posargs)
