"""The pytest plugin in the suites of its users: each is a pytest of its own, under whatever runs their coroutines.

The plugin is found by its entry point, as an installed one is. Warnings are errors in there too, so whatever a
fixture left open would fail the suite.
"""

import importlib.util
import os
import re
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

import smspop_async

pytest_plugins = ("pytester",)

PACKAGE = Path(smspop_async.__file__).parents[1]
RUNNERS = {
    "anyio": ("anyio_mode = strict", "@pytest.mark.anyio", "-p no:asyncio"),
    "anyio auto": ("anyio_mode = auto", "", "-p no:asyncio"),
    "asyncio strict": ("asyncio_mode = strict", "@pytest.mark.asyncio", ""),
    "asyncio auto": ("asyncio_mode = auto", "", ""),
}
NEEDS_ASYNCIO = pytest.mark.skipif(
    importlib.util.find_spec("pytest_asyncio") is None, reason="pytest-asyncio is not installed"
)
EVERY_RUNNER = pytest.mark.parametrize(
    "runner",
    [pytest.param(name, marks=NEEDS_ASYNCIO if "asyncio" in name else ()) for name in RUNNERS],
)
OTHERS = ("cacheprovider", "hypothesispytest", "schemathesis", "pytest_cov")
"""Plugins that these suites do without, because they take a second to import."""
APP = '''
import pytest
from smspop_async import InsufficientCreditsError, SmsPop, Status

ONE, TWO = "263770000001", "263770000002"


async def welcome(number):
    """An app, as users write them: it knows the environment, and nothing of tests."""
    async with SmsPop() as sms:
        return await sms.campaigns.create(
            name="Welcome", message="Welcome!", sender_id="BRAND1", contacts=[number]
        )
'''

