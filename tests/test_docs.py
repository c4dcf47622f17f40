"""The documentation is code: every Python example runs against a sandbox, and what it names exists.

A ``python`` block stands alone, as somebody would copy it: it gets a name space, an empty sandbox and a folder
with ``contacts.csv`` and ``opted-out.txt`` of its own, and `SMSPOP_TOKEN` and `SMSPOP_BASE_URL` lead to that sandbox.
``await`` may stand at its top, as in ``python -m asyncio``. The words ``<!-- not executed: reason -->`` on the
line before a block take it out.
"""

import ast
import inspect
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import anyio
import anyio.to_thread
import pytest
from attrs import frozen

import smspop_async
from smspop_async import SmsPopError, Status
from smspop_async.sandbox import MAGIC, FaultKind, Sandbox
from smspop_async.sandbox.openapi import describe

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NOT_EXECUTED_AT_MOST = 2

_BLOCK = re.compile(
    r"^(?:<!-- not executed: (?P<why>[^>]+?) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CONTACTS = "phone_number,first_name\n263770000001,Rudo\n0770 000 002,Tendai\n+263 77 000 0003,Chipo\n"


@frozen(kw_only=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    """The line of its first line of code."""
    language: str
    code: str
    why: str | None
    """Why it is not executed, or None where it is."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def compiled(self) -> CodeType:
        """Its code, with the page and its own lines in tracebacks."""
        source = "\n" * (self.line - 1) + self.code
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        return compile(source, str(self.page), "exec", flags=flags, dont_inherit=True)


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        yield Block(
            page=page,
            line=text.count("\n", 0, match.start("code")) + 1,
            language=match["language"],
            code=match["code"],
            why=match["why"],
        )


BLOCKS = [block for page in PAGES for block in blocks(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]


async def execute(code: CodeType) -> None:
    """Run a block: on this loop where it awaits at its top, else in a thread, where it may run a loop itself."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    if code.co_flags & inspect.CO_COROUTINE:
        with anyio.fail_after(20):
            await eval(code, namespace)  # noqa: S307 - our own documentation
    else:
        await anyio.to_thread.run_sync(exec, code, namespace)


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of somebody who follows the documentation."""
    (tmp_path / "contacts.csv").write_text(_CONTACTS, encoding="utf-8")
    (tmp_path / "opted-out.txt").write_text("# asked to be left alone\n263770000002\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    # One page shows how logging is set up; that is put back.
    monkeypatch.setattr(logging.getLogger(), "handlers", [*logging.getLogger().handlers])
    level = logging.getLogger("smspop_async").level
    yield tmp_path
    logging.getLogger("smspop_async").setLevel(level)


@pytest.mark.anyio
@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("block", [block for block in PYTHON if block.why is None], ids=str)
async def test_an_example_runs(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """An example can be copied and run; what it asserts is so."""
    async with Sandbox() as sandbox:
        monkeypatch.setenv("SMSPOP_TOKEN", sandbox.token)
        monkeypatch.setenv("SMSPOP_BASE_URL", sandbox.api_url)
        await execute(block.compiled())


def test_the_example_of_ctrl_c_holds_before_anything_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no report then, and the interrupt goes on its way."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(smspop_async, "run", interrupted)
    [block] = [block for block in PYTHON if "except KeyboardInterrupt" in block.code]
    with pytest.raises(KeyboardInterrupt):
        exec(block.compiled(), {})  # noqa: S102 - our own documentation


def test_few_examples_are_not_run() -> None:
    """An example that is not run may be wrong, so there are hardly any."""
    assert len([block for block in PYTHON if block.why is not None]) <= NOT_EXECUTED_AT_MOST
    assert len(PYTHON) > 20, "the blocks are found at all"


@pytest.mark.anyio
@pytest.mark.parametrize("code", ["assert False", "import asyncio\nawait asyncio.sleep(0)\nassert False"])
async def test_a_wrong_example_is_found(code: str) -> None:
    """The runner can fail, in code that awaits and in code that does not."""
    block = Block(page=README, line=1, language="python", code=code, why=None)
    with pytest.raises(AssertionError):
        await execute(block.compiled())


@pytest.mark.anyio
@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
async def test_a_program_of_the_examples_runs(path: Path) -> None:
    """The programs under examples/ end well against a sandbox."""
    async with Sandbox() as sandbox:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SMSPOP_TOKEN": sandbox.token,
            "SMSPOP_BASE_URL": sandbox.api_url,
        }
        with anyio.fail_after(30):
            done = await anyio.run_process(
                [sys.executable, "-W", "error", str(path)],
                env=environment,
                check=False,
                stderr=subprocess.STDOUT,
            )
    assert done.returncode == 0, done.stdout.decode()


def commands() -> list[tuple[str, str]]:
    """Every `smspop` command line of the documentation, and where it stands."""
    lines = [
        (str(block), line)
        for block in BLOCKS
        if block.language in ("console", "sh", "")
        for line in block.code.replace("\\\n", " ").splitlines()
    ]
    found = (
        (where, match[1])
        for where, line in lines
        if (match := re.search(r"(?:^|/|[$] |&& |[|] )smspop ([a-z].*)$", line))
    )
    return list(found)


@pytest.fixture(scope="module")
def helps() -> dict[str, str]:
    """What each command says about itself."""
    names = {words.split()[0] for _, words in commands()}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "250", "NO_COLOR": "1"}
    texts = {}
    for name in names:
        done = subprocess.run(
            [sys.executable, "-m", "smspop_async.cli", name, "--help"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"smspop {name} --help: {done.stderr}"
        texts[name] = done.stdout
    return texts


@pytest.mark.parametrize(("where", "words"), commands())
def test_a_command_line_names_what_exists(where: str, words: str, helps: dict[str, str]) -> None:
    """Commands and options of the documentation are those of the program."""
    command, *rest = words.split()
    options = [word.partition("=")[0] for word in rest if re.match(r"--[a-z]", word)]
    missing = [option for option in options if not re.search(rf"{option}\b(?!-)", helps[command])]
    assert not missing, f"{where}: smspop {command} has no {', '.join(missing)}"


def test_the_readme_begins_with_two_commands() -> None:
    """The first two fenced blocks are one command line each; .ci/run runs the second."""
    first, second = list(blocks(README))[:2]
    assert (first.code.count("\n"), second.code.count("\n")) == (1, 1)
    assert "--sandbox" in first.code
    assert second.code.rstrip().endswith("-m pytest")
    assert "## " not in README.read_text(encoding="utf-8").partition(second.code)[0]


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links lead to files of the project, and anchors to headings."""
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), target
        if anchor:
            assert anchor in map(slug, _HEADING.findall(path.read_text(encoding="utf-8"))), target


def test_every_page_is_in_the_index() -> None:
    """A page that the index does not name is never found."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {page.name for page in PAGES} - {"README.md", "index.md"}
    assert not [page for page in pages if f"({page})" not in index]


def documented(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def test_every_error_is_documented() -> None:
    """The page of errors names each class, with the default of its delivery in the same row."""
    text = documented("errors.md")
    for name in smspop_async.__all__:
        value = getattr(smspop_async, name)
        if not (inspect.isclass(value) and issubclass(value, SmsPopError)) or value is SmsPopError:
            continue
        row = next((line for line in text.splitlines() if line.startswith(f"| `{name}`")), None)
        assert row is not None, name
        assert value.default_delivery.name in row, row


def test_every_status_is_documented() -> None:
    """The page of errors has a row for each outcome of a contact."""
    rows = [line for line in documented("errors.md").splitlines() if line.startswith("| `Status.")]
    assert [row.split("`")[1] for row in rows] == [f"Status.{status.name}" for status in Status]


def test_the_sandbox_page_is_complete() -> None:
    """Every fault, magic recipient and address of the control API is on its page."""
    text = documented("sandbox.md")
    control = [
        path for path in describe(url="http://localhost", senders=("BRAND1",))["paths"] if "_sandbox" in path
    ]
    assert control
    assert not [word for word in (*FaultKind, *MAGIC, *control) if f"`{word}`" not in text]


def test_every_law_says_whether_it_holds() -> None:
    """A law that is said to hold names the test that bears its name; the others name none."""
    sections = re.split(r"^## ", documented("laws.md"), flags=re.MULTILINE)[1:]
    laws = [section for section in sections if re.match(r"\d\. ", section)]
    assert len(laws) == 7
    for section in laws:
        tests = re.findall(r"`(tests/laws/test_\w+\.py)`", section)
        assert ("**Holds.**" in section) == bool(tests), section
        assert all((ROOT / path).is_file() for path in tests), tests


def test_the_table_of_the_readme_is_the_one_of_the_docs() -> None:
    """Every error in the README's short table is in the long one."""
    names = re.findall(r"^\| `(\w+Error)`", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) > 10
    assert not [name for name in names if f"| `{name}`" not in documented("errors.md")]
