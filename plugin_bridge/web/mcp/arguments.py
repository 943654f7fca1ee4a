"""The arguments of a tool: their JSON schema from the table of settings, and whether a call keeps to it."""

from collections.abc import Iterable, Mapping
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from plugin_bridge.errors import InvalidRequest
from plugin_bridge.settings import BY_NAME
from plugin_bridge.web.endpoints import FILE, Parameter

KINDS = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object with names and values",
}
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "enum")  # of a value that has the right type
PATH = "The path of a clip in the library, or of an audio file in a folder that the daemon may read."


def schema(parameters: Iterable[Parameter]) -> dict[str, Any]:
    """The JSON schema of the arguments of a tool."""
    listed = tuple(parameters)
    return {
        "type": "object",
        "properties": {one.name: _property(one) for one in listed},
        "required": [one.name for one in listed if one.required],
        "additionalProperties": False,
    }


def _property(one: Parameter) -> dict[str, Any]:
    found, told = dict(one.schema), one.help
    setting = BY_NAME.get(one.name)
    if found == FILE:
        found, told = {"type": "string"}, f"{told} {PATH}"
    elif setting is not None and setting.none is not None and one.default is not None:
        found = {"anyOf": [found, {"const": setting.none}]}  # leaving it out would not say none
        told = f"{told} {setting.none:g} says off."
    if one.default not in (None, "", [], {}, ()):
        found["default"] = one.default
    return {"title": one.title, "description": told, **found}


def check(schema: Mapping[str, Any], values: Mapping[str, Any], bounds: bool = True) -> None:
    """Raises InvalidRequest for the first argument that is unknown, missing or no such value.

    Without `bounds`, only types are checked: the daemon has its own words for what is too high or unknown.
    """
    known = schema["properties"]
    for name in values:
        if name not in known:
            raise InvalidRequest(f"there is no argument {name!r:.60}: expected some of {', '.join(known)}")
    for name in schema["required"]:
        if name not in values:
            raise InvalidRequest(f"{name} is missing: expected {_expected(known[name])}")
    for error in Draft202012Validator(schema).iter_errors(values):
        if bounds or not _is_bound(error):
            where = ".".join(map(str, error.absolute_path))
            raise InvalidRequest(f"{where} is {error.instance!r:.60}: expected {_expected(error.schema)}")


def _is_bound(error: ValidationError) -> bool:
    """Whether the value has the right type, and is only too high, too low or an unknown word."""
    return error.validator in BOUNDS or any(_is_bound(one) for one in error.context)


def _expected(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(str(one) for one in schema["enum"] if one != "")
    if "anyOf" in schema:
        return " or ".join(_expected(one) for one in schema["anyOf"])
    if "const" in schema:
        return f"{schema['const']!r}"
    kind = KINDS.get(schema.get("type", ""), "another value")
    if "minItems" in schema:
        kind += f" of {schema['minItems']}"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{kind}, {low:.12g} to {high:.12g}"
    if low is not None or "exclusiveMinimum" in schema:
        least = f"at least {low:.12g}" if low is not None else f"more than {schema['exclusiveMinimum']:g}"
        return f"{kind}, {least}" + (f", at most {high:.12g}" if high is not None else "")
    return kind
