"""The API as a client meets it: every documented answer, letter by letter, and the assumed ones."""

import json
import re

import phonenumbers
import pytest

from smspop_async.sandbox import MAGIC, Sandbox

pytestmark = pytest.mark.anyio

ONE = "263770000001"
TWO = "263770000002"


async def test_success_has_the_documents_form(caller, sandbox):
    """A good campaign is answered with the keys of the document's sample, in its order, and its words."""
    answer = await caller.post(name="Test Campaign Manual", message="Test sms2", sender_id="SMSPoe")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body == (
        b'{"success":true,"message":"Successfully imported 2 contacts and SMS sending completed.",'
        b'"campaign":{"name":"Test Campaign Manual","message":"Test sms2","sender_id":"SMSPoe",'
        b'"status":"approved"},"summary":{"sent":2,"failed":0},"contacts":['
        b'{"phone_number":"263770000001","status":"sent"},{"phone_number":"263770000002","status":"sent"}]}'
    )
    assert [message.to for message in sandbox.messages()] == [ONE, TWO]


async def test_json_is_laid_out_as_php_does(caller):
    """What is not ASCII is escaped and a slash has its backslash, as from PHP's json_encode."""
    answer = await caller.post(message="Café a/b")
    assert b'"message":"Caf\\u00e9 a\\/b"' in answer.body
    assert answer.json["campaign"]["message"] == "Café a/b"


@pytest.mark.parametrize("token", ["1|wrong", None, "é"])
async def test_401(caller, sandbox, token):
    """Without a valid token nothing is done, whatever the method."""
    for method in ("POST", "GET"):
        answer = await caller.call(method, "/api/campaigns", token=token, json={})
        assert (answer.status, answer.json) == (401, {"success": False, "message": "Unauthenticated."})
    assert not sandbox.messages()


async def test_401_for_another_scheme(caller, sandbox):
    """The right secret under another scheme than Bearer is no token."""
    headers = {"Authorization": f"Basic {sandbox.token}"}
    assert (await caller.call("GET", "/api/campaigns", headers=headers)).status == 401


async def test_402(caller, sandbox):
    """Credits that do not cover every recipient send nothing at all, and cost nothing."""
    sandbox.credits = 1
    answer = await caller.post()
    assert answer.status == 402
    assert answer.body == (
        b'{"success":false,"message":"Insufficient credits. Please purchase more SMS credits"}'
    )
    assert (sandbox.credits, sandbox.messages(), sandbox.campaigns) == (1, [], [])


async def test_422_invalid_sender(caller, sandbox):
    """A sender ID that is not the account's is refused in the document's words, and case matters."""
    for sender in ("NOBODY", "brand1"):
        answer = await caller.post(sender_id=sender)
        assert answer.status == 422
        assert answer.body == b'{"success":false,"message":"Invalid sender ID"}'
    sandbox.add_sender("NOBODY")
    assert (await caller.post(sender_id="NOBODY")).status == 200


async def test_403_inactive(caller, sandbox):
    """An inactive account is refused in the document's words on every endpoint."""
    sandbox.active = False
    for answer in (await caller.post(), await caller.list_campaigns()):
        assert answer.status == 403
        assert answer.body == (
            b'{"success":false,"message":"Your account is inactive. Please contact support."}'
        )
    sandbox.active = True
    assert (await caller.post()).status == 200


@pytest.mark.parametrize(
    ("message", "category"),
    [
        ("Vote for us in the election", "political"),
        ("Play at our CASINO", "gambling"),
        ("xxx tonight", "adult"),
    ],
)
async def test_403_content(caller, sandbox, message, category):
    """Classified content is refused whole, in the document's words, with its category."""
    answer = await caller.post(message=message)
    assert answer.status == 403
    assert answer.json == {
        "success": False,
        "message": f"Campaign rejected: Content classified as {category} is not allowed",
    }
    assert not sandbox.messages()


async def test_innocent_words_are_not_classified(caller):
    """Only whole words are classified: better, devoted, alphabet."""
    assert (await caller.post(message="Better be devoted to the alphabet at our party")).status == 200


