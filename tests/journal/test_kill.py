"""kill -9 at every step of the state machine, and at random: the sandbox's ledger is the judge.

A child sends, and dies at a step; this process then resumes its journal, or has further children resume it that die as
well. Steps are statements that go to SQLite, counted until a child survives because there are no more, and functions
on the way of a campaign.
"""

import logging
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from journal.judging import Corpse, Row, check_claims, check_ledger, check_report, posts, same, unclear
from journal.killing import DELAY, PAUSE, RETRY, SOON, STATEMENT, Death, Nursery, Order
from rawserver import fake_number
from smspop_async import (
    ContactSourceError,
    JournalError,
    ReconcilePolicy,
    Report,
    RetryPolicy,
    SmsPop,
    Status,
    list_sends,
    read_report,
)
from smspop_async.journal.base import SendState
from smspop_async.sandbox import Sandbox

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL and no fork on Windows"),
]

log = logging.getLogger(__name__)
LONG_LIFE = Death()
REFUSED, FAILED = "263770009903", "263770009901"
NURSERIES = 2


@pytest.fixture(scope="module")
def nurseries():
    """Two are enough to keep a processor busy while a disk is waited for."""
    made = [Nursery() for _ in range(NURSERIES)]
    yield made
    for each in made:
        each.close()


def valid(*numbers: int) -> list[Row]:
    return [Row(fake_number(n)) for n in numbers]


ROWS = [
    *valid(1, 2),
    Row("junk", Status.INVALID),
    *valid(3),
    Row(REFUSED),  # the API refuses its campaign, which is halved
    Row(fake_number(1), Status.DUPLICATE),
    Row(FAILED),
    *valid(4),
    Row(fake_number(9), Status.SUPPRESSED),
    *valid(5, 6, 7),
]
SCRIPT = ("latency", 429, "latency", "disconnect_after", "latency", "latency", "reset_before")
WORDS = {"latency": {"seconds": 0.001}, 429: {"retry_after": 0}}


def spoil(sandbox: Sandbox) -> None:
    """What goes wrong in every scene: a pause, an answer that is lost, and a request that is."""
    for kind in SCRIPT:
        sandbox.fail_next(kind, **WORDS.get(kind, {}))


class Scene:
    """One sandbox, one journal, one list of contacts, and whoever works on them."""

    def __init__(self, sandbox: Sandbox, path: Path, nursery: Nursery) -> None:
        self.sandbox = sandbox
        self.path = path
        self.rows = ROWS
        self.chunk_size = 2
        self._nursery = nursery
        self._doubted: set[str] = set()
        """Numbers that were under way when a child died."""

    async def child(
        self, act: str, death: Death = LONG_LIFE, *, born=lambda pid: None, **words
    ) -> Corpse | None:
        """Have a child work until it dies, and look at the corpse; None where it lives to the end."""
        order = Order(
            journal=str(self.path),
            base_url=self.sandbox.api_url,
            act=act,
            rows=[row.shown for row in self.rows],
            suppress=[row.shown for row in self.rows if row.left_out is Status.SUPPRESSED],
            chunk_size=self.chunk_size,
            death=death,
            **words,
        )
        killed = await to_thread.run_sync(self._nursery.run, order, born)
        corpse = Corpse(self.path)
        check_claims(corpse, self.sandbox)
        self._doubted |= corpse.in_doubt
        if corpse.send_state:
            self.check(read_report(self.path), lost=True)
        return corpse if killed else None

    def check(self, report: Report, *, lost: bool) -> None:
        """Hold a report against the ledger."""
        doubted = self._doubted | unclear(self.sandbox)
        check_report(report, self.rows, check_ledger(self.sandbox), doubted=doubted, lost=lost)

    def client(self) -> SmsPop:
        return SmsPop(token="1|fake-token", base_url=self.sandbox.api_url, retry=RetryPolicy(**RETRY))

    async def resume(self, *, resend_unknown: bool = False) -> Report | None:
        """Resume until nothing stops it; None where there is nothing to resume: then nobody was texted."""
        for _ in range(10):
            try:
                async with self.client() as sms:
                    report = await sms.resume(
                        self.path, resend_unknown=resend_unknown, reconcile=ReconcilePolicy(**SOON)
                    )
            except JournalError:
                assert posts(self.sandbox) == Counter()
                assert self.never_began()
                return None
            if report.stopped_by is None or isinstance(report.stopped_by, ContactSourceError):
                return report
        raise AssertionError(report.stopped_by)

    def never_began(self) -> bool:
        if not self.path.exists() or not self.path.stat().st_size:
            return True
        return all(send.state is SendState.ABANDONED for send in list_sends(self.path))

    async def finish(self, *, lost: bool = False) -> Report | None:
        """Resume what the dead have left, and judge it; where nothing had begun, the list is sent again."""
        report = await self.resume()
        if report is None:
            if lost:
                return None
            assert await self.child("send") is None
            report = read_report(self.path)
            if report.stopped_by is not None:
                report = await self.resume()
            lost = False
        archived = read_report(self.path)
        self.check(report, lost=lost)
        self.check(archived, lost=lost)
        same(report, archived)
        self.check_settled()
        return report

    def check_settled(self) -> None:
        """Nothing waits any more, but for second tries that were asked for once, and not again."""
        corpse = Corpse(self.path)
        assert "submitting" not in corpse.states.values()
        assert corpse.waiting == set()


