"""The exception tree: stable reasons, one docstring that draws it."""

from acestep import errors


def test_every_error_has_a_reason_of_its_own() -> None:
    reasons = [cls.reason for cls in errors.all_errors()]
    assert len(reasons) == len(set(reasons))


def test_the_reasons_are_stable() -> None:
    assert {cls.reason for cls in errors.all_errors()} == {
        "internal",
        "invalid_request",
        "unreadable_audio",
        "forbidden_path",
        "unsupported",
        "not_found",
        "already_exists",
        "busy",
        "unauthenticated",
        "out_of_memory",
        "cancelled",
        "interrupted",
        "checkpoint_error",
        "adapter_error",
        "poor_fit",
        "silent_clip",
        "storage_error",
        "unavailable",
    }


def test_the_drawn_tree_names_every_error() -> None:
    assert errors.__doc__ is not None
    missing = [
        cls.__name__
        for cls in errors.all_errors()
        if f"{cls.__name__} " not in errors.__doc__ or cls.reason not in errors.__doc__
    ]
    assert missing == []
