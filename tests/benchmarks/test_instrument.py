"""What the benchmarks' figures rest on, as far as it can be told without a clock."""

import json
import subprocess
import sys
from itertools import islice, pairwise
from pathlib import Path

import available
import pytest
from cells.server import check
from cells.watch import quantile
from draws import LEAST, MOST, list_schedule, pareto
from harness import Entry, Figure, Results, turned
from hypothesis import given
from hypothesis import strategies as st
from inputs import FAILING, failing, scattered
from peers import PEERS, Tally
from replies import LAYOUTS, Memory, answer, list_in
from scenarios.common import Contender, absent_row, faster
from scenarios.waiting import ideal, seeds_for, with_canary
from tables import Table, Verdict, as_text, at_least, at_most, goals

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

seconds = st.lists(st.integers(1, 50), min_size=1, max_size=40)


def simulated(jobs: list[int], slots: int) -> list[int]:
    """List scheduling told second by second."""
    ends, running, waiting, now = [0] * len(jobs), {}, list(enumerate(jobs)), 0
    while waiting or running:
        for number in [number for number, end in running.items() if end == now]:
            ends[number] = running.pop(number)
        while waiting and len(running) < slots:
            number, job = waiting.pop(0)
            running[number] = now + job
        now += 1
    return ends


class TestDraws:
    @given(seconds, st.integers(1, 8))
    def test_list_schedule_is_what_a_simulation_gives(self, jobs, slots):
        """The ideal time is that of slots which take the next job as soon as they are free."""
        assert list_schedule(jobs, slots) == simulated(jobs, slots)

    @given(seconds, st.integers(1, 8))
    def test_list_schedule_keeps_the_bounds(self, jobs, slots):
        """No schedule ends before the longest job, or before all slots together could have done the work."""
        assert max(list_schedule(jobs, slots)) >= max(*jobs, sum(jobs) / slots)

    def test_one_slot_does_one_job_after_another(self):
        assert list_schedule([3, 1, 2], 1) == [3, 4, 6]

    def test_draws_depend_on_the_seed_alone(self):
        """The same seed gives the same seconds, another seed others, and all lie within the limits."""
        some = list(islice(pareto(7), 1000))
        assert some == list(islice(pareto(7), 1000))
        assert some != list(islice(pareto(8), 1000))
        assert LEAST <= min(some) < max(some) <= MOST

    @given(st.lists(st.integers(1, 50), min_size=2, max_size=40))
    def test_the_canary_costs_no_more_than_its_own_wait(self, delays):
        """Sending the first campaign alone adds its delay at most, and saves nothing."""
        run = {"delays": delays}
        assert max(delays[0], ideal({"delays": delays[1:]})) <= with_canary(run) <= delays[0] + ideal(run)

    def test_seeds_are_passed_over_for_their_draws_alone(self):
        """A seed is passed over where the canary by itself would cost more than a hundredth of the ideal time."""
        taken, passed_over = seeds_for(2_400, 2)
        for seed in (*taken, *passed_over):
            run = {"delays": list(islice(pareto(seed), 1, 2_401))}
            assert (with_canary(run) / ideal(run) < 1.01) is (seed in taken)
        assert sorted([*taken, *passed_over]) == list(range(1, max(taken) + 1))
        assert seeds_for(160, 2) == ([1, 2], [])


class TestInputs:
    def test_contacts_are_scattered_and_distinct(self):
        """No number comes twice, hardly any follows its neighbour, and a later start continues the same list."""
        numbers = list(scattered(5_000))
        assert len(set(numbers)) == 5_000
        assert all(len(number) == 12 and number.isdecimal() for number in numbers)
        assert not any(int(two) - int(one) == 1 for one, two in pairwise(numbers))
        assert list(scattered(1_000, start=4_000)) == numbers[4_000:]

    def test_one_in_a_hundred_fails(self):
        numbers = list(scattered(5_000))
        assert failing(5_000) == sum(number.endswith(FAILING) for number in numbers)
        assert failing(5_000) == 50

    def test_a_file_holds_the_same_contacts(self, tmp_path):
        """The list as CSV is the list."""
        file = tmp_path / "contacts.csv"
        subprocess.run(
            [sys.executable, BENCHMARKS / "inputs.py", file, "50"], check=True, capture_output=True
        )
        assert file.read_text().split() == ["phone_number", *scattered(50)]


def request_for(numbers):
    return json.dumps(
        {"name": "Benchmark", "manual_contacts": ", ".join(numbers), "message": "Hello!"}
    ).encode()


def body_of(wire):
    head, _, body = wire.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    return body


