"""The reference of measurements.json, from its schema."""

import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

SCHEMA = json.loads((resources.files("whs_fast") / "data" / "measurements.schema.json").read_text("utf-8"))


def markdown() -> str:
    """The page of the documents: a table of each top field, with the fields below it by their paths."""
    page = [
        "# measurements.json",
        f"{SCHEMA['description']} Made from the [JSON Schema](measurements.schema.json) that is installed with the "
        "package. Fields in **bold** are always there.",
    ]
    for name, field in SCHEMA["properties"].items():
        page += [f"## {name}", "| field | type | what |\n|---|---|---|"]
        rows = [f"| {path} | {kind} | {text} |" for path, kind, text in _rows(name, field, SCHEMA["required"])]
        page[-1] += "\n" + "\n".join(rows)
    return "\n\n".join(page) + "\n"


def _rows(path: str, field: dict[str, Any], required: list[str], depth: int = 0) -> Iterator[tuple[str, str, str]]:
    """Path, type and meaning of a field and of those below it; what stands in $defs is told where it is used."""
    field = {**_resolved(field), **field}
    name = f"**`{path}`**" if path.rpartition(".")[2] in required else f"`{path}`"
    yield name, _kind(field), field.get("description", field.get("title", "")).replace("|", "\\|")
    for name, below in field.get("properties", {}).items():
        yield from _rows(f"{path}.{name}", below, field.get("required", []), depth + 1)
    for key in ("additionalProperties", "patternProperties"):
        below = field.get(key)
        if isinstance(below, dict) and ("type" in below or "$ref" in below):
            yield from _rows(f"{path}.*", below, [], depth + 1)


def _resolved(field: dict[str, Any]) -> dict[str, Any]:
    if "allOf" in field:  # a common form first, then what is special about one
        return _resolved(field["allOf"][0])
    return SCHEMA["$defs"][field["$ref"].rpartition("/")[2]] if "$ref" in field else field


def _kind(field: dict[str, Any]) -> str:
    """Such as "number", "array of number" or "object or null"."""
    if "const" in field:
        return json.dumps(field["const"])
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    for key in ("oneOf", "anyOf"):
        if key in field:
            return " or ".join(_kind(_resolved(one)) for one in field[key])
    kinds = field.get("type", "any")
    text = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    items = field.get("items")
    return f"{text} of {_kind(_resolved(items))}" if isinstance(items, dict) else text