Suite = Callable[..., pytest.RunResult]


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """Run a user's suite, with the plugin installed."""
    installed = pytester.mkdir("installed")
    metadata = installed / "smspop_async-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: smspop-async\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text("[pytest11]\nsmspop = smspop_async.integrations.pytest\n")
    (metadata / "RECORD").write_text("smspop_async/__init__.py,,\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(installed), str(PACKAGE))))
    for name in ("SMSPOP_TOKEN", "SMSPOP_BASE_URL", "PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        monkeypatch.delenv(name, raising=False)

    def run(code: str, *arguments: str, runner: str = "", app: str = APP) -> pytest.RunResult:
        setting, marker, options = RUNNERS.get(runner, ("", "", "-p no:asyncio"))
        mode = "asyncio_default_fixture_loop_scope = function\n" if "asyncio" in runner else ""
        pytester.makeini(f"[pytest]\nfilterwarnings = error\n{mode}{setting}")
        pytester.makeconftest(
            "import pytest\n@pytest.fixture(scope='session')\ndef anyio_backend(): return 'asyncio'\n"
        )
        pytester.makepyfile(test_app=app + dedent(code).replace("@run_it", marker))
        return pytester.runpytest_subprocess(
            "--strict-markers", *(f"-pno:{name}" for name in OTHERS), *options.split(), *arguments
        )

    return run


@EVERY_RUNNER
def test_the_fixtures_serve_every_runner_of_coroutines(suite: Suite, runner: str) -> None:
    """Sandbox and client are at hand, are of one test only, and leave nothing open."""
    suite(
        """
        import os

        @run_it
        async def test_the_app(smspop_sandbox):
            await welcome("0770 000 001")
            message = smspop_sandbox.assert_texted("0770 000 001", text="Welcome!", sender_id="BRAND1", times=1)
            assert message.campaign == "Welcome"
            smspop_sandbox.assert_texted_only(ONE)
            smspop_sandbox.assert_not_texted(TWO)

        @run_it
        async def test_the_client(smspop_client, smspop_sandbox):
            smspop_sandbox.assert_nobody_texted()  # by this test
            report = await smspop_client.send([ONE, TWO], message="Hello!", sender_id="BRAND1")
            assert report.counts[Status.SENT] == 2
            await smspop_sandbox.wait_for(to="0770 000 002")
            assert len(await smspop_sandbox.wait_for(count=2)) == 2
            smspop_sandbox.assert_nobody_texted_twice()

        @run_it
        async def test_a_client_that_had_nobody_to_send_to(smspop_client):
            report = await smspop_client.send(["12"], message="Hello!", sender_id="BRAND1")
            assert report.counts[Status.INVALID] == 1

        @run_it
        async def test_a_copy_of_the_client(smspop_client, smspop_sandbox):
            copy = smspop_client.with_options(timeout=5)
            await copy.send([ONE], message="Hello!", sender_id="BRAND1")
            smspop_sandbox.assert_texted(ONE)

        def test_an_unused_client(smspop_client):
            assert repr(smspop_client).startswith("<SmsPop http://127.0.0.1:")
            assert smspop_client.submitter is not None

        @run_it
        @pytest.mark.smspop(fault="rate_limited", credits=2)
        async def test_the_marker(smspop_client, smspop_sandbox):
            report = await smspop_client.send([ONE, TWO], message="Hello!", sender_id="BRAND1")
            assert report.counts[Status.SENT] == 2
            assert smspop_sandbox.credits == 0
            assert [each.status for each in smspop_sandbox.requests if each.method == "POST"] == [429, 200]
            assert not smspop_sandbox.faults

        @run_it
        async def test_a_request_that_is_never_answered(smspop_client, smspop_sandbox):
            smspop_sandbox.fail_next("time_out_after_sending")
            impatient = smspop_client.with_options(timeout=0.2)
            report = await impatient.send([ONE], message="Hello!", sender_id="BRAND1", reconcile=None)
            assert report.counts[Status.UNKNOWN] == 1
            [request] = await smspop_sandbox.wait_for_requests()
            assert request.status is None
            smspop_sandbox.assert_texted(ONE, times=1)

        def test_the_environment_is_as_before():
            assert "SMSPOP_TOKEN" not in os.environ and "SMSPOP_BASE_URL" not in os.environ
        """,
        runner=runner,
    ).assert_outcomes(passed=8)


@pytest.mark.parametrize("runner", ["anyio", pytest.param("asyncio strict", marks=NEEDS_ASYNCIO)])
def test_a_loop_that_outlives_the_test_keeps_no_client(suite: Suite, runner: str) -> None:
    """A loop of the session is asked, at the end of the test, to close the client in itself."""
    scoped = "@pytest_asyncio.fixture(loop_scope='session', scope='session')"
    wide = scoped if "asyncio" in runner else "@pytest.fixture(scope='session')"
    marker = "@pytest.mark.asyncio(loop_scope='session')" if "asyncio" in runner else "@run_it"
    suite(
        f"""
        from smspop_async import ConfigurationError
        {"import pytest_asyncio" if "asyncio" in runner else ""}
        kept = []

        {wide}
        async def wide(anyio_backend):
            yield

        {marker}
        async def test_first(wide, smspop_client):
            kept.append(smspop_client)
            await smspop_client.send([ONE], message="Hello!", sender_id="BRAND1")

        {marker}
        async def test_second(wide, smspop_client, smspop_sandbox):
            with pytest.raises(ConfigurationError, match="closed"):
                await kept[0].send([ONE], message="Hello!", sender_id="BRAND1")
            await smspop_client.send([TWO], message="Hello!", sender_id="BRAND1")
            smspop_sandbox.assert_texted_only(TWO)
        """,
        runner=runner,
    ).assert_outcomes(passed=2)


def test_the_fixtures_serve_synchronous_tests(suite: Suite) -> None:
    """No plugin and no loop is needed; a loop of the test's own, or of another thread, is as good."""
    suite(
        """
        import asyncio
        import smspop_async
        from anyio.from_thread import start_blocking_portal

        @pytest.fixture(scope="module")
        def server():  # as the test clients of web frameworks do it: a loop in a thread, which outlives the test
            with start_blocking_portal("asyncio") as portal:
                yield portal

        def test_asyncio_run(smspop_sandbox):
            asyncio.run(welcome(ONE))
            smspop_sandbox.assert_texted(ONE)

        def test_the_client_in_a_loop_of_the_test(smspop_client, smspop_sandbox):
            asyncio.run(smspop_client.campaigns.create(
                name="Welcome", message="Welcome!", sender_id="BRAND1", contacts=[ONE]))
            smspop_sandbox.assert_texted(ONE)

        def test_the_client_in_the_loop_of_a_server(server, smspop_client, smspop_sandbox):
            async def send():
                return await smspop_client.send([ONE], message="Hello!", sender_id="BRAND1")

            server.start_task_soon(send)
            [message] = smspop_sandbox.wait_for_sync(to="0770 000 001", timeout=20)
            assert message.text == "Hello!"

        def test_that_it_does_not_come(smspop_sandbox):
            with pytest.raises(TimeoutError):
                smspop_sandbox.wait_for_sync(timeout=0)

        def test_the_account(smspop_sandbox):
            smspop_sandbox.credits = 7
            smspop_sandbox.active = False
            smspop_sandbox.add_sender("NEW")
            assert (smspop_sandbox.credits, smspop_sandbox.active) == (7, False)
            assert smspop_sandbox.senders[-1] == "NEW"
            assert [entry.balance for entry in smspop_sandbox.statement] == [1_000_000, 7]
            assert smspop_sandbox.inbox_url.startswith("http://127.0.0.1:")
            smspop_sandbox.fail_next(503)
            smspop_sandbox.clear_faults()
            smspop_sandbox.revoke_token()
            smspop_sandbox.reset()
            assert smspop_sandbox.credits == 1_000_000
            assert repr(smspop_sandbox) == f"<SmsPopSandbox {smspop_sandbox.api_url}>"
            asyncio.run(welcome(ONE))
            [campaign] = smspop_sandbox.campaigns
            assert (campaign.name, campaign.contacts) == ("Welcome", (ONE,))
            assert [message.to for message in smspop_sandbox.messages()] == [ONE]

        def test_no_waiting_in_a_loop(smspop_sandbox):
            async def wait():
                smspop_sandbox.wait_for_sync(to=ONE)
            with pytest.raises(smspop_async.ConfigurationError, match="await smspop_sandbox.wait_for"):
                asyncio.run(wait())
        """
    ).assert_outcomes(passed=6)


def test_the_markers_of_module_class_and_test_add_up(suite: Suite) -> None:
    """The closest wins, setting by setting; a fault may be a word, a status, a mapping or a list of these."""
    suite(
        """
        import asyncio
        from smspop_async.integrations.pytest import SmsPopSandbox
        pytestmark = pytest.mark.smspop(credits=3, senders=["ONE"], region="ZA")

        @pytest.mark.smspop(credits=2)
        class TestAccount:
            def test_the_class(self, smspop_sandbox: SmsPopSandbox):
                assert isinstance(smspop_sandbox, SmsPopSandbox)
                assert (smspop_sandbox.credits, smspop_sandbox.senders) == (2, ("ONE",))

            @pytest.mark.smspop(
                credits=1, senders=["BRAND1"], region="ZW",
                fault=[402, {"kind": "rate_limited", "times": 2}, "html"])
            def test_the_test(self, smspop_sandbox):
                assert smspop_sandbox.credits == 1
                kinds = [(each.fault.label, each.times) for each in smspop_sandbox.faults]
                assert kinds == [("status 402", 1), ("status 429", 2), ("html", 1)]
                with pytest.raises(InsufficientCreditsError):
                    asyncio.run(welcome(ONE))
                smspop_sandbox.assert_not_texted("0770 000 001")

        def test_the_module(smspop_sandbox):
            assert smspop_sandbox.credits == 3
            smspop_sandbox.assert_not_texted("082 123 4567")  # South African, as the marker says
        """
    ).assert_outcomes(passed=3)


MISTAKES = {
    "smspop(10)": "pytest.mark.smspop takes keywords",
    "smspop(credit=10)": "ConfigurationError: pytest.mark.smspop:*credit*",
    "smspop(senders='SHOP')": "ConfigurationError: senders must be a list of sender IDs",
    "smspop(credits=-1)": "ConfigurationError: credits must be 0 or more",
    "smspop(fault='rate_limted')": "ConfigurationError: There is no such kind of fault",
    "smspop(fault={'times': 2})": "ConfigurationError: A fault that is a mapping has a kind",
}


def test_a_marker_that_cannot_be_meant_is_an_error(suite: Suite) -> None:
    """A slip of the pen in a marker must not make a test that tests nothing."""
    code = (f"@pytest.mark.{mark}\ndef test_{at}(smspop_sandbox): pass\n" for at, mark in enumerate(MISTAKES))
    result = suite("".join(code), app="import pytest\n")
    result.assert_outcomes(errors=len(MISTAKES))
    result.stdout.fnmatch_lines([f"*{words}*" for words in MISTAKES.values()])


def test_a_failure_shows_what_came_instead(suite: Suite) -> None:
    """The numbers, the nearest text with its differing letters, and no line of the plugin's own code."""
    result = suite(
        """
        import asyncio

        def test_it(smspop_sandbox):
            asyncio.run(welcome("0770 000 001"))
            smspop_sandbox.assert_texted("0770 000 001", text="Welcome?")
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*smspop_sandbox.assert_texted(*",
            "E*AssertionError: 0770 000 001 (263770000001) was not texted like this.",
            "E*the text 'Welcome?'",
            "E*1. BRAND1, campaign 'Welcome': 'Welcome!'",
            "E*- Welcome[?]",
            "E*+ Welcome!",
            "E*The API's last answers: POST 200.",
        ]
    )
    result.stdout.no_fnmatch_line("*__tracebackhide__*")


def test_a_failure_can_be_masked(suite: Suite) -> None:
    """Where tests work on copies of real data, a setting keeps numbers and texts out of the log."""
    result = suite(
        """
        import asyncio

        def test_it(smspop_sandbox):
            asyncio.run(welcome(ONE))
            smspop_sandbox.assert_texted(ONE, text="Secret")
        """,
        "-o",
        "smspop_mask=true",
        "--tb=line",
    )
    result.assert_outcomes(failed=1)
    assert "263…01 was not texted like this" in result.stdout.str()
    assert "263770000001" not in result.stdout.str()
    assert "Welcome!" not in result.stdout.str()


def test_whoever_does_not_use_it_pays_nothing(suite: Suite) -> None:
    """The plugin is loaded, and neither the HTTP library nor the event loop with it; nothing warns."""
    suite(
        """
        import sys

        def test_it(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("smspop")
            assert not {"aiohttp", "phonenumbers", "attr", "cattrs", "smspop_async.sandbox"} & set(sys.modules)
            assert not any(name.startswith("smspop_async.integrations.pytest_") for name in sys.modules)
        """,
        *("-p", "no:anyio"),
        app="",
    ).assert_outcomes(passed=1)


def test_the_suites_of_the_documentation_pass(suite: Suite, pytester: pytest.Pytester) -> None:
    """What the page shows was run as its readers run it; its blocks are suites of their own."""
    page = (PACKAGE / "docs" / "testing.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for number, block in enumerate(blocks):
        pytester.makepyfile(**{f"test_block_{number}": block})
    cases = sum(block.count("\ndef test_") + block.count("\nasync def test_") for block in blocks)
    extra = 1  # one is parametrised
    suite("", app="").assert_outcomes(passed=cases + extra)
    assert cases > 5


def test_there_is_no_other_name_in_the_plugin() -> None:
    """A module that loads names lazily still refuses those that it does not have."""
    plugin = importlib.import_module("smspop_async.integrations.pytest")
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = plugin.no_such_name
