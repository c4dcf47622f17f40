"""The house rules of the architecture, held by tests: layers, lonely imports, sizes, names, and no yield in a scope."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "smspop_async"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST_MODULE = 500
LONGEST_FUNCTION = 60
"""Lines without the docstring, which for a public name may be the longer part."""
CHEAP = ("aiohttp", "phonenumbers", "cattrs", "anyio", "asyncio")
"""What ``import smspop_async`` must leave alone: aiohttp alone is most of its import time."""

_VAGUE = re.compile(r"(?i)manager|helper|util|misc")
_SCOPES = frozenset(
    {"create_task_group", "TaskGroup", "CancelScope", "fail_after", "move_on_after", "timeout", "timeout_at"}
)
_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
_CONTEXT_MANAGERS = frozenset({"contextmanager", "asynccontextmanager"})


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = [module_name(path) for path in FILES]


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter from the root of the project, where the package is."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def functions(module: ast.AST) -> Iterator[_FUNCTION]:
    return (node for node in ast.walk(module) if isinstance(node, _FUNCTION))


def lines_of(function: _FUNCTION) -> int:
    """The lines of a function, its signature included and its docstring not."""
    first = function.body[0]
    is_docstring = ast.get_docstring(function) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if is_docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def called_name(expression: ast.expr) -> str:
    """The last name of ``a.b.c(…)``, or of ``a.b.c``."""
    target = expression.func if isinstance(expression, ast.Call) else expression
    return target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")


def yields_in_scopes(module: ast.AST) -> list[int]:
    """The lines of every yield of a generator that stands inside a task group or cancel scope.

    What ``@contextmanager`` makes of a generator is entered and left like any block, so those may.
    """
    lines = []
    for function in functions(module):
        if not _CONTEXT_MANAGERS.intersection(map(called_name, function.decorator_list)):
            lines += [line for statement in function.body for line in _scoped_yields(statement, inside=False)]
    return lines


def _scoped_yields(node: ast.AST, *, inside: bool) -> Iterator[int]:
    if isinstance(node, _FUNCTION | ast.Lambda):
        return
    if inside and isinstance(node, ast.Yield | ast.YieldFrom):
        yield node.lineno
    if isinstance(node, ast.With | ast.AsyncWith):
        inside = inside or any(called_name(item.context_expr) in _SCOPES for item in node.items)
    for child in ast.iter_child_nodes(node):
        yield from _scoped_yields(child, inside=inside)


def imported(module: ast.AST) -> set[str]:
    """Every module that is named in an import anywhere in a file, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def test_the_layers_hold() -> None:
    """Data flows one way: the contracts of import-linter in pyproject.toml are kept."""
    done = python(
        "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def lonely_imports() -> dict[str, subprocess.CompletedProcess[str]]:
    """Each module imported by an interpreter of its own, with warnings as errors."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        runs = pool.map(lambda name: python("-W", "error", "-c", f"import {name}"), MODULES)
        return dict(zip(MODULES, runs, strict=True))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_imports_alone(
    name: str, lonely_imports: dict[str, subprocess.CompletedProcess[str]]
) -> None:
    """A module needs no other to be imported first: there are no rings, and nothing warns."""
    assert lonely_imports[name].returncode == 0, lonely_imports[name].stderr


def loaded_by(statement: str) -> set[str]:
    done = python("-c", f"import sys\n{statement}\nprint(*sys.modules)")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_package_is_cheap() -> None:
    """``import smspop_async`` loads no library behind it; using a name does."""
    assert not loaded_by("import smspop_async; dir(smspop_async)").intersection(CHEAP)
    assert "aiohttp" in loaded_by("from smspop_async import SmsPop")


def test_errors_and_settings_need_no_http_library() -> None:
    """Code that only catches errors or builds settings does not pay for aiohttp."""
    assert "aiohttp" not in loaded_by("from smspop_async import SmsPopError, RetryPolicy, RateLimit, Status")


def test_planning_needs_no_event_loop_running_and_no_token() -> None:
    """`plan_campaign` is offline: it works where no variable is set and no loop runs."""
    done = python(
        "-c",
        "from smspop_async import plan_campaign; print(plan_campaign('263770000001', message='Hi').valid)",
    )
    assert done.stdout.split() == ["1"], done.stderr


def test_the_sandbox_never_loads_the_clients_wire() -> None:
    """The sandbox is a second reading of the vendor's document: it shares no wire code with the client."""
    loaded = loaded_by("import smspop_async.sandbox")
    assert not {name for name in loaded if name.startswith(("smspop_async.api.", "smspop_async.batch"))}


@pytest.mark.parametrize("path", sorted((PACKAGE / "api").glob("*.py")), ids=lambda path: path.stem)
def test_only_wire_knows_json(path: Path) -> None:
    """In the API room `wire.py` alone encodes and decodes."""
    assert ("json" in imported(tree(path))) == (path.stem == "wire")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_modules_and_functions_stay_small(path: Path) -> None:
    """One module has one job, and a function can be seen whole."""
    length = len(path.read_text(encoding="utf-8").splitlines())
    assert length < LONGEST_MODULE
    sizes = {function.name: lines_of(function) for function in functions(tree(path))}
    assert not {name: lines for name, lines in sizes.items() if lines > LONGEST_FUNCTION}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_names_say_what_a_thing_is(path: Path) -> None:
    """Nothing is called Manager, Helper, Util or misc."""
    named = (node for node in ast.walk(tree(path)) if isinstance(node, _FUNCTION | ast.ClassDef))
    names = [module_name(path), *(node.name for node in named)]
    assert not [name for name in names if _VAGUE.search(name)]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_no_yield_inside_a_task_group_or_cancel_scope(path: Path) -> None:
    """A generator that is left half-way must not take a scope with it: streams are context managers instead."""
    assert yields_in_scopes(tree(path)) == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("async def f():\n  async with anyio.create_task_group() as tg:\n    yield 1", [3]),
        ("async def f():\n  async with create_task_group():\n    for x in y:\n      yield x", [4]),
        ("def f():\n  with CancelScope():\n    yield from g()", [3]),
        ("async def f():\n  with anyio.move_on_after(1):\n    async with other():\n      x = yield", [4]),
        ("async def f():\n  async with other():\n    yield 1", []),
        ("async def f():\n  with CancelScope():\n    def g():\n      yield 1\n    g()", []),
        ("@asynccontextmanager\nasync def f():\n  async with create_task_group() as tg:\n    yield tg", []),
    ],
)
def test_the_search_for_yields_finds_them(source: str, lines: list[int]) -> None:
    """The check above can fail: it finds what it looks for, and nothing else."""
    assert yields_in_scopes(ast.parse(source)) == lines