class TestReplies:
    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("count", [1, 2, 300])
    def test_every_layout_says_the_same(self, layout, count):
        """Whatever the layout: each number once with its status, and a summary that counts them."""
        numbers = list(scattered(count, start=30))
        expected = {number: "failed" if number.endswith(FAILING) else "sent" for number in numbers}
        made = answer(", ".join(numbers).encode(), LAYOUTS[layout])
        said = json.loads(body_of(made.wire))
        rows = [(row["phone_number"], row["status"]) for row in said["contacts"]]
        failed = list(expected.values()).count("failed")
        assert sorted(rows) == sorted(expected.items())
        assert said["success"] is True
        assert said["summary"] == {"sent": count - failed, "failed": failed}
        assert (made.contacts, made.failed) == (count, failed)

    @pytest.mark.parametrize(("layout", "separators"), [("documented", (",", ":")), ("spaced", (", ", ": "))])
    def test_even_layouts_are_what_json_writes(self, layout, separators):
        """Rows that are made without looking at them are, byte for byte, those that json writes."""
        numbers = list(scattered(200))
        rows = [
            {"phone_number": number, "status": "failed" if number.endswith(FAILING) else "sent"}
            for number in numbers
        ]
        text, failed = LAYOUTS[layout](", ".join(numbers).encode())
        assert b"[" + text + b"]" == json.dumps(rows, separators=separators).encode()
        assert failed == failing(200)

    def test_only_shuffled_rows_are_in_another_order(self):
        numbers = list(scattered(50))
        for layout, rows in LAYOUTS.items():
            said = json.loads(body_of(answer(", ".join(numbers).encode(), rows).wire))["contacts"]
            in_order = [row["phone_number"] for row in said] == numbers
            assert in_order is (layout != "shuffled")

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_a_remembered_reply_is_the_fresh_one(self, layout):
        """Priming changes how soon a reply is there, and nothing of what it says."""
        body = request_for(scattered(100))
        begin, end = list_in(body)
        memory = Memory()
        memory.keep(layout, answer(body[begin:end], LAYOUTS[layout]))
        found = memory.find(layout, body, begin, end)
        assert found is not None
        assert found.wire == answer(body[begin:end], LAYOUTS[layout]).wire

    def test_another_list_is_not_taken_for_a_remembered_one(self):
        """A list is compared whole: one of the same length that begins alike has no remembered reply."""
        numbers = list(scattered(100))
        body = request_for(numbers)
        begin, end = list_in(body)
        memory = Memory()
        memory.keep("documented", answer(body[begin:end], LAYOUTS["documented"]))
        other = request_for([*numbers[:-1], "263770000001"])
        assert memory.find("documented", other, *list_in(other)) is None
        assert memory.find("spaced", body, begin, end) is None
        memory.forget()
        assert memory.find("documented", body, begin, end) is None

    def test_memory_keeps_within_its_limit(self):
        """What does not fit is not remembered."""
        memory = Memory(limit=1_000)
        memory.keep("documented", answer(", ".join(scattered(100)).encode(), LAYOUTS["documented"]))
        assert memory.size == 0


STATS = {"contacts": 0, "repeated": 0}


class TestCheck:
    def told(self, **changed):
        return Tally(**{"sent": 990, "failed": 10} | changed)

    def test_an_honest_peer_passes(self):
        check(self.told(), 1_000, STATS, {"contacts": 1_000, "repeated": 0})

    @pytest.mark.parametrize("changed", [{"sent": 989}, {"failed": 0, "sent": 1_000}, {"failed": 9}])
    def test_a_peer_that_lost_count_is_refused(self, changed):
        """Whoever does not know what became of each contact has not done the work."""
        with pytest.raises(SystemExit, match="the peer lost count"):
            check(self.told(**changed), 1_000, STATS, {"contacts": 1_000, "repeated": 0})

    @pytest.mark.parametrize("seen", [{"contacts": 500, "repeated": 0}, {"contacts": 1_000, "repeated": 1}])
    def test_what_the_server_did_not_see_once_is_refused(self, seen):
        """A peer that sends less, or one campaign twice, is refused whatever it says."""
        with pytest.raises(SystemExit, match="the server saw"):
            check(self.told(), 1_000, STATS, seen)

    def test_what_was_before_the_run_does_not_count(self):
        check(self.told(), 1_000, {"contacts": 8, "repeated": 3}, {"contacts": 1_008, "repeated": 3})


def entries(count):
    return [Entry(label=str(number), spec={}) for number in range(count)]


class TestRounds:
    @given(st.integers(1, 14), st.integers(1, 12))
    def test_each_round_has_everybody_once(self, count, rounds):
        for number in range(rounds):
            order = [entry.label for entry in turned(entries(count), number, rounds)]
            assert sorted(order) == sorted(entry.label for entry in entries(count))

    def test_nobody_always_comes_first_or_behind_the_same(self):
        """Over nine rounds, each two begin elsewhere, and a neighbour in front changes with the direction."""
        orders = [[entry.label for entry in turned(entries(12), number, 9)] for number in range(9)]
        assert len({order[0] for order in orders}) > 4
        in_front = {order[order.index("5") - 1] for order in orders if order.index("5")}
        assert in_front == {"4", "6"}


def results(**rounds):
    return Results({name: [{"rate": value} for value in values] for name, values in rounds.items()})


