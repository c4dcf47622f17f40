"""``smspop sandbox``: a server in the foreground."""

import os
import signal
import threading
from pathlib import Path

import pytest

from smspop_async.cli import sandbox as command


@pytest.fixture
def ends_itself(monkeypatch):
    """The sandbox is interrupted as soon as it has said hello."""
    welcome = command._welcome

    def greet_and_interrupt(*arguments):
        welcome(*arguments)
        threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGTERM)).start()

    monkeypatch.setattr(command, "_welcome", greet_and_interrupt)


def test_it_says_where_it_is_and_ends_with_0(smspop, ends_itself):
    """Ctrl-C is how it is meant to end; the lines to paste are whole."""
    ran = smspop("sandbox", "--port", 0)
    assert ran.code == 0, ran
    lines = ran.out.splitlines()
    [url] = [line for line in lines if line.startswith("export SMSPOP_BASE_URL=http://127.0.0.1:")]
    assert url.endswith("/api")
    [token] = [line for line in lines if line.startswith("export SMSPOP_TOKEN='1|")]
    assert len(token) == len("export SMSPOP_TOKEN=''") + 42
    assert "It texts nobody" in ran.out


def test_its_token_may_be_set(smspop, ends_itself, monkeypatch):
    monkeypatch.setenv("SMSPOP_SANDBOX_TOKEN", "1|fake-token")
    assert "export SMSPOP_TOKEN='1|fake-token'" in smspop("sandbox", "--port", 0).out


@pytest.mark.parametrize("token", ["a b", "", " ", "it's"])
def test_what_cannot_be_its_token_is_told_with_the_variable_it_stands_in(smspop, monkeypatch, token):
    """1: nobody gets the token of a sandbox from the vendor's dashboard. It is not shown."""
    monkeypatch.setenv("SMSPOP_SANDBOX_TOKEN", token)
    ran = smspop("sandbox", "--port", 0)
    assert (ran.code, ran.out) == (1, ""), ran
    assert ran.err.startswith("smspop: SMSPOP_SANDBOX_TOKEN ")
    assert "SMSPOP_TOKEN" not in ran.err
    assert "API Tokens" not in ran.err
    assert "unset SMSPOP_SANDBOX_TOKEN" in ran.err
    assert token.strip() not in ran.err or not token.strip()


def test_its_state_may_be_kept(smspop, ends_itself):
    ran = smspop(
        "sandbox", "--port", 0, "--db", "sms.db", "--credits", 5, "--sender", "ONE", "--sender", "TWO"
    )
    assert ran.code == 0, ran
    assert "its state is in sms.db" in ran.err
    assert Path("sms.db").exists()


@pytest.mark.parametrize(
    ("words", "code"), [(("--port", "70000"), 2), (("--credits", "-1"), 2), (("--latency", "x"), 2)]
)
def test_wrong_usage(smspop, words, code):
    assert smspop("sandbox", *words).code == code


def test_a_port_that_is_taken_is_1(smspop, sandbox):
    port = sandbox.api_url.split(":")[2].split("/")[0]
    ran = smspop("sandbox", "--port", port)
    assert ran.code == 1, ran
    assert f"cannot listen on port {port}" in ran.err
