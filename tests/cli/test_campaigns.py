"""``smspop campaigns`` against a real sandbox."""

import json
import os
import signal
import threading

import pytest


def send(smspop, path, name):
    assert smspop("send", path, "--message", "Hello!", "--sender", "BRAND1", "-y", "--name", name).code == 0


def test_campaigns_are_listed(smspop, sandbox, clean):
    """Name, sender and status of each; no text and no number."""
    assert smspop("campaigns").out.strip() == "There are no campaigns yet."
    for name in ("First", "Second", "Third"):
        send(smspop, clean, name)
    ran = smspop("campaigns")
    assert ran.code == 0, ran
    assert [word for word in ran.out.split() if word in ("First", "Second", "Third")] == [
        "Third",
        "Second",
        "First",
    ]
    assert "approved" in ran.out
    assert "Hello!" not in ran.out


def test_the_limit_holds_and_json_is_one_object(smspop, sandbox, clean):
    for name in ("First", "Second"):
        send(smspop, clean, name)
    values = json.loads(smspop("campaigns", "--limit", 1, "--json").out)
    assert values["exit_code"] == 0
    assert [campaign["name"].split()[0] for campaign in values["campaigns"]] == ["Second"]
    assert values["campaigns"][0]["message"] == "Hello!"


def test_a_name_cannot_steer_the_terminal(smspop, sandbox, clean, monkeypatch):
    """What comes from the API is shown without control characters."""
    send(smspop, clean, "Plain")
    monkeypatch.setattr("smspop_async.api.models.Campaign.__getattribute__", _evil, raising=False)
    assert "\x1b" not in smspop("campaigns").out


def _evil(self, name):
    value = object.__getattribute__(self, name)
    return f"\x1b[2J{value}" if name == "name" else value


@pytest.mark.parametrize(("token", "code"), [("1|another-fake-token", 4), (None, 1), ("two words", 1)])
def test_a_wrong_token(smspop, sandbox, monkeypatch, token, code):
    """4 where the API refuses it, 1 where there is none to try; it is never shown."""
    if token is None:
        monkeypatch.delenv("SMSPOP_TOKEN")
    else:
        monkeypatch.setenv("SMSPOP_TOKEN", token)
    ran = smspop("campaigns")
    assert ran.code == code, ran
    assert str(token) not in ran.err


def test_no_server_is_1(smspop, sandbox):
    ran = smspop("campaigns", "--base-url", "http://127.0.0.1:1/api", "--json")
    assert ran.code == 1, ran
    assert json.loads(ran.out)["error"]["error"] == "APIConnectionError"


def test_an_interrupt_is_130(smspop, sandbox):
    """Ctrl-C while the API is silent ends the command."""
    sandbox.fail_next("hang_before", endpoint="GET")

    def interrupt():
        sandbox.wait_for_requests(1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    ran = smspop("campaigns")
    thread.join()
    assert (ran.code, ran.err) == (130, "smspop: Interrupted.\n"), ran