@pytest.fixture
def make_scene(tmp_path):
    """Makes scenes, each with a sandbox of its own."""
    made = 0

    @asynccontextmanager
    async def make(nursery: Nursery) -> AsyncIterator[Scene]:
        nonlocal made
        made += 1
        path = tmp_path / f"{made}.db"
        async with Sandbox(token="1|fake-token") as sandbox:
            yield Scene(sandbox, path, nursery)

    return make


async def at_every(kill: Callable[[int, Nursery], Awaitable[bool]], nurseries: list[Nursery]) -> int:
    """Kill at the first, the second, the third … step, until a child survives. Returns how many were killed."""
    begun = killed = 0
    survived = False

    async def work(nursery: Nursery) -> None:
        nonlocal begun, killed, survived
        while not survived:
            begun += 1
            step = begun
            try:
                if await kill(step, nursery):
                    killed += 1
                else:
                    survived = True
            except BaseException as error:
                error.add_note(f"killed at step {step}")
                raise

    async with anyio.create_task_group() as tasks:
        for nursery in nurseries:
            tasks.start_soon(work, nursery)
    return killed


@pytest.mark.parametrize(
    ("act", "when"),
    [
        ("send", "before"),
        ("endless", "before"),
        pytest.param("send", "after", marks=pytest.mark.long),
        pytest.param("endless", "after", marks=pytest.mark.long),
    ],
)
async def test_killed_at_every_statement(make_scene, nurseries, act, when):
    """Before and after each statement of a send: the journal, a resume and the ledger agree."""

    async def kill(nth: int, nursery: Nursery) -> bool:
        async with make_scene(nursery) as scene:
            spoil(scene.sandbox)
            killed = await scene.child(act, Death(target=STATEMENT, when=when, nth=nth))
            await scene.finish(lost=act == "endless")
        return killed is not None

    assert await at_every(kill, nurseries) > 30


POINTS = {
    "journal.sqlite:SendLog.claim": "before after",
    "journal.sqlite:SendLog.release": "before after",
    "journal.sqlite:SendLog.replace": "before after",
    "journal.sqlite:SendLog.settle": "before after",
    "api.transport:Transport.post": "before after",
    "api.sendflag:Outgoing.leave": "before after",
    "api.exchange:read_whole": "before after",
    "api.submit:Submitter._read": "before after",
    "batch.reconcile:Reconciler._look": "before after",
    "batch.reconcile:Reconciler._found": "before after",
    "batch.reconcile:Reconciler._missed": "before after",
}
"""Functions on the way of a campaign, and on which side of them a child dies."""
BESIDE_STATEMENTS = {
    "journal.opening:lay_out": "before after",
    "journal.drafting:Draft.show": "before after",
    "journal.drafting:Draft.name": "before after",
    "journal.drafting:Draft._name": "before after",
    "journal.sqlite:SqliteJournal._open": "before after",
    "journal.sqlite:SqliteJournal.begin": "before after",
    "journal.sqlite:SendLog.plan": "before after",
    "journal.sqlite:SendLog.complete": "before after",
    "journal.statements:complete": "before after",
    "journal.commit:GroupCommit._commit": "before after",
    "batch.journaled:Keeper.aclose": "before after",
    "journal.commit:GroupCommit.aclose": "before after",
    "journal.opening:Opened.close": "before after",
}
"""The same, next to statements at which children die anyway."""