async def test_422_has_the_documents_form(caller):
    """A missing field is refused with the document's very bytes."""
    body = {"name": "n", "message": "m", "sender_id": "BRAND1", "manual_contacts": ONE}
    answer = await caller.call("POST", "/api/campaigns", json=body)
    assert answer.status == 422
    assert answer.body == (
        b'{"success":false,"message":"Validation failed","errors":'
        b'{"contact_import_method":["The contact import method field is required."]}}'
    )


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", None, "The name field is required."),
        ("name", " \u200b\t", "The name field is required."),
        ("name", 7, "The name field must be a string."),
        ("name", "n" * 192, "The name field must not be greater than 191 characters."),
        ("message", [], "The message field is required."),
        ("sender_id", {}, "The sender id field is required."),
        ("contact_import_method", "file", "The selected contact import method is invalid."),
        ("manual_contacts", [ONE], "The manual contacts field must be a string."),
        ("manual_contacts", "12345678", "The manual contacts field contains an invalid number."),
        ("manual_contacts", "1" * 16, "The manual contacts field contains an invalid number."),
        ("manual_contacts", f"{ONE},", "The manual contacts field contains an invalid number."),
        ("manual_contacts", f"{ONE},,{TWO}", "The manual contacts field contains an invalid number."),
        ("manual_contacts", f"{ONE} {TWO}", "The manual contacts field contains an invalid number."),
        ("manual_contacts", "26377000000\u0661", "The manual contacts field contains an invalid number."),
        ("manual_contacts", "263770009903", "The manual contacts field contains an invalid number."),
        ("manual_contacts", f"{ONE}, +263770009903", "The manual contacts field contains an invalid number."),
    ],
)
async def test_422_names_the_field(caller, sandbox, field, value, words):
    """What is wrong with one field is said under its name alone, without the value."""
    answer = await caller.post(**{field: value})
    assert (answer.status, answer.json["errors"]) == (422, {field: [words]})
    assert not sandbox.campaigns


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b'{"name": NaN}', "application/json"),
        (rb'{"name": "\ud800"}', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"", "application/json"),
        (json.dumps({"name": "n"}).encode(), "text/plain"),
    ],
)
async def test_an_unreadable_body_counts_as_an_empty_one(caller, body, content_type):
    """What PHP would not read as JSON misses all five fields."""
    answer = await caller.call("POST", "/api/campaigns", data=body, headers={"Content-Type": content_type})
    assert answer.status == 422
    assert set(answer.json["errors"]) == {
        "name",
        "message",
        "sender_id",
        "contact_import_method",
        "manual_contacts",
    }


async def test_strings_are_trimmed(caller, sandbox):
    """White space and zero-width characters around a string are gone before it is used."""
    answer = await caller.post(name="\u200b n\u00a0", message="\n m \ufeff", sender_id=" BRAND1 ")
    assert answer.json["campaign"] == {
        "name": "n",
        "message": "m",
        "sender_id": "BRAND1",
        "status": "approved",
    }
    assert {message.text for message in sandbox.messages()} == {"m"}


async def test_the_longest_name(caller):
    """191 characters are a name, counted after trimming."""
    assert (await caller.post(name=f" {'é' * 191} ")).status == 200


async def test_plus_signs_and_spaces_around_numbers(caller, sandbox):
    """Numbers may have a plus sign and white space around them; they are kept as digits."""
    answer = await caller.post(manual_contacts=f" +{ONE} ,\n{TWO}\t")
    assert [row["phone_number"] for row in answer.json["contacts"]] == [ONE, TWO]
    assert len(sandbox.messages(to=f"+{ONE}")) == 1


async def test_a_repeated_number_is_sent_to_twice(caller, sandbox):
    """Nothing is merged: a number that is there twice is texted, reported and billed twice."""
    before = sandbox.credits
    answer = await caller.post(manual_contacts=f"{ONE},{ONE}")
    assert answer.json["summary"] == {"sent": 2, "failed": 0}
    assert len(answer.json["contacts"]) == len(sandbox.messages(to=ONE)) == before - sandbox.credits == 2


@pytest.mark.parametrize("accept", ["text/html, application/json", "*/*", "", "text/html;q=x"])
async def test_without_json_first_a_validation_failure_is_a_redirect(caller, accept):
    """Laravel tells only those that ask for JSON first; others are sent to an HTML page."""
    answer = await caller.call("POST", "/api/campaigns", json={}, headers={"Accept": accept})
    assert answer.status == 302
    assert answer.headers["Location"] == caller.sandbox.inbox_url
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("accept", ["application/json", "text/html;q=0.5, application/problem+json"])
async def test_with_json_first_a_validation_failure_is_json(caller, accept):
    """The first type is the one of the highest quality."""
    answer = await caller.call("POST", "/api/campaigns", json={}, headers={"Accept": accept})
    assert answer.status == 422


@pytest.mark.parametrize("chunked", [False, True])
async def test_413(caller, sandbox, chunked):
    """A body beyond the limit is refused, not processed and not kept; one at the limit is welcome."""
    body = json.dumps(caller.campaign()).encode()
    async with Sandbox(max_body=len(body), token=sandbox.token) as narrow:
        there = caller.of(narrow)
        answers = []
        for data in (body, body + b" "):
            headers = {"Content-Type": "application/json"}
            data = _pieces(data) if chunked else data  # noqa: PLW2901
            answers.append(await there.call("POST", "/api/campaigns", data=data, headers=headers))
        assert [answer.status for answer in answers] == [200, 413]
        assert answers[1].json["success"] is False
        assert [request.body for request in narrow.requests] == [body, b""]
        assert len(narrow.campaigns) == 1


