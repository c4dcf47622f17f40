"""The OpenAPI 3.1 description of what the sandbox serves; at ``/_sandbox/openapi.json`` too.

The API's half is the vendor's document as far as that goes; each response says *documented* or *assumed*.
"""

from collections.abc import Iterable
from typing import Any

from smspop_async.sandbox.faults import FaultKind
from smspop_async.sandbox.validation import FIELDS, NAME_LIMIT, TRIMMED

MAX_COUNT = 10_000
"""The largest ``limit`` and ``count`` of the control API."""
MAX_CREDITS = 10**12
"""The largest balance the control API sets."""
MAX_WAIT = 60.0
"""The longest wait of the control API, in seconds."""

_Schema = dict[str, Any]

_TEXT: _Schema = {"type": "string"}
_SOME_TEXT: _Schema = {"type": "string", "minLength": 1}
_COUNT: _Schema = {"type": "integer", "minimum": 0}
_TRUE: _Schema = {"const": True}
_FALSE: _Schema = {"const": False}
# Trimmed white space is escaped one by one: a class of "\s" means different things to different engines.
_NOT_BLANK = "[^" + "".join(f"\\u{ord(character):04x}" for character in TRIMMED) + "]"


def describe(*, url: str, senders: Iterable[str]) -> _Schema:
    """Return the description.

    Args:
        url: Where the sandbox is: scheme, host and port.
        senders: The sender IDs of the account; others are refused.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SMSPop sandbox",
            "version": "1",
            "description": "The campaign API as its document has it, and the sandbox's own controls.",
        },
        "servers": [{"url": url}],
        "paths": {"/api/campaigns": _campaigns(list(senders)), **_control()},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _campaigns(senders: list[str]) -> _Schema:
    refusals = {
        "401": _json("Unauthorized (documented; the words are assumed)", _ref("Refusal")),
        "403": _json("Inactive account, or classified content (documented)", _ref("Refusal")),
        "413": _json("The body is too large (assumed)", _ref("Refusal")),
    }
    created = {
        "200": _json("Sent (documented; the status is assumed)", _ref("Result")),
        "302": {"description": "Invalid, and JSON is not the first type of Accept (assumed)"},
        "402": _json("Insufficient credit; nobody is texted (documented)", _ref("Refusal")),
        "422": _json("Invalid sender ID or validation error (documented)", _ref("Refusal")),
    }
    positive: _Schema = {"type": "integer", "minimum": 1}
    return {
        "post": {
            "operationId": "createCampaign",
            "summary": "Create & Send Campaign",
            "security": [{"token": []}],
            "requestBody": _body(_submission(senders)),
            "responses": created | refusals,
        },
        "get": {
            "operationId": "listCampaigns",
            "summary": "List Campaigns",
            "security": [{"token": []}],
            # Laravel counts what is not a page as the first page, so any text is acceptable (assumed).
            "parameters": [
                _query("page", {"anyOf": [positive, _TEXT]}),
                _query("per_page", {"anyOf": [positive, _TEXT]}),
            ],
            "responses": {"200": _json("A page, newest first (assumed)", _ref("Page"))} | refusals,
        },
    }


def _submission(senders: list[str]) -> _Schema:
    return {
        "type": "object",
        "required": list(FIELDS),
        "properties": {
            "name": {"type": "string", "pattern": _NOT_BLANK, "maxLength": NAME_LIMIT},
            "message": {"type": "string", "pattern": _NOT_BLANK},
            "sender_id": {"type": "string", "enum": senders},
            "contact_import_method": {"type": "string", "enum": ["manual"]},
            "manual_contacts": {
                "type": "string",
                "pattern": r"^\+?[0-9]{9,15}(, ?\+?[0-9]{9,15})*$",
                "examples": ["263771234567, 263772345678"],
            },
        },
    }


def _schemas() -> dict[str, _Schema]:
    campaign = {"name": _TEXT, "message": _TEXT, "sender_id": _TEXT, "status": _TEXT}
    return {
        "Refusal": _object(
            {"success": _FALSE, "message": _SOME_TEXT},
            errors={"type": "object", "additionalProperties": {"type": "array", "items": _TEXT}},
        ),
        "Result": _object(
            {
                "success": _TRUE,
                "message": _SOME_TEXT,
                "campaign": _object(campaign),
                "summary": _object({"sent": _COUNT, "failed": _COUNT}),
                "contacts": {"type": "array", "items": _object({"phone_number": _TEXT, "status": _TEXT})},
            }
        ),
        "Page": _object(
            {
                "current_page": _COUNT,
                "data": {"type": "array", "items": _object({"id": _COUNT, **campaign, "created_at": _TEXT})},
                "last_page": _COUNT,
                "per_page": _COUNT,
                "total": _COUNT,
                "path": _TEXT,
                "first_page_url": _TEXT,
                "last_page_url": _TEXT,
                "next_page_url": {"type": ["string", "null"]},
                "prev_page_url": {"type": ["string", "null"]},
                "from": {"type": ["integer", "null"]},
                "to": {"type": ["integer", "null"]},
                "links": {"type": "array", "items": {"type": "object"}},
            }
        ),
    }


def _control() -> dict[str, _Schema]:
    return {**_looking(), **_steering(), **_account()}


def _looking() -> dict[str, _Schema]:
    """What only reads."""
    limit = _query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_COUNT})
    number = _query("to", {"type": "string", "pattern": "[0-9]"})
    messages: _Schema = {"type": "array", "items": {"type": "object"}}
    return {
        "/_sandbox/health": {"get": _operation("It runs", _object({"status": {"const": "ok"}}))},
        "/_sandbox/openapi.json": {"get": _operation("This description", {"type": "object"})},
        "/_sandbox/messages": {
            "get": _operation(
                "Search the messages",
                _object({"messages": messages, "total": _COUNT}),
                parameters=[number, _query("campaign", _TEXT), limit],
            )
        },
        "/_sandbox/wait": {
            "get": _operation(
                "Wait for messages",
                _object({"messages": messages}),
                parameters=[
                    number,
                    _query("count", {"type": "integer", "minimum": 1, "maximum": MAX_COUNT}),
                    _query("timeout", {"type": "number", "minimum": 0, "maximum": MAX_WAIT}),
                ],
                extra={"404": _json("They did not arrive in time", _ref("Refusal"))},
            )
        },
        "/_sandbox/requests": {
            "get": _operation(
                "The request journal",
                _object({"requests": {"type": "array", "items": {"type": "object"}}}),
                parameters=[limit],
            )
        },
    }


def _steering() -> dict[str, _Schema]:
    """What changes how the sandbox behaves."""
    faults = _object({"faults": {"type": "array", "items": {"type": "object"}}})
    return {
        "/_sandbox/reset": {"post": _operation("Begin again", _object({"success": _TRUE}))},
        "/_sandbox/faults": {
            "get": _operation("The faults that wait", faults),
            "post": _operation("Add a fault", faults, status="201", body=_fault()),
            "delete": _operation("Forget the faults", faults),
        },
    }


def _account() -> dict[str, _Schema]:
    """What changes the account."""
    balance: _Schema = {"type": "integer", "minimum": 0, "maximum": MAX_CREDITS}
    token = {"type": "object", "properties": {"token": _SOME_TEXT}, "additionalProperties": False}
    return {
        "/_sandbox/credits": {
            "get": _operation("The balance", _object({"credits": _COUNT, "statement": {"type": "array"}})),
            "post": _operation(
                "Set the balance",
                _object({"credits": _COUNT}),
                body=_object({"credits": balance}, closed=True),
            ),
        },
        "/_sandbox/account": {
            "post": _operation(
                "Enable or disable the account",
                _object({"active": {"type": "boolean"}}),
                body=_object({"active": {"type": "boolean"}}, closed=True),
            )
        },
        "/_sandbox/tokens": {
            "post": _operation("Make a token", _object({"token": _SOME_TEXT}), status="201"),
            "delete": _operation(
                "Revoke a token, the ready one by default",
                _object({"revoked": {"type": "boolean"}}),
                body=token,
                body_required=False,
            ),
        },
        "/_sandbox/senders": {
            "post": _operation(
                "Add a sender ID",
                _object({"senders": {"type": "array", "items": _TEXT}}),
                status="201",
                body=_object({"sender_id": _SOME_TEXT}, closed=True),
            )
        },
    }


def _fault() -> _Schema:
    status: _Schema = {"type": "integer", "minimum": 200, "maximum": 999}
    common: _Schema = {
        "times": {"type": "integer", "minimum": 1},
        "endpoint": {"enum": ["POST", "GET", None]},
    }
    header: _Schema = {"type": "string", "minLength": 1, "pattern": "^[ -~]*$"}
    saying = {
        "status": status,
        "message": _SOME_TEXT,
        "retry_after": {"anyOf": [{"type": "number"}, header]},
    }
    refusing = {
        "errors": {"type": "object", "additionalProperties": {"type": "array", "items": _TEXT}},
        "category": _SOME_TEXT,
        "location": header,
    }
    plain = sorted(set(FaultKind) - {"status", "redirect", "success_false", "latency", "error_after"})
    shapes: list[tuple[_Schema, _Schema]] = [
        (status, {name: schema for name, schema in saying.items() if name != "status"} | refusing),
        ({"const": "status"}, saying | refusing),
        ({"const": "error_after"}, saying),
        ({"const": "redirect"}, {"status": status, "location": header}),
        ({"const": "success_false"}, {"message": _SOME_TEXT}),
        ({"const": "latency"}, {"seconds": {"type": "number", "minimum": 0, "maximum": 86_400}}),
        ({"enum": plain}, {}),
    ]
    return {
        "oneOf": [
            {
                "type": "object",
                "required": ["kind"],
                "properties": {"kind": kind, **common, **parameters},
                "additionalProperties": False,
            }
            for kind, parameters in shapes
        ]
        # By chance instead of in turn; any kind.
        + [
            {
                "type": "object",
                "required": ["kind", "probability"],
                "properties": {
                    "kind": {"enum": plain},
                    "probability": {"type": "number", "minimum": 0, "maximum": 1},
                    "seed": {"type": "integer"},
                    "endpoint": common["endpoint"],
                },
                "additionalProperties": False,
            }
        ]
    }


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(description: str, schema: _Schema) -> _Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _body(schema: _Schema, *, required: bool = True) -> _Schema:
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def _query(name: str, schema: _Schema) -> _Schema:
    return {"name": name, "in": "query", "schema": schema}


def _object(required: _Schema, *, closed: bool = False, **optional: _Schema) -> _Schema:
    schema: _Schema = {
        "type": "object",
        "required": list(required),
        "properties": {**required, **optional},
    }
    return {**schema, "additionalProperties": False} if closed else schema


def _operation(
    summary: str,
    result: _Schema,
    *,
    status: str = "200",
    parameters: list[_Schema] | None = None,
    body: _Schema | None = None,
    body_required: bool = True,
    extra: _Schema | None = None,
) -> _Schema:
    responses = {
        status: _json("Done", result),
        "400": _json("The request cannot be understood", _ref("Refusal")),
        "403": _json("Not from this machine, or from a page", _ref("Refusal")),
        **(extra or {}),
    }
    operation: _Schema = {"summary": summary, "responses": responses}
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = _body(body, required=body_required)
    return operation
