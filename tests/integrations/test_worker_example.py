"""The worker of the examples, in a process of its own: killed, stopped, started again, and texting nobody twice."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

import smspop_async
from smspop_async import list_sends
from smspop_async.sandbox import Sandbox

ROOT = Path(smspop_async.__file__).parents[1]
WORKER = ROOT / "examples" / "worker.py"
EVERYBODY = [f"26377{number:07}" for number in range(100, 300)]

Start = Callable[..., subprocess.Popen[str]]


class Remote:
    """A sandbox that outlives every worker."""

    def __init__(self, sandbox: Sandbox, portal: BlockingPortal) -> None:
        self.sandbox, self.portal = sandbox, portal

    @property
    def texted(self) -> Counter[str]:
        return Counter(self.portal.call(lambda: [message.to for message in self.sandbox.messages()]))

    def fail_next(self, kind: int | str, **options) -> None:
        self.portal.call(partial(self.sandbox.fail_next, kind, **options))

    def wait_for_requests(self, count: int) -> None:
        self.portal.call(partial(self.sandbox.wait_for_requests, count=count, timeout=30))

    def wait_for_texts(self, count: int) -> None:
        self.portal.call(partial(self.sandbox.wait_for, count=count, timeout=30))


@pytest.fixture
def remote() -> Iterator[Remote]:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Sandbox(credits=500)) as sandbox,
    ):
        yield Remote(sandbox, portal)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A folder with one list of two hundred people."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "people.txt").write_text("\n".join(EVERYBODY) + "\n")
    return folder


@pytest.fixture
def start(remote: Remote, inbox: Path, tmp_path: Path) -> Iterator[Start]:
    """Start a worker on the inbox, as from a terminal; one that is left over is killed."""
    workers: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        run = "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        run += "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
        environment = {
            "PYTHONPATH": str(ROOT),
            "SMSPOP_TOKEN": remote.sandbox.token,
            "SMSPOP_BASE_URL": remote.sandbox.api_url,
        }
        options = ("--chunk-size", "20", "--look-for", "1", *words)
        worker = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", run, str(WORKER), str(inbox), *options],
            env=os.environ | environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        if worker.poll() is None:
            worker.kill()
            worker.communicate()


def ended(worker: subprocess.Popen[str], code: int = 0) -> str:
    """Wait for a worker, and return what it printed."""
    out, err = worker.communicate(timeout=60)
    assert worker.returncode == code, out + err
    return out + err


@pytest.mark.parametrize(
    ("fault", "lost"),
    [
        pytest.param("hang", 0, id="what was under way was sent, and is found"),
        pytest.param("hang_before", 160, id="nobody can tell what was, so it is held"),
    ],
)
def test_a_kill_in_the_middle_texts_nobody_twice(
    fault: str, lost: int, start: Start, remote: Remote, inbox: Path
) -> None:
    """After ``kill -9`` and a second start everybody is texted once, but for those of whom nothing can be known."""
    remote.fail_next("latency", seconds=0.01)  # the first campaign goes alone; the eight after it are cut off
    remote.fail_next(fault, times=8)
    first = start("--once")
    remote.wait_for_requests(9)
    remote.wait_for_texts(20 + 160 - lost)
    first.kill()
    ended(first, -signal.SIGKILL)
    assert len(remote.texted) == 20 + 160 - lost

    said = ended(start("--once"))
    assert "Going on with people" in said
    assert set(remote.texted.values()) == {1}
    assert len(remote.texted) == len(EVERYBODY) - lost
    assert (f"{lost} unknown" in said) == bool(lost)
    [report] = (inbox / "reports").iterdir()
    held = [line.split(",")[2] for line in report.read_text().splitlines() if ",unknown," in line]
    assert sorted([*held, *remote.texted]) == EVERYBODY

    said = ended(start("--once"))  # a third start has nothing to send, and looks once more for what is held
    assert ("Going on" in said) == bool(lost)
    assert "Sending" not in said
    assert set(remote.texted.values()) == {1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_the_next_start_goes_on(
    number: int, start: Start, remote: Remote, inbox: Path
) -> None:
    """What is under way settles within the grace, nothing is unknown, and the rest is sent by the next worker."""
    remote.fail_next("latency", seconds=0.01)  # the first campaign goes alone; the sixteen after it are held
    remote.fail_next("latency", seconds=2, times=16)
    first = start("--chunk-size", "5")
    remote.wait_for_requests(17)  # no worker is free for the other 23 campaigns before the signal is there
    first.send_signal(number)
    assert "Stopped: " in ended(first)
    [send] = list_sends(inbox / "journal.db")
    assert (send.chunks.get("unknown"), send.chunks.get("submitting")) == (None, None)
    assert len(remote.texted) == 17 * 5

    ended(start("--once"))
    assert remote.texted == Counter(EVERYBODY)
    [report] = (inbox / "reports").iterdir()
    assert report.read_text().count(",sent,") == len(EVERYBODY)


def test_a_list_is_sent_once_under_whichever_name(start: Start, remote: Remote, inbox: Path) -> None:
    """A list that the journal has is passed over; one that comes while the worker runs is taken."""
    assert "Sending to people.txt." in ended(start("--once"))
    (inbox / "people.txt").rename(inbox / "the same.txt")
    (inbox / ".half-written.txt").write_text("263770000900\n")
    worker = start()
    (inbox / ".half-written.txt").rename(inbox / "new.txt")
    remote.wait_for_texts(len(EVERYBODY) + 1)
    worker.send_signal(signal.SIGTERM)
    said = ended(worker)
    assert "Sending to new.txt." in said
    assert "the same.txt" not in said
    assert remote.texted == Counter([*EVERYBODY, "263770000900"])


def test_a_report_that_was_not_written_any_more_is_written_by_the_next_worker(
    start: Start, remote: Remote, inbox: Path
) -> None:
    """The journal has it: a worker that dies right after its last campaign leaves nothing out."""
    ended(start("--once"))
    [report] = (inbox / "reports").iterdir()
    rows = report.read_text()
    report.unlink()
    ended(start("--once"))
    assert report.read_text() == rows
    assert remote.texted == Counter(EVERYBODY)


def test_a_list_that_cannot_be_read_holds_up_nobody(start: Start, remote: Remote, inbox: Path) -> None:
    (inbox / "broken.xlsx").write_bytes(b"no spreadsheet")
    said = ended(start("--once"))
    assert "broken.xlsx was passed over" in said
    assert remote.texted == Counter(EVERYBODY)


def test_a_worker_that_the_api_stops_says_so_and_goes_on_later(start: Start, remote: Remote) -> None:
    """1, which a supervisor takes for "start it again": by then there are credits."""
    remote.portal.call(lambda: setattr(remote.sandbox, "credits", 50))
    assert "credits" in ended(start("--once"), 1)
    assert 0 < len(remote.texted) <= 50
    remote.portal.call(lambda: setattr(remote.sandbox, "credits", 500))
    ended(start("--once"))
    assert remote.texted == Counter(EVERYBODY)


def test_a_second_worker_on_the_same_folder_is_refused(start: Start, remote: Remote) -> None:
    """Two processes that send the same list would text everybody twice."""
    remote.fail_next("hang")
    first = start("--grace", "0")
    remote.wait_for_requests(1)
    assert "journal" in ended(start("--once"), 1)
    first.send_signal(signal.SIGTERM)
    ended(first)
    assert max(remote.texted.values()) == 1


def test_a_rehearsal_ends_by_itself(tmp_path: Path) -> None:
    """One command, no account, nobody texted; and the list that is there twice is sent once."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SMSPOP_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(WORKER)],
        env=environment | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("The sandbox has sent 2980 texts in 6 campaigns.\n")
    assert not list(tmp_path.iterdir())
