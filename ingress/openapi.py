"""/openapi.json: OpenAPI 3.1, generated from the operations and the types they read and write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Final

import msgspec

from ingress import problems
from ingress.body import BookingRequest
from ingress.operation import RETRY_AFTER, Answer, Operation, Parameter, Schema
from ingress.problems import ProblemType
from ingress.refusal import MEDIA_TYPE, Problem

VERSION: Final = "1.0.0"
_REF: Final = "#/components/schemas/{name}"
_SECURED: Final = (problems.UNAUTHENTICATED, problems.FORBIDDEN, problems.NOT_READY, problems.ERROR)
_NAME_OF_WHERE: Final = (
    {"required": ["provider_id"]},
    {"required": ["clinic_id"]},
)
_EXACTLY_ONE_TIME: Final = ({"required": ["start_at"]}, {"required": ["range"]})


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The whole document."""
    types = {Problem, *(each.body for each in operations if isinstance(each.body, type))}
    types.update(answer.body for each in operations for answer in each.answers if isinstance(answer.body, type))
    _, schemas = msgspec.json.schema_components(sorted(types, key=lambda each: each.__name__), ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Waiting Room",
            "version": VERSION,
            "description": "Bookings that are accepted at once and confirmed at each clinic's own pace.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas | {BookingRequest.__name__: _either(schemas[BookingRequest.__name__])},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key: `wr_<id>_<secret>`."},
                "pass": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-pass",
                    "description": "Of one booking, set by `POST /v1/passes`; `_` and its ref follow the name.",
                },
            },
        },
    }


def _either(schema: dict[str, Any]) -> dict[str, Any]:
    """What types cannot say of a booking request: a place, and exactly one way to give the time."""
    return {**schema, "anyOf": list(_NAME_OF_WHERE), "oneOf": list(_EXACTLY_ONE_TIME)}


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [_parameter(each) for each in operation.parameters],
        "responses": {str(answer.status): _answer(answer) for answer in operation.answers} | _problems(operation),
        "security": [{"key": []}] * operation.secured + [{"pass": []}] * operation.by_pass,
    }
    if operation.body:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {operation.body_media_type: {"schema": _schema(operation.body)}},
        }
    return described


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.required,
        "description": parameter.description,
        "schema": dict(parameter.schema),
    }


def _answer(answer: Answer) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": answer.description,
        "headers": {
            name: {"schema": dict(schema), "required": name in answer.always} for name, schema in answer.headers.items()
        },
    }
    if answer.media_type:
        described["content"] = {answer.media_type: {"schema": _schema(answer.body)}}
    if answer.leads_to:
        described["links"] = {
            name: {"operationId": name, "parameters": {"ref": "$response.body#/booking_ref"}}
            for name in answer.leads_to
        }
    return described


def _schema(body: type | Schema) -> dict[str, Any]:
    return {"$ref": _REF.format(name=body.__name__)} if isinstance(body, type) else dict(body)


def _problems(operation: Operation) -> dict[str, Any]:
    """One answer a status, naming every problem type that has it."""
    kinds: Iterable[ProblemType] = (*operation.problems, *(_SECURED if operation.secured else (problems.ERROR,)))
    by_status = groupby(sorted(kinds, key=lambda kind: kind.status), key=lambda kind: kind.status)
    return {str(status): _problem(status, list(group)) for status, group in by_status}


def _problem(status: int, kinds: list[ProblemType]) -> dict[str, Any]:
    told = "; ".join(f"`{kind.address}`: {kind.title}" for kind in kinds)
    schema = {"allOf": [_schema(Problem)], "properties": {"status": {"const": status}}}
    described: dict[str, Any] = {
        "description": f"{told}.",
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
    if status in (429, 503):
        described["headers"] = {"Retry-After": {"required": True, "schema": dict(RETRY_AFTER)}}
    if status == 401:
        described["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    return described
