"""On a real (pseudo) terminal: the question, the bar, the colours."""


def test_the_question_and_the_bar(terminal, sandbox, many):
    """It asks, draws a bar with rate and time left, and leaves the cursor as it was."""
    screen = terminal("send", many, "--message", "Hello!", "--sender", "BRAND1", "--chunk-size", 20)
    screen.read_until("[y/N]")
    assert sandbox.posts == 0
    screen.type("y\n")
    assert screen.end() == 0
    assert "━" in screen.seen
    assert "200/200" in screen.seen
    assert "/s" in screen.seen
    assert screen.seen.rindex("\x1b[?25h") > screen.seen.rindex("\x1b[?25l")
    assert len(sandbox.texts) == 200


def test_no_colour_where_none_is_wanted(terminal, sandbox, clean):
    """NO_COLOR."""
    words = ("send", clean, "--message", "Hello!", "--sender", "BRAND1", "--yes")
    coloured, plain = terminal(*words), terminal(*words, NO_COLOR="1")
    assert (coloured.end(), plain.end()) == (0, 0)
    assert "\x1b[32m" in coloured.seen
    assert "\x1b[32m" not in plain.seen


def test_a_dumb_terminal_gets_lines(terminal, sandbox, clean):
    screen = terminal("send", clean, "--message", "Hello!", "--sender", "BRAND1", "--yes", TERM="dumb")
    assert screen.end() == 0
    assert "3 of 3 contacts (100 %)" in screen.seen
    assert "\x1b[?25l" not in screen.seen


def test_a_list_from_a_pipe_is_asked_about_on_the_terminal(terminal, sandbox):
    """``smspop send -``: the answer comes from the terminal, not from the list."""
    screen = terminal("send", "-", "--message", "Hello!", "--sender", "BRAND1", stdin=b"0770000001\ny\n")
    screen.read_until("[y/N]")
    screen.type("n\n")
    assert screen.end() == 1
    assert sandbox.posts == 0


def test_ctrl_c_at_the_question_sends_nothing(terminal, sandbox, clean):
    """130, typed as a person types it."""
    screen = terminal("send", clean, "--message", "Hello!", "--sender", "BRAND1")
    screen.read_until("[y/N]")
    screen.type("\x03")
    assert screen.end() == 130
    assert "Nothing was sent" in screen.seen
    assert sandbox.posts == 0


def test_what_goes_on_is_one_line_however_narrow_the_terminal(terminal, sandbox, many):
    """The command can be copied: a terminal may wrap it, but nothing breaks it."""
    sandbox.empty_account(0)
    name = f"{'very ' * 20}long.db"
    screen = terminal("send", many, "--message", "Hi", "--sender", "BRAND1", "--yes", "--journal", name)
    assert screen.end() == 4
    assert f"smspop resume '{name}' --base-url {sandbox.api_url}" in screen.seen


def test_resend_unknown_asks_for_a_number(terminal, sandbox, many):
    """Typed on a terminal: first the number of the people at risk, then the question about the others."""
    sandbox.fail_next("reset_before")
    words = (
        "--message",
        "Hi",
        "--sender",
        "BRAND1",
        "--yes",
        "--no-reconcile",
        "--no-canary",
        "--concurrency",
        "1",
    )
    sandbox.empty_account(50)
    screen = terminal("send", many, *words, "--chunk-size", 50, "--journal", "x.db")
    assert screen.end() == 4
    screen = terminal("resume", "x.db", "--resend-unknown")
    screen.read_until("their number (50):")
    screen.type("1\n")
    assert screen.end() == 1
    assert len(sandbox.texts) == 50
    screen = terminal("resume", "x.db")
    screen.read_until("[y/N]")
    screen.type("\x03")
    assert screen.end() == 130
    assert "Nothing was sent" in screen.seen


def test_one_ctrl_d_ends_a_list_that_is_typed(terminal):
    """As it says: Ctrl-D after the last number, once."""
    screen = terminal("check", "-")
    screen.read_until("Ctrl-D after the last.")
    screen.type("0770000001\n0770000002\n\x04")
    assert screen.process.wait(timeout=20) == 0
    assert screen.end() == 0
    assert "2 to text, of 2 rows in standard input" in screen.seen
