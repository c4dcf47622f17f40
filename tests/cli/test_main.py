"""The way in: help, version, the missing extra."""

import subprocess
import sys

import pytest

from smspop_async.cli import main
from smspop_async.cli.app import _version
from smspop_async.cli.exits import Exit


@pytest.mark.parametrize("words", [(), ("--help",), ("send", "--help")])
def test_help_has_the_exit_codes(smspop, words):
    """0, with every exit code explained."""
    ran = smspop(*words)
    assert ran.code == 0, ran
    for code in Exit:
        assert f"{int(code)}: " in ran.out
    assert "SMSPOP_TOKEN" in ran.out


@pytest.mark.parametrize("command", ["check", "campaigns", "sandbox"])
def test_every_command_has_help(smspop, command):
    ran = smspop(command, "--help")
    assert (ran.code, f"Usage: smspop {command}" in ran.out) == (0, True)


def test_version(smspop, monkeypatch):
    assert smspop("--version").code == 0
    monkeypatch.setattr("smspop_async.cli.app.version", lambda _: "1.2.3")
    assert smspop("--version").out == "1.2.3\n"
    assert _version() == "1.2.3"


def test_a_missing_extra_is_one_line(monkeypatch, capsys):
    """1, and what to type."""
    for module in [name for name in sys.modules if name.startswith("smspop_async.cli.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "cyclopts", None)
    assert main(["send"]) == 1
    assert capsys.readouterr().err == "The smspop command needs its extra: pip install 'smspop-async[cli]'\n"


def test_another_missing_module_is_not_hidden(monkeypatch):
    for module in [name for name in sys.modules if name.startswith("smspop_async.cli.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "anyio", None)
    with pytest.raises(ModuleNotFoundError, match="anyio"):
        main(["send"])


class _Interrupted:
    """Finds no module, but is met by Ctrl-C."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        raise KeyboardInterrupt


def test_interrupted_while_it_is_loaded(monkeypatch, capsys):
    """130, in one line: that takes a third of a second, and is when a mistyped command is regretted."""
    for module in [name for name in sys.modules if name.startswith("smspop_async.cli.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [_Interrupted, *sys.meta_path])
    assert main(["send"]) == Exit.INTERRUPTED
    assert capsys.readouterr().err == "smspop: Interrupted. Nothing was sent.\n"


def test_interrupted_while_the_command_is_found(smspop, monkeypatch):
    monkeypatch.setattr("smspop_async.cli.app.make_app", lambda: _Interrupted.find_spec("app"))
    ran = smspop("send", "contacts.csv")
    assert (ran.code, ran.err) == (Exit.INTERRUPTED, "smspop: Interrupted. Nothing was sent.\n")


def test_importing_the_package_imports_no_extra(environment):
    """``smspop_async.cli`` itself needs nothing but the standard library."""
    code = "import sys, smspop_async.cli; assert not {'rich', 'cyclopts', 'aiohttp'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)


def test_as_a_module(child):
    """``python -m smspop_async.cli``."""
    ran = child("check", "missing.csv").end()
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "smspop: missing.csv does not exist: check the path.\n"
