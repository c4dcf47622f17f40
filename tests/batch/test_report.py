"""The report: adds up, prints, pickles, exports, raises."""

import csv
import json
import pickle

import pytest
from attrs import evolve

from faultserver import FaultServer
from rawserver import answer_all, fake_numbers, raw_server
from smspop_async import Delivery, InsufficientCreditsError, PartialFailureError, SmsPop, Status

pytestmark = pytest.mark.anyio


async def make_report(actions=(), contacts=None, **options):
    server = FaultServer(actions)
    async with raw_server(server.script) as raw, SmsPop(token="1|fake-token", base_url=raw.base_url) as sms:
        return await sms.send(
            fake_numbers(4) if contacts is None else contacts,
            **{"message": "Hello!", "sender_id": "DEMO", "chunk_size": 2, "reconcile": None, **options},
        )


async def test_all_sent_raises_nothing_and_the_summary_is_merged():
    """Duplicates and suppressed rows are no failures."""
    numbers = fake_numbers(4)
    report = await make_report(contacts=[*numbers, numbers[0]], suppress=[numbers[1]])
    report.raise_for_failures()
    assert (report.summary.sent, report.summary.failed) == (3, 0)
    assert [outcome.status for outcome in report.outcomes()] == [
        Status.SENT,
        Status.SUPPRESSED,
        Status.SENT,
        Status.SENT,
        Status.DUPLICATE,
    ]


@pytest.mark.parametrize(
    ("actions", "contacts", "delivery"),
    [
        (["some_failed"], None, Delivery.REJECTED),
        (["ok", "hang_up_after"], None, Delivery.UNKNOWN),
        (["402"], None, Delivery.REJECTED),
        ([], ["12"], Delivery.NOT_SENT),
    ],
)
async def test_failures_raise_with_the_report_and_say_what_is_known(actions, contacts, delivery):
    """The error carries the report, speaks of those not sent, and pickles."""
    report = await make_report(actions, contacts)
    with pytest.raises(PartialFailureError) as caught:
        report.raise_for_failures()
    assert caught.value.delivery is delivery
    assert caught.value.report is report
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.delivery) == (str(caught.value), delivery)
    assert list(copy.report.outcomes()) == list(report.outcomes())


async def test_a_source_that_fails_behind_what_was_sent_is_no_proof_that_nothing_was():
    """Whoever branches on the delivery may not be told that all is safe to send again, when everybody was texted."""

    def failing():
        yield from fake_numbers(4)
        raise OSError

    report = await make_report(contacts=failing())
    assert report.counts[Status.SENT] == report.total == 4
    with pytest.raises(PartialFailureError, match=r"4 rows.* twice") as caught:
        report.raise_for_failures()
    assert caught.value.delivery is Delivery.UNKNOWN
    assert caught.value.__cause__ is report.stopped_by


async def test_a_run_that_was_stopped_before_anything_was_read_sent_nothing():
    """No row, no text."""
    report = evolve(await make_report(contacts=[]), cancelled=True)
    with pytest.raises(PartialFailureError, match=r"0 rows.*Nothing was sent") as caught:
        report.raise_for_failures()
    assert caught.value.delivery is Delivery.NOT_SENT


async def test_half_a_character_is_written_as_it_is_known(tmp_path):
    """What stood in an invalid row may be anything; the table of a send may not fail for it."""
    report = await make_report(contacts=["x\ud800", *fake_numbers(1)])
    report.write_csv(tmp_path / "report.csv")
    assert "x\\ud800" in (tmp_path / "report.csv").read_text("utf-8")


async def test_the_cause_of_a_failure_is_what_stopped_the_run():
    """`raise … from report.stopped_by`."""
    report = await make_report(["ok", "402"])
    with pytest.raises(PartialFailureError) as caught:
        report.raise_for_failures()
    assert isinstance(caught.value.__cause__, InsufficientCreditsError)
    assert pickle.loads(pickle.dumps(report)).counts == report.counts


async def test_to_dict_is_json_and_names_every_status():
    """Plain values only."""
    report = await make_report(["ok", "402"])
    data = json.loads(json.dumps(report.to_dict()))
    assert set(data["counts"]) == {status.value for status in Status}
    assert data["stopped_by"]["error"] == "InsufficientCreditsError"
    assert data["stopped_by"]["delivery"] == "rejected"
    assert [campaign["status"] for campaign in data["campaigns"]] == ["accepted", "rejected"]
    assert data["summary"] == {"sent": 2, "failed": 0}


async def test_csv_has_every_row_and_no_cell_that_a_spreadsheet_would_run(tmp_path):
    """Formulas in the input come out as text."""
    numbers = fake_numbers(2)
    evil = ["=1+1", "@SUM(A1)", "+HYPERLINK(1)", "-2", "\tx", "a,b\nc"]
    report = await make_report(contacts=[*numbers, *evil])
    path = tmp_path / "report.csv"
    report.write_csv(path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["phone_number"] for row in rows[:2]] == numbers
    assert [row["status"] for row in rows] == ["sent"] * 2 + ["invalid"] * 6
    assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for row in rows for cell in row.values())
    assert [int(row["index"]) for row in rows] == list(range(8))


async def test_a_report_that_cannot_be_written_leaves_what_was_there(tmp_path, monkeypatch):
    """A full disk in the middle of writing does not cost the report of yesterday, and leaves nothing lying about."""
    report = await make_report()
    path = tmp_path / "report.csv"
    path.write_text("yesterday")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(report), "_write_rows", full)
    with pytest.raises(OSError, match="No space"):
        report.write_csv(path)
    assert [file.name for file in tmp_path.iterdir()] == ["report.csv"]
    assert path.read_text() == "yesterday"


async def test_outcomes_of_a_file_know_their_line(tmp_path):
    """A person looks for the line of the file, not for an index; stream and report agree on it."""
    path = tmp_path / "people.csv"
    path.write_text("name,phone\nA,0770 000 001\n\nB,12\nC,0770 000 003\n")
    async with raw_server(answer_all) as raw, SmsPop(token="1|fake-token", base_url=raw.base_url) as sms:
        async with sms.stream(path, message="Hello!", sender_id="DEMO") as batch:
            streamed = [outcome async for outcome in batch]
    assert [(o.line, o.status.value) for o in batch.report.outcomes()] == [
        (2, "sent"),
        (4, "invalid"),
        (5, "sent"),
    ]
    assert sorted(streamed, key=lambda outcome: outcome.index) == list(batch.report.outcomes())


async def test_a_disagreement_between_summary_and_rows_is_reported():
    """The API's summary is cross-checked against its rows."""

    async def lying(peer, request):
        await peer.json(
            200,
            '{"success": true, "summary": {"sent": "2", "failed": 0}, "contacts": '
            '[{"phone_number": "263770000001", "status": "sent"},'
            ' {"phone_number": "263770000002", "status": "failed"}]}',
        )

    async with raw_server(lying) as raw, SmsPop(token="1|fake-token", base_url=raw.base_url) as sms:
        report = await sms.send(fake_numbers(2), message="Hello!", sender_id="DEMO")
    (words,) = report.discrepancies
    assert report.campaigns[0].name in words
    assert "2 sent, 0 failed" in words
    assert "1 sent, 1 failed" in words
