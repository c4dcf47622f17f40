"""Where a report may go."""

import os

import pytest

from smspop_async.cli.report_file import ReportFile
from smspop_async.errors import ConfigurationError


@pytest.mark.parametrize(
    "spelling", ["contacts.csv", "./contacts.csv", "folder/../contacts.csv", "link.csv", "hard.csv"]
)
def test_never_over_an_input(contacts, tmp_path, spelling):
    """The list is refused as a report under any of its names."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.csv").symlink_to(contacts)
    os.link(contacts, tmp_path / "hard.csv")
    with pytest.raises(ConfigurationError, match="would overwrite"):
        ReportFile(tmp_path / spelling, inputs=[tmp_path / "none.txt", contacts])


def test_a_device_is_not_replaced(tmp_path):
    with pytest.raises(ConfigurationError, match="is not a file"):
        ReportFile(tmp_path / os.devnull, inputs=[])


def test_checking_leaves_nothing_behind(tmp_path):
    file = ReportFile(tmp_path / "out.csv", inputs=[])
    assert not file.replaces
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path):
    """The report replaces what the link points at."""
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)

    class Fake:
        run = "r"

        def write_csv(self, path):
            path.write_text("new")

    assert ReportFile(link, inputs=[]).write(Fake()) == link
    assert link.is_symlink()
    assert target.read_text() == "new"