async def _pieces(data):
    for start in range(0, len(data), 50):
        yield data[start : start + 50]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_405(caller, method):
    """The endpoint has two methods, and says which."""
    answer = await caller.call(method, "/api/campaigns")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST")
    assert answer.json["success"] is False


@pytest.mark.parametrize("path", ["/api/", "/api/campaigns/1", "/api/campaign", "/nowhere", "/_sandbox/x"])
async def test_404(caller, path):
    """There is nothing else, and that is said in JSON."""
    answer = await caller.call("GET", path)
    assert (answer.status, answer.json) == (404, {"success": False, "message": "Not found."})


# --- magic recipients ---


async def test_magic_recipients(caller, sandbox):
    """Each magic recipient meets its fate, and the summary tells the truth about it."""
    numbers = f"{ONE},263770009901,263770009902,263770009904,263770009905"
    before = sandbox.credits
    answer = await caller.post(manual_contacts=numbers)
    assert answer.json["contacts"] == [
        {"phone_number": ONE, "status": "sent"},
        {"phone_number": "263770009901", "status": "failed"},
        {"phone_number": "263770009902", "status": "queued"},
        {"phone_number": "+263 77 000 9905", "status": "sent"},
    ]
    assert answer.json["summary"] == {"sent": 4, "failed": 1}
    assert [message.status for message in sandbox.messages()] == ["sent", "failed", "queued", "sent", "sent"]
    assert before - sandbox.credits == 4


async def test_a_magic_number_inside_another_is_not_magic(caller):
    """Only a whole number is magic."""
    answer = await caller.post(manual_contacts="12263770009903,2637700099011")
    assert answer.json["summary"] == {"sent": 2, "failed": 0}


async def test_without_magic(caller):
    """A load test may use every number."""
    async with Sandbox(magic=False) as sandbox:
        answer = await caller.of(sandbox).post(manual_contacts=",".join(MAGIC))
        assert answer.json["summary"] == {"sent": 5, "failed": 0}
        assert [row["phone_number"] for row in answer.json["contacts"]] == list(MAGIC)


def test_magic_numbers_are_valid():
    """A client's own validation lets every magic number through."""
    for number in MAGIC:
        parsed = phonenumbers.parse(f"+{number}")
        assert phonenumbers.is_valid_number(parsed)
        assert phonenumbers.region_code_for_number(parsed) == "ZW"


# --- the list ---


async def test_the_list_is_a_laravel_page(caller):
    """An empty list and a full row have the fields of Laravel's length-aware paginator."""
    empty = (await caller.list_campaigns()).json
    assert (empty["data"], empty["total"], empty["from"], empty["to"]) == ([], 0, None, None)
    assert (empty["current_page"], empty["last_page"], empty["next_page_url"]) == (1, 1, None)
    await caller.post()
    page = (await caller.list_campaigns()).json
    (row,) = page["data"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", row.pop("created_at"))
    assert row == {
        "id": 1,
        "name": "Welcome Campaign",
        "message": "Hello, welcome to our service!",
        "sender_id": "BRAND1",
        "status": "approved",
    }


async def test_the_pages_hold_every_campaign_once_newest_first(caller):
    """Following next_page_url from the first page meets every campaign exactly once."""
    for number in range(7):
        await caller.post(name=f"c{number}")
    url, names, links = "/api/campaigns?per_page=3", [], []
    while url:
        page = (await caller.call("GET", url)).json
        names += [row["name"] for row in page["data"]]
        links.append([link["label"] for link in page["links"]])
        url = (page["next_page_url"] or "").removeprefix(caller.sandbox.inbox_url.rstrip("/"))
    assert names == [f"c{number}" for number in range(6, -1, -1)]
    assert links == [["&laquo; Previous", "1", "2", "3", "Next &raquo;"]] * 3
    assert (page["from"], page["to"], page["current_page"], page["prev_page_url"][-6:]) == (7, 7, 3, "page=2")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?page=0&per_page=0", (1, 15)),
        ("?page=x&per_page=-1", (1, 15)),
        ("?page=²", (1, 15)),
        ("?page=2&per_page=1000", (2, 100)),
        ("?page=9999999999", (1, 15)),
    ],
)
async def test_odd_pages(caller, query, expected):
    """What is no page is the first page; a page beyond the last is empty; 100 is the largest page."""
    page = (await caller.list_campaigns(query)).json
    assert (page["current_page"], page["per_page"]) == expected
    assert page["data"] == []


async def test_page_size_is_a_setting(caller, sandbox):
    """The size of a page is the constructor's where the request names none."""
    async with Sandbox(page_size=2, token=sandbox.token) as small:
        page = (await caller.of(small).list_campaigns()).json
        assert page["per_page"] == 2