def sides(points: dict[str, str]) -> list[tuple[str, str]]:
    return [(target, when) for target, whens in points.items() for when in whens.split()]


@pytest.mark.parametrize(
    ("target", "when"),
    [
        *sides(POINTS),
        *(pytest.param(*point, marks=pytest.mark.long) for point in sides(BESIDE_STATEMENTS)),
    ],
)
async def test_killed_on_the_way_of_a_campaign(make_scene, nurseries, target, when):
    """At each use of a function, with three campaigns at once."""

    async def kill(nth: int, nursery: Nursery) -> bool:
        async with make_scene(nursery) as scene:
            spoil(scene.sandbox)
            death = Death(target=f"smspop_async.{target}", when=when, nth=nth)
            killed = await scene.child("send", death, max_concurrency=3)
            await scene.finish()
        return killed is not None

    assert await at_every(kill, nurseries) >= 1


CLAIMED, READ = "journal.sqlite:SendLog.claim", "api.submit:Submitter._read"


@pytest.mark.parametrize(
    ("left", "resend"),
    [
        (CLAIMED, True),
        pytest.param(READ, False, marks=pytest.mark.long),
        pytest.param(CLAIMED, False, marks=pytest.mark.long),
        pytest.param(READ, True, marks=pytest.mark.long),
    ],
)
async def test_killed_at_every_statement_of_a_resume(make_scene, nurseries, left, resend):
    """Whoever resumes may die as well, whatever the first has left: claims that never left, or replies not read."""

    async def kill(nth: int, nursery: Nursery) -> bool:
        async with make_scene(nursery) as scene:
            death = Death(target=f"smspop_async.{left}", when="after", nth=3)
            assert await scene.child("send", death, max_concurrency=3)
            spoil(scene.sandbox)
            killed = await scene.child("resume", Death(target=STATEMENT, nth=nth), resend_unknown=resend)
            await scene.finish()
            if resend:  # all whom the first process did not text are texted now, once
                report = await scene.resume(resend_unknown=True)
                scene.check(report, lost=False)
                assert "planned" not in Corpse(scene.path).states.values()
        return killed is not None

    assert await at_every(kill, nurseries) > 10


async def test_a_campaign_that_waits_for_its_turn_is_planned(make_scene, nurseries):
    """Turned away by 429, a campaign waits as `planned`: a death in the pause is no reason to doubt anything."""
    async with make_scene(nurseries[0]) as scene:
        scene.sandbox.fail_next(429, retry_after=100)
        assert await scene.child("send", Death(target=PAUSE))
        assert set(Corpse(scene.path).states.values()) == {"planned"}
        report = await scene.finish()
        assert report.counts[Status.UNKNOWN] == 0


@pytest.mark.parametrize("kind", ["hang", "hang_before"])
async def test_killed_while_the_server_says_nothing(make_scene, nurseries, kind):
    """The server has the campaign: what it did is found in the list, what it did not do stays unknown."""
    async with make_scene(nurseries[0]) as scene:
        scene.sandbox.fail_next(kind)
        pids: list[int] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(scene.child, "send", born=pids.append))
            await scene.sandbox.wait_for_requests()
            os.kill(pids[0], signal.SIGKILL)
        report = await scene.finish()
        assert report.counts[Status.ACCEPTED if kind == "hang" else Status.UNKNOWN] == 2


