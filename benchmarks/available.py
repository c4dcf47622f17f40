"""Which of the optional packages are here, and how to get those that are not. A run goes on without any of them."""

import sys
from importlib.metadata import PackageNotFoundError, distributions, version
from importlib.util import find_spec
from pathlib import Path

from attrs import frozen

_HERE = Path(__file__).parent
APART = {"niquests": _HERE / ".peers" / "niquests"}
"""Packages that live in folders of their own, where only the processes that measure them look.

What niquests depends on replaces the module ``urllib3`` of everything beside it: `requests` would be measured on
another stack than its users have.
"""
_REQUIREMENTS = {
    "httpx": "httpx>=0.28",
    "httpx2": "httpx2>=2",
    "matplotlib": "matplotlib>=3.9",
    "niquests": "niquests>=3",
    "pyreqwest": "pyreqwest>=0.15",
    "requests": "requests>=2.32",
    "uvloop": "uvloop>=0.21",
}


@frozen
class Missing:
    """A package that is not here."""

    name: str

    def __str__(self) -> str:
        return f"not installed here: {self.command}"

    @property
    def command(self) -> str:
        """What installs it."""
        apart = APART.get(self.name)
        target = f"--target {apart.relative_to(_HERE.parent).as_posix()} " if apart else ""
        return f"python -m pip install {target}'{_REQUIREMENTS[self.name]}'"


def missing(name: str) -> Missing | None:
    """Say that an optional package is not here, or nothing; a name that is no optional package is always here."""
    if name not in _REQUIREMENTS:
        return None
    apart = APART.get(name)
    here = (apart / name).is_dir() if apart else sys.modules.get(name) or find_spec(name)
    return None if here else Missing(name)


def first_on_path(name: str) -> list[str]:
    """The folder that a process needs on its path first, before it can import this package."""
    return [str(APART[name])] if name in APART else []


def version_of(name: str) -> str | None:
    """The version of a package; None where it is not here."""
    if name in APART:
        found = distributions(name=name, path=first_on_path(name))
        return next((one.version for one in found), None)
    try:
        return version(name)
    except PackageNotFoundError:
        return None
