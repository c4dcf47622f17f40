"""A send that was killed and resumed is, in the end, the send that was never killed."""

import json
import os
from pathlib import Path
from string import Template

import pytest
from anyio import to_thread

from journal.judging import campaigns, same
from journal.killing import RETRY, SOON, Death, Nursery, Order
from rawserver import fake_number, fake_numbers
from smspop_async import ReconcilePolicy, Report, RetryPolicy, SmsPop, Status, read_report
from smspop_async.sandbox import Sandbox

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL and no fork on Windows"),
]

CLAIM = "smspop_async.journal.sqlite:SendLog.claim"
POSTED = "smspop_async.api.submit:Submitter._read"
REFUSED = "263770009903"
TEXT = "Dear $first_name, the fees of $child are due."
SUPPRESSED = [fake_number(8)]
PATIENCE = ReconcilePolicy(**SOON)

ROWS = (
    "first_name,phone,child",
    f"Tariro,{fake_number(1)},Rudo",
    f"Tariro,{fake_number(2)},Rudo",
    "",
    f'"Farai\nof the ""North""",{fake_number(3)},Tino',
    "Rumbi,not a number,Tino",
    "\n",
    f"Tariro,0{fake_number(4)[3:]},Rudo",
    f"Tariro,{fake_number(1)},Rudo",
    f",{fake_number(5)},Tino",
    f"Chipo,{fake_number(6)}",
    f'"A\nB\nC",{fake_number(7)},"D\nE"',
    f"Tariro,{fake_number(8)},Rudo",
    f"Zivai,{REFUSED},Ropa",
    f"Zivai,{fake_number(9)},Ropa",
    "Zivai,263770009901,Ropa",
    *(f"Name {n % 7},{fake_number(20 + n)},Child {n % 5}" for n in range(40)),
)
CSV = "\n".join(ROWS)


@pytest.fixture(scope="module")
def nursery():
    made = Nursery()
    yield made
    made.close()


def client(sandbox: Sandbox) -> SmsPop:
    return SmsPop(token="1|fake-token", base_url=sandbox.api_url, retry=RetryPolicy(**RETRY))


async def killed(nursery: Nursery, sandbox: Sandbox, path: Path, death: Death, **words) -> bool:
    order = Order(journal=str(path), base_url=sandbox.api_url, death=death, **words)
    return await to_thread.run_sync(nursery.run, order)


async def resumed(sandbox: Sandbox, path: Path, **words) -> Report:
    async with client(sandbox) as sms:
        return await sms.resume(path, reconcile=PATIENCE, **words)


def numbered(report: Report) -> list[tuple]:
    """Its campaigns by their numbers, whatever the run is called."""
    return [(name.rpartition("-")[2], *rest) for name, *rest in campaigns(report)]


def posted(sandbox: Sandbox) -> list[tuple[str, int | None]]:
    """Name and answer of every campaign that was posted."""
    return [(json.loads(r.body)["name"], r.status) for r in sandbox.requests if r.method == "POST"]


async def whole(sandbox: Sandbox, path: Path, contacts: Path, **words) -> Report:
    async with client(sandbox) as sms:
        return await sms.send(
            contacts, message=Template(TEXT), sender_id="DEMO", chunk_size=3, max_concurrency=1,
            suppress=SUPPRESSED, reconcile=PATIENCE, journal=path, **words,
        )  # fmt: skip


@pytest.mark.parametrize("act", ["send", "stream"])
@pytest.mark.parametrize("deaths", [[1], [2], [9], [3, 1, 2, 4]])
async def test_the_report_is_that_of_an_uninterrupted_run(nursery, tmp_path, act, deaths):
    """Rows, lines, reasons, counts, campaigns and their numbers: nobody can see that the process died in between.

    The list of contacts is not there any more when the send is resumed.
    """
    contacts = tmp_path / "contacts.csv"
    contacts.write_text(CSV)
    async with Sandbox(token="1|fake-token") as sandbox:
        expected = await whole(sandbox, tmp_path / "whole.db", contacts)
    path = tmp_path / "killed.db"
    async with Sandbox(token="1|fake-token") as sandbox:
        for nth in deaths:
            death = Death(target=CLAIM, nth=nth, settled=True)
            assert await killed(
                nursery, sandbox, path, death, act=act, file=str(contacts), message=TEXT, template=True, chunk_size=3,
                suppress=SUPPRESSED,
            )  # fmt: skip
            contacts.unlink(missing_ok=True)
            act = "resume"
        report = await resumed(sandbox, path)
    assert {row.status for row in expected.outcomes()} >= {
        Status.SENT, Status.FAILED, Status.REJECTED, Status.INVALID, Status.DUPLICATE, Status.SUPPRESSED,
    }  # fmt: skip
    for each in (report, read_report(path)):
        assert list(each.outcomes()) == list(expected.outcomes())
        assert dict(each.counts) == dict(expected.counts)
        assert each.summary == expected.summary
        assert numbered(each) == numbered(expected)
        assert each.discrepancies == expected.discrepancies
        assert each.stopped_by is None
    same(report, read_report(path))


