"""The card of the library: what is public, that it is there, and that it says what it is."""

import ast
import enum
import importlib
import inspect
from pathlib import Path

import pytest

import smspop_async
from smspop_async import SmsPopError

CARD = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AccountInactiveError",
    "AuthenticationError",
    "Batch",
    "Campaign",
    "CampaignOutcome",
    "CampaignResult",
    "ConfigurationError",
    "ContactOutcome",
    "ContactResult",
    "ContactSourceError",
    "ContentRejectedError",
    "Delivery",
    "InsufficientCreditsError",
    "InvalidSenderError",
    "JournalError",
    "OutcomeUnknownError",
    "PartialFailureError",
    "PermissionDeniedError",
    "PlaintextTokenWarning",
    "Plan",
    "Progress",
    "RateLimit",
    "RateLimitError",
    "ReconcilePolicy",
    "Report",
    "RetryPolicy",
    "SendRecord",
    "ServerError",
    "SmsPop",
    "SmsPopError",
    "SmsPopPortal",
    "SqliteJournal",
    "Status",
    "Summary",
    "Timeouts",
    "UnreadableResponseError",
    "ValidationError",
    "list_sends",
    "plan_campaign",
    "read_report",
    "run",
]
"""Every public name. To take one away is to break somebody's program, so it is written down twice."""
STATUSES = [
    "sent",
    "failed",
    "accepted",
    "unknown",
    "rejected",
    "not_submitted",
    "invalid",
    "duplicate",
    "suppressed",
]
FAMILY = {
    "SmsPopError": [
        "APIConnectionError",
        "APIStatusError",
        "ConfigurationError",
        "ContactSourceError",
        "JournalError",
        "OutcomeUnknownError",
        "PartialFailureError",
        "UnreadableResponseError",
    ],
    "APIConnectionError": ["APITimeoutError"],
    "APIStatusError": [
        "AuthenticationError",
        "InsufficientCreditsError",
        "PermissionDeniedError",
        "RateLimitError",
        "ServerError",
        "ValidationError",
    ],
    "PermissionDeniedError": ["AccountInactiveError", "ContentRejectedError"],
    "ValidationError": ["InvalidSenderError"],
}


def declared_for_type_checkers() -> dict[str, str]:
    """The names in the ``if TYPE_CHECKING`` block of the package, and the module of each."""
    source = Path(smspop_async.__file__).read_text(encoding="utf-8")
    block = next(node for node in ast.parse(source).body if isinstance(node, ast.If))
    names: dict[str, str] = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, "`import X as X` is what makes a name public to type checkers"
            names[alias.name] = str(node.module)
    return names


def test_all_is_the_card() -> None:
    """``__all__`` has every public name and no other, sorted."""
    assert smspop_async.__all__ == sorted(CARD)


def test_type_checkers_see_what_is_loaded() -> None:
    """The lazy table and the block for type checkers name the same things in the same modules."""
    homes = {name: f"smspop_async.{home}" for home, names in smspop_async._HOMES.items() for name in names}
    assert declared_for_type_checkers() == homes
    for home, names in smspop_async._HOMES.items():
        assert list(names) == sorted(names), home


def test_dir_lists_the_public_names() -> None:
    """Completion in a shell shows names that are not loaded yet."""
    assert set(CARD) <= set(dir(smspop_async))


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name that does not exist fails as in any module, naming the module."""
    with pytest.raises(AttributeError, match="resume_everything"):
        _ = smspop_async.resume_everything  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", CARD)
def test_a_public_name_is_where_it_says_and_is_documented(name: str) -> None:
    """Each name imports, is the same object as in its home, and has a docstring of its own."""
    value = getattr(smspop_async, name)
    home = importlib.import_module(declared_for_type_checkers()[name])
    assert value is getattr(home, name)
    assert value.__name__ == name
    assert vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__, name


@pytest.mark.parametrize("name", [name for name in CARD if name[0].isupper()])
def test_public_methods_are_documented(name: str) -> None:
    """So has every public method and property of a public class."""
    cls = getattr(smspop_async, name)
    ours = (base for base in cls.__mro__ if base.__module__.startswith("smspop_async"))
    bare = [
        attribute
        for base in ours
        for attribute, value in vars(base).items()
        if not attribute.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod))
        and not inspect.getdoc(value)
    ]
    assert not bare


@pytest.mark.parametrize("name", [name for name in CARD if name not in FAMILY["SmsPopError"]])
def test_values_take_keywords_only(name: str) -> None:
    """The values of the library cannot be built by position, so a field can be added without breaking anyone."""
    cls = getattr(smspop_async, name)
    if not hasattr(cls, "__attrs_attrs__"):
        assert (
            isinstance(cls, enum.EnumType)
            or not inspect.isclass(cls)
            or issubclass(cls, BaseException)
            or name
            in (
                "Batch",
                "SmsPop",
                "SmsPopPortal",
                "SqliteJournal",
            )
        )
        return
    assert all(attribute.kw_only for attribute in cls.__attrs_attrs__)
    assert not hasattr(cls, "__dict__") or "__dict__" not in cls.__dict__, "slotted"


def test_the_tree_of_errors() -> None:
    """The errors form the documented tree under `SmsPopError`."""
    tree = {
        parent: sorted(
            child.__name__
            for child in getattr(smspop_async, parent).__subclasses__()
            if child.__module__ == SmsPopError.__module__
        )
        for parent in FAMILY
    }
    assert tree == FAMILY


def test_the_words_of_a_status() -> None:
    """The values are the lower-case words, in the order of the card; they end up in people's files."""
    assert list(smspop_async.Status) == STATUSES
    assert list(smspop_async.Delivery) == ["not_sent", "rejected", "unknown"]
