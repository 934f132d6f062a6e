"""The OpenAPI document, made of the operations and of the types that they take and give."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from leanseek import __version__
from leanseek.serve.operation import JSON, LINES, Operation
from leanseek.serve.refusals import ErrorRecord

REFERENCE: Final = "#/components/schemas/{name}"
DESCRIPTION: Final = (
    "Search for indexes of leanseek: its own interface, and those that clients of other services speak. Every error "
    "has the same body."
)


def document_of(operations: Sequence[Operation]) -> dict[str, Any]:
    """The document of these operations, OpenAPI 3.1."""
    types = {ErrorRecord: None}
    for operation in operations:
        for one in (operation.takes, *gives_of(operation)):
            if one is not None and one is not str:
                types[one] = None
    found, components = msgspec.json.schema_components(list(types), ref_template=REFERENCE)
    schemas = dict(zip(types, found, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = re.sub(r"\{(\w+):path\}", r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = described(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "leanseek", "version": __version__, "description": DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def gives_of(operation: Operation) -> tuple[Any, ...]:
    """The types of an operation's responses."""
    return operation.gives if isinstance(operation.gives, tuple) else (operation.gives,)


def described(operation: Operation, schemas: dict[Any, Any]) -> dict[str, Any]:
    """One operation."""
    given = [schemas[one] for one in gives_of(operation) if one is not str]
    success: dict[str, Any] = {"description": "Done."}
    if given:
        success["content"] = {JSON: {"schema": given[0] if len(given) == 1 else {"anyOf": given}}}
    else:
        success["content"] = {"text/plain": {"schema": {"type": "string"}}}
    error = {"description": "Refused.", "content": {JSON: {"schema": schemas[ErrorRecord]}}}
    record: dict[str, Any] = {
        "summary": operation.summary,
        "tags": [operation.tag],
        "operationId": identifier(operation),
        "responses": {str(operation.status): success, "default": error},
    }
    if operation.role is not None:
        record["security"] = [{}, {"bearer": []}, {"header": []}]
    listed = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)", operation.path)
    ]
    taken = operation.takes if operation.method == "GET" else operation.also
    if taken is not None:
        listed += parameters_of(taken)
    if listed:
        record["parameters"] = listed
    if operation.method != "GET" and operation.takes is not None:
        required = any(one.required for one in msgspec.structs.fields(operation.takes))
        record["requestBody"] = {
            "required": required,
            "content": {JSON: {"schema": schemas[operation.takes]}},
        }
    if operation.lines:
        objects = {"type": "array", "items": {"type": "object"}, "minItems": 1}
        record["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": objects}, LINES[0]: {"schema": {"type": "string"}}},
        }
    return record


def identifier(operation: Operation) -> str:
    """A name for the operation that a generated client can use."""
    path = operation.path.replace(":path", "")
    return re.sub(r"\W+", "_", f"{operation.method.lower()}{path}").strip("_")


def parameters_of(taken: type) -> list[dict[str, Any]]:
    """The parameters of an address that the fields of a type are."""
    (_,), components = msgspec.json.schema_components([taken])
    schema = components[taken.__name__]
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": without_null(one)}
        for name, one in schema["properties"].items()
    ]


def without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a field in an address, which cannot be null there but left out."""
    if "anyOf" not in schema:
        return schema
    kinds = [one for one in schema["anyOf"] if one.get("type") != "null"]
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