async def left_unknown(nursery: Nursery, sandbox: Sandbox, path: Path) -> None:
    """A send of which three campaigns were claimed, and did not leave, when its process died."""
    death = Death(target=CLAIM, when="after", nth=4)
    rows = [*fake_numbers(5), REFUSED, *fake_numbers(20, start=10)]
    assert await killed(nursery, sandbox, path, death, rows=rows, chunk_size=3, max_concurrency=3)


async def test_to_resume_twice_is_to_resume_once(nursery, tmp_path):
    """The second time nothing is sent, and nothing has changed."""
    path = tmp_path / "j.db"
    async with Sandbox(token="1|fake-token") as sandbox:
        await left_unknown(nursery, sandbox, path)
        first = await resumed(sandbox, path)
        sent = posted(sandbox)
        second = await resumed(sandbox, path)
        assert posted(sandbox) == sent
    assert first.counts[Status.UNKNOWN] > 0
    assert dict(first.counts) == dict(second.counts)
    assert campaigns(first) == campaigns(second)
    for one, other in zip(first.outcomes(), second.outcomes(), strict=True):
        assert (one.index, one.phone_number, one.status) == (other.index, other.phone_number, other.status)
        assert one.detail == other.detail or one.status is Status.UNKNOWN


async def test_what_is_said_of_an_unknown_campaign_does_not_grow(nursery, tmp_path):
    """However often it was looked for, what is told is told once."""
    path = tmp_path / "j.db"
    async with Sandbox(token="1|fake-token") as sandbox:
        await left_unknown(nursery, sandbox, path)
        details = []
        for _ in range(4):
            report = await resumed(sandbox, path)
            details.append(max(len(row.detail) for row in report.outcomes() if row.status is Status.UNKNOWN))
    assert details[3] <= details[1]


async def test_a_finished_send_is_not_sent_again(tmp_path):
    """Nothing is left to send: no request but looks at the list, and the same report."""
    async with Sandbox(token="1|fake-token") as sandbox, client(sandbox) as sms:
        report = await sms.send(
            [*fake_numbers(7), REFUSED],
            message="Hello!",
            sender_id="DEMO",
            chunk_size=3,
            journal=tmp_path / "j.db",
        )
        sent = posted(sandbox)
        same(await sms.resume(tmp_path / "j.db"), report)
        same(await sms.resume(tmp_path / "j.db", resend_unknown=True), report)
        assert posted(sandbox) == sent


@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_no_name_of_a_campaign_is_used_twice(nursery, tmp_path, nth):
    """Over halves, deaths, resumes and second tries: a name is seen again only where it was turned away by 429."""
    path = tmp_path / "j.db"
    async with Sandbox(token="1|fake-token") as sandbox:
        sandbox.fail_next("reset_before")
        sandbox.fail_next("latency", seconds=0, times=2)
        sandbox.fail_next(429, retry_after=0)
        await left_unknown(nursery, sandbox, path)
        for point in (POSTED, CLAIM):
            await killed(
                nursery,
                sandbox,
                path,
                Death(target=point, when="after", nth=nth),
                act="resume",
                resend_unknown=True,
            )
        await resumed(sandbox, path, resend_unknown=True)
        await resumed(sandbox, path)
        names = [name for name, status in posted(sandbox) if status != 429]
    assert len(names) == len(set(names))
    assert len({name.rpartition("-")[0] for name in names}) == 1
