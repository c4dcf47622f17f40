"""``--report`` and ``--csv``: the account of every row, whole or not at all, and never over a list."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from smspop_async.batch.report import Report
from smspop_async.errors import ConfigurationError


class ReportFile:
    """Where the report goes.

    Args:
        path: As it was typed.
        inputs: Files that must not be overwritten.
        option: How it was asked for.

    Raises:
        ConfigurationError: A report cannot be written there. Nothing was sent.
    """

    def __init__(self, path: Path, *, inputs: Iterable[Path], option: str = "--report") -> None:
        self.shown = path
        self.option = option
        self._path = Path(os.path.realpath(path))  # a link stays a link: its target is replaced
        for taken in inputs:
            if Path(os.path.realpath(taken)) == self._path or _same(taken, self._path):
                raise ConfigurationError(
                    f"{option} {path} would overwrite {taken}: give the report another name. Nothing was sent."
                )
        if self._path.exists() and not self._path.is_file():
            raise ConfigurationError(f"{option} {path} is not a file: give a file name. Nothing was sent.")
        try:
            _draft(self._path.parent).unlink()  # the only honest test is to write there
        except OSError as error:
            raise ConfigurationError(
                f"{option} {path} cannot be written: {error.strerror}. Nothing was sent."
            ) from None
        self.replaces: bool = self._path.exists()

    def write(self, report: Report) -> Path:
        """Write the report, or, where that fails, save it in the folder for temporary files.

        Returns:
            Where it is.

        Raises:
            OSError: It cannot be written in either place.
        """
        try:
            self._write(report, self._path)
        except OSError:
            refuge = Path(tempfile.gettempdir()) / f"smspop-{report.run}.csv"
            self._write(report, refuge)
            return refuge
        return self.shown

    @staticmethod
    def _write(report: Report, path: Path) -> None:
        draft = _draft(path.parent)
        try:
            report.write_csv(draft)
            with draft.open("rb+") as file:
                os.fsync(file.fileno())  # the name must never stand for less than the whole
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def _draft(folder: Path) -> Path:
    """An empty file that only its owner can read: the report holds phone numbers."""
    handle, name = tempfile.mkstemp(prefix=".smspop-", suffix=".csv", dir=folder)
    os.close(handle)
    return Path(name)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
