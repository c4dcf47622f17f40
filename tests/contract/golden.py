"""Golden raw bytes: what the vendor's document says travels over the wire, written down by hand.

They are the third reading of the document, beside the client's and the sandbox's, and depend on neither.
"""

SAMPLE = b"""{
  "success": true,
  "message": "Successfully imported 2 contacts and SMS sending completed.",
  "campaign":{"name":"Test Campaign Manual","message":"Test sms2","sender_id":"SMSPoe","status":"approved"}, ,
  "summary": { "sent": 2, "failed": 0 },
  "contacts":[{"phone_number":"263776137000","status":"sent"},{"phone_number":"263776137222","status":"sent"}]},
}"""
"""The document's sample of a reply, verbatim: not JSON (two commas in a row, a brace too many, one at the end)."""

REPAIRED = b"""{
  "success": true,
  "message": "Successfully imported 2 contacts and SMS sending completed.",
  "campaign":{"name":"Test Campaign Manual","message":"Test sms2","sender_id":"SMSPoe","status":"approved"},
  "summary": { "sent": 2, "failed": 0 },
  "contacts":[{"phone_number":"263776137000","status":"sent"},{"phone_number":"263776137222","status":"sent"}]
}"""
"""The same with those three mended."""

REQUEST = (
    b"POST /api/campaigns HTTP/1.1\r\n"
    b"Host: 127.0.0.1:%(port)d\r\n"
    b"Authorization: Bearer 1|fake-token\r\n"
    b"Accept: application/json\r\n"
    b"Accept-Encoding: gzip, deflate\r\n"
    b"User-Agent: %(agent)s\r\n"
    b"Content-Length: 180\r\n"
    b"Content-Type: application/json\r\n"
    b"\r\n"
    b'{"name": "Welcome Campaign", "message": "Hello, welcome to our service!", "sender_id": "BRAND1", '
    b'"contact_import_method": "manual", "manual_contacts": "263771234567, 263772345678"}'
)
"""The document's sample of a request, as it has to leave (its trailing comma is not JSON either)."""

LIST_REQUEST = (
    b"GET /api/campaigns HTTP/1.1\r\n"
    b"Host: 127.0.0.1:%(port)d\r\n"
    b"Authorization: Bearer 1|fake-token\r\n"
    b"Accept: application/json\r\n"
    b"Accept-Encoding: gzip, deflate\r\n"
    b"User-Agent: %(agent)s\r\n"
    b"\r\n"
)


def http(status: bytes, body: bytes, *headers: bytes) -> bytes:
    """A whole reply with `body`."""
    lines = [b"HTTP/1.1 " + status, b"Server: nginx", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def said(status: bytes, body: bytes, *headers: bytes) -> bytes:
    """A whole reply with a JSON `body`."""
    return http(status, body, b"Content-Type: application/json", *headers)


SENT = (
    b'{"success":true,"message":"Successfully imported 2 contacts and SMS sending completed.",'
    b'"campaign":{"name":"Parcels","message":"Your parcel waits.","sender_id":"BRAND1","status":"approved"},'
    b'"summary":{"sent":2,"failed":0},"contacts":[{"phone_number":"263770000001","status":"sent"},'
    b'{"phone_number":"263770000002","status":"sent"}]}'
)
ONE_FAILED = (
    b'{"success":true,"message":"Successfully imported 2 contacts and SMS sending completed.",'
    b'"campaign":{"name":"Parcels","message":"Your parcel waits.","sender_id":"BRAND1","status":"approved"},'
    b'"summary":{"sent":1,"failed":1},"contacts":[{"phone_number":"263770000001","status":"sent"},'
    b'{"phone_number":"263770009901","status":"failed"}]}'
)
REPLIES: dict[str, bytes] = {
    "sent": said(b"200 OK", SENT),
    "one failed": said(b"200 OK", ONE_FAILED),
    "malformed": said(b"200 OK", SAMPLE),
    "html": http(b"200 OK", b"<br />\n<b>Fatal error</b>: x<br />\n", b"Content-Type: text/html"),
    "empty": http(b"200 OK", b""),
    "truncated": said(b"200 OK", SENT)[:-40],
    "reset_after": b"",
    "disconnect_after": b"",
    "disconnect_before": b"",
    "success_false": said(b"200 OK", b'{"success":false,"message":"The campaign could not be created."}'),
    "400": said(b"400 Bad Request", b'{"success":false,"message":"Bad Request"}'),
    "401": said(b"401 Unauthorized", b'{"success":false,"message":"Unauthenticated."}'),
    "402": said(
        b"402 Payment Required",
        b'{"success":false,"message":"Insufficient credits. Please purchase more SMS credits"}',
    ),
    "403 inactive": said(
        b"403 Forbidden", b'{"success":false,"message":"Your account is inactive. Please contact support."}'
    ),
    "403 content": said(
        b"403 Forbidden",
        b'{"success":false,"message":"Campaign rejected: Content classified as political is not allowed"}',
    ),
    "413": said(b"413 Content Too Large", b'{"success":false,"message":"The request body is too large."}'),
    "422 sender": said(b"422 Unprocessable Content", b'{"success":false,"message":"Invalid sender ID"}'),
    "422 field": said(
        b"422 Unprocessable Content",
        b'{"success":false,"message":"Validation failed","errors":'
        b'{"contact_import_method":["The contact import method field is required."]}}',
    ),
    "429": said(
        b"429 Too Many Requests", b'{"success":false,"message":"Too Many Attempts."}', b"Retry-After: 2"
    ),
    "500": said(b"500 Internal Server Error", b'{"success":false,"message":"Server Error"}'),
    "502": http(b"502 Bad Gateway", b"<html>\r\n</html>", b"Content-Type: text/html"),
    "504": http(b"504 Gateway Time-out", b"<html>\r\n</html>", b"Content-Type: text/html"),
    "redirect": http(
        b"301 Moved Permanently", b"<html>\r\n</html>", b"Location: https://127.0.0.1/api/campaigns"
    ),
}
LIST = (
    b'{"success":true,"campaigns":[{"id":1,"name":"Parcels","message":"Your parcel waits.",'
    b'"sender_id":"BRAND1","status":"approved"}]}'
)