@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_a_death_with_many_campaigns_under_way_doubts_those_alone(make_scene, nurseries, nth):
    """At most as many campaigns are unknown as there were places for them."""
    async with make_scene(nurseries[0]) as scene:
        death = Death(target="smspop_async.api.transport:Transport.post", nth=2 + nth)
        assert await scene.child("send", death, max_concurrency=3)
        states = Counter(Corpse(scene.path).states.values())
        assert 1 <= states["submitting"] <= 3
        report = await scene.finish()
        assert report.counts[Status.UNKNOWN] <= 3 * 2


async def test_two_processes_on_one_journal_text_nobody_twice(make_scene, nurseries):
    """Where somebody deletes the lock of a send that is alive, claims still belong to one process at a time."""
    async with make_scene(nurseries[0]) as scene:
        scene.rows = valid(*range(1, 41))
        scene.sandbox.fail_next("latency", seconds=0.05, times=5)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(scene.child, "send", max_concurrency=2))
            await scene.sandbox.wait_for_requests(count=3)
            await anyio.Path(f"{scene.path}.lock").unlink()
            async with scene.client() as sms:
                await sms.resume(scene.path, reconcile=None)
        await scene.resume()
        texted = check_ledger(scene.sandbox)
        assert set(texted) == {row.shown for row in scene.rows}
        scene.check_settled()


# At random.

KINDS = (
    "latency", "latency", "latency", 429, "disconnect_after", "reset_after", "reset_before", "truncated",
    "html", "error_after", 503, 402, "close_after_reply", "success_false",
)  # fmt: skip
MANY = [
    *valid(*range(1, 25)),
    Row(REFUSED),
    Row("junk", Status.INVALID),
    *valid(*range(25, 60)),
    Row(FAILED),
    Row(fake_number(5), Status.DUPLICATE),
    Row(fake_number(99), Status.SUPPRESSED),
    *valid(*range(60, 80)),
]


def chance(dice: random.Random) -> Death:
    """A death at a moment that nobody chose."""
    when = dice.choice(["before", "after"])
    return dice.choice(
        [
            Death(target=STATEMENT, when=when, nth=dice.randrange(1, 80)),
            Death(target=STATEMENT, when=when, nth=dice.randrange(1, 16), match="COMMIT"),
            Death(target="smspop_async.api.transport:Transport.post", when=when, nth=dice.randrange(1, 25)),
            Death(target=DELAY, seconds=dice.random() * 0.2),
        ]
    )


async def one_round(scene: Scene, dice: random.Random) -> Counter[str]:
    """A send and some resumes that die somewhere, and a resume that does not."""
    scene.rows, scene.chunk_size = MANY, 3
    for _ in range(dice.randrange(12)):
        kind = dice.choice(KINDS)
        scene.sandbox.fail_next(kind, **WORDS.get(kind, {}))
    first = dice.choice(["send", "send", "endless"])
    met = Counter(rounds=1)
    corpse = await scene.child(first, chance(dice), max_concurrency=dice.choice([1, 4]))
    met["deaths"] += corpse is not None
    while corpse is not None and corpse.send_state in ("planned", "streaming") and dice.random() < 0.6:
        corpse = await scene.child("resume", chance(dice))
        met["deaths of a resume"] += corpse is not None
    report = await scene.finish(lost=first == "endless")
    if report is not None:
        met.update({status.value: count for status, count in report.counts.items() if count})
    return met


@pytest.mark.parametrize("rounds", [6, pytest.param(200, marks=pytest.mark.long)])
async def test_killed_at_random(make_scene, nurseries, rounds):
    """At any moment, under any faults, again and again: nobody is texted twice, and every row is accounted for."""
    met: Counter[str] = Counter()
    seed = random.randrange(10**6)

    async def kill(nth: int, nursery: Nursery) -> bool:
        async with make_scene(nursery) as scene:
            met.update(await one_round(scene, random.Random(f"{seed} {nth}")))
        # Some die of old age, before the moment that was drawn for them has come: then there are more rounds.
        return met["rounds"] < rounds or (met["deaths"] <= rounds / 3 and met["rounds"] < 5 * rounds)

    try:
        await at_every(kill, nurseries)
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise
    log.info("%s", dict(met))  # shown with --log-cli-level=INFO
    assert met["deaths"] > rounds / 3