class TestFigures:
    def test_ratios_are_taken_within_a_round(self):
        """A machine that is twice as fast in one round changes no ratio."""
        figure = results(one=[10, 20, 30], two=[5, 10, 15]).ratio("one", "two", lambda run: run["rate"])
        assert list(figure.values) == [2, 2, 2]
        assert (figure.median, figure.quartiles) == (2, (2, 2))

    def test_rounds_that_do_not_match_are_no_contest(self):
        with pytest.raises(ValueError, match="shorter"):
            results(one=[1, 2], two=[1]).ratio("one", "two", lambda run: run["rate"])

    def test_one_value_is_its_own_spread(self):
        assert Figure([3.0]).quartiles == (3.0, 3.0)
        assert Figure([1, 2, 3, 4, 5]).quartiles == (2, 4)

    @pytest.mark.parametrize(("reached", "met"), [(2.4, False), (2.5, True), (2.6, True)])
    def test_at_least(self, reached, met):
        assert at_least(1, "fast", Figure([reached]), 2.5).met is met

    @pytest.mark.parametrize(("reached", "met"), [(1.01, True), (1.02, True), (1.03, False)])
    def test_at_most(self, reached, met):
        assert at_most(10, "soon", Figure([reached]), 1.02).met is met

    def test_a_verdict_goes_by_the_median_of_wall_time_and_tells_the_processors(self):
        """Faster means more contacts a second; processor time stands beside and decides nothing."""
        one, other = Contender(peer="sdk", contacts=10), Contender(peer="bare", contacts=10)
        run = {"contacts": 10, "wall": 1.0, "cpu": 1.0}
        measured = Results(
            {one.label: [run | {"wall": wall} for wall in (0.2, 0.5, 4.0)], other.label: [run] * 3}
        )
        verdict = faster(1, "send", measured, one, other, wanted=2)
        assert verdict.met is True
        assert verdict.reached == "2.00 (1.12 - 3.50) x, 1.00 x in CPU time"
        assert faster(1, "send", measured, one, other, wanted=2.1).met is False

    def test_what_cannot_be_told_is_neither_met_nor_missed(self):
        verdict = Verdict(
            number=12, goal="durable", reached="", wanted="<= 10 %", met=None, reason="too soon"
        )
        assert verdict.word == "not measurable yet: too soon"

    def test_goals_are_in_order_and_failures_among_them(self):
        """The last table names every goal by number, and every scenario that came to nothing."""
        tables = [
            Table(title="b", columns=["x"], rows=[["1"]], verdicts=[at_least(9, "nine", Figure([1]), 1)]),
            Table(title="a", columns=["x"], rows=[["1"]], verdicts=[at_least(2, "two", Figure([1]), 2)]),
            Table(title="broken", columns=["x"], rows=[["why"]], failed=True),
        ]
        rows = goals(tables).rows
        assert [row[0] for row in rows] == ["2", "9", ""]
        assert [row[-1] for row in rows] == ["MISSED", "met", "FAILED, see above"]
        assert "FAILED" in as_text(tables)

    @pytest.mark.parametrize(
        ("bars", "share", "at"),
        [
            ([], 0.999, 0),
            ([5], 0.999, 1),
            ([999, 1], 0.999, 1),
            ([998, 1, 0, 1], 0.999, 2),
            ([1, 0, 9], 0.5, 3),
        ],
    )
    def test_quantile_counts_bars_from_the_left(self, bars, share, at):
        assert quantile(bars, share) == at


class TestAvailable:
    def test_a_peer_that_is_not_here_gets_a_row(self, monkeypatch, tmp_path):
        """A missing peer costs its own row, which names the command that installs it, and fails nothing."""
        monkeypatch.setattr(available, "_HERE", tmp_path / "benchmarks")
        monkeypatch.setitem(available.APART, "niquests", tmp_path / "benchmarks" / ".peers" / "niquests")
        absent = available.missing("niquests")
        assert absent is not None
        assert absent_row("niquests", "asyncio", absent, 5) == [
            "niquests",
            "asyncio",
            "not installed here: python -m pip install --target benchmarks/.peers/niquests 'niquests>=3'",
            "",
            "",
        ]
        assert available.version_of("niquests") is None

    def test_a_peer_in_a_folder_of_its_own_is_found_there(self, monkeypatch, tmp_path):
        """Only its own processes get that folder on their path."""
        monkeypatch.setitem(available.APART, "niquests", tmp_path)
        (tmp_path / "niquests").mkdir()
        assert available.missing("niquests") is None
        assert available.first_on_path("niquests") == [str(tmp_path)]
        assert not any(available.first_on_path(peer) for peer in PEERS if peer != "niquests")

    def test_a_package_that_is_nowhere_is_missing(self, monkeypatch):
        monkeypatch.setattr(available, "find_spec", lambda _: None)
        monkeypatch.delitem(sys.modules, "httpx2", raising=False)
        assert available.missing("httpx2") == available.Missing("httpx2")
        assert available.missing("bare") is None

    def test_importing_the_instrument_imports_no_optional_package(self):
        """Scenarios, peers and tables are imported by everybody, so they must do without what may be missing."""
        optional = ("httpx2", "niquests", "pyreqwest", "matplotlib")
        code = f"import sys, scenarios, peers, tables; print([name for name in {optional} if name in sys.modules])"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=BENCHMARKS, check=True, capture_output=True, text=True
        )
        assert done.stdout.strip() == "[]"
