"""The ledger keeps its books under any sequence of events."""

from datetime import UTC, datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from smspop_async.sandbox.ledger import Ledger
from smspop_async.sandbox.magic import MAGIC
from smspop_async.sandbox.records import FAILED
from smspop_async.sandbox.validation import Submission

NUMBERS = st.sampled_from(
    ["263770000001", "263770000002", "263770009901", "263770009902", "263770009904", "770000001"]
)
MESSAGES = st.text("aé€ç😀", min_size=1, max_size=200)


class Books(RuleBasedStateMachine):
    """Campaigns, balances, resets and reloads in any order."""

    @initialize(credits=st.integers(0, 50))
    def open(self, credits):  # noqa: A002
        self.entries = []
        self.secrets = iter(range(10_000))
        self.ledger = self._ledger(credits)
        self.opening = self.expected = credits
        self.texted = 0

    def _ledger(self, credits, on_change=None):  # noqa: A002
        return Ledger(
            token="1|fake-token",
            senders=["BRAND1"],
            credits=credits,
            clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
            make_secret=lambda: f"fake{next(self.secrets)}",
            on_change=on_change or self.entries.append,
            magic=MAGIC,
        )

    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=6), message=MESSAGES)
    def submit(self, numbers, message):
        before = self.ledger.credits
        campaign = self.ledger.accept(
            Submission(name="n", message=message, sender_id="BRAND1", numbers=",".join(numbers))
        )
        if campaign is None:
            assert self.ledger.credits == before
            return
        assert campaign.contacts == tuple(numbers)
        assert before >= campaign.segments * len(numbers)
        self.texted += len(numbers)
        self.expected -= campaign.credits

    @rule(balance=st.integers(0, 50))
    def set_credits(self, balance):
        self.ledger.set_credits(balance)
        self.expected = balance

    @rule()
    def make_and_revoke_tokens(self):
        token = self.ledger.create_token()
        assert self.ledger.knows_token(token)
        self.ledger.create_token()
        assert self.ledger.revoke_token(token)
        assert not self.ledger.knows_token(token)

    @rule(sender=st.sampled_from(["BRAND2", "BRAND3"]), active=st.booleans())
    def change_the_account(self, sender, active):
        self.ledger.add_sender(sender)
        self.ledger.set_active(active)

    @precondition(lambda self: self.texted)
    @rule()
    def reset(self):
        self.entries.clear()
        self.ledger.reset()
        self.expected, self.texted = self.opening, 0
        assert not self.ledger.campaigns
        assert self.ledger.tokens == {"1|fake-token"}
        assert list(self.ledger.senders) == ["BRAND1"]

    @invariant()
    def the_balance_is_never_negative_and_adds_up(self):
        """Spent credits are the segments of the messages sent, and the statement ends in the balance."""
        assert self.ledger.credits == self.expected >= 0
        last = self.ledger.statement[-1]
        assert last.balance == self.ledger.credits
        assert sum(entry.change for entry in self.ledger.statement) == last.balance
        spent = -sum(entry.change for entry in self.ledger.statement if entry.campaign_id is not None)
        messages = list(self.ledger.messages())
        assert spent == sum(message.segments for message in messages if message.status != FAILED)

    @invariant()
    def no_message_without_its_campaign(self):
        """Messages are those of the campaigns, one per recipient, repetitions counted."""
        messages = list(self.ledger.messages())
        assert len(messages) == self.texted == sum(campaign.total for campaign in self.ledger.campaigns)
        assert [campaign.id for campaign in self.ledger.campaigns] == list(
            range(1, len(self.ledger.campaigns) + 1)
        )
        for number in {message.to for message in messages}:
            mine = [message for message in messages if message.to == number]
            assert list(self.ledger.messages(number)) == mine

    @invariant()
    def counting_is_as_good_as_making_them(self):
        """Whoever waits for messages counts them at each campaign, and gets them once."""
        for to in (None, "263770000001", "263770009901", "77000000"):
            there = len(list(self.ledger.messages(to)))
            assert self.ledger.has_sent(there + 1, to=to) is False
            assert there == 0 or self.ledger.has_sent(there, to=to)

    @invariant()
    def replaying_makes_the_same_ledger(self):
        """What was told on the way is enough to build the state again, and telling it again is not needed."""
        told = []
        copy = self._ledger(self.opening, told.append)
        for entry in self.entries:
            copy.replay(entry)
        assert told == []
        for name in ("campaigns", "tokens", "senders", "active", "credits", "token", "_tokens_made"):
            assert getattr(copy, name) == getattr(self.ledger, name), name


Books.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestBooks = Books.TestCase
