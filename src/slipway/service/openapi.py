"""The OpenAPI document, from the signature: a client sees the fields, their types, ranges and categories."""

from typing import Any

from slipway.service.fields import json_types
from slipway.service.release import Golden, Release, example
from slipway.signature import Input, Signature

JSON, PROBLEM = "application/json", "application/problem+json"
REFUSALS = {
    "400": "The body is not JSON.",
    "408": "The body did not arrive in time.",
    "413": "The body is too large, or has too many rows.",
    "415": "The body is not `application/json`.",
    "422": "A row breaks the data contract; the answer names row, field, what was got and what is allowed.",
    "429": "Too many requests at once; try again after `Retry-After` seconds.",
    "504": "The answer took too long.",
}


def document(signature: Signature, release: Release, golden: Golden) -> dict[str, Any]:
    """Describe the service of one model, as OpenAPI 3.1."""
    one = example(signature, golden)
    record = {
        "type": "object",
        "additionalProperties": False,
        "required": [column.name for column in signature.inputs if not column.nullable],
        "properties": {column.name: _field(column) for column in signature.inputs},
    }
    columns = {
        "type": "object",
        "additionalProperties": False,
        "description": "Lists of equal length.",
        "required": record["required"],
        "properties": {
            column.name: {"type": "array", "minItems": 1, "items": _field(column)} for column in signature.inputs
        },
    }
    limits = release.service.limits
    body = {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "anyOf": [
                        {"$ref": "#/components/schemas/Records"},
                        {"$ref": "#/components/schemas/Record"},
                        _wrapper("records", "Records"),
                        _wrapper("columns", "Columns"),
                    ]
                },
                "examples": {
                    "records": {"value": [one]},
                    "columns": {"value": {"columns": {name: [value] for name, value in one.items()}}},
                },
            }
        },
    }
    refusals = {code: _refusal(text) for code, text in REFUSALS.items()}
    refusals["429"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Predicts {signature.target}",
            "version": release.version,
            "description": (
                f"Model {release.version} of commit {release.commit}. A request may have {limits.rows:,} rows and "
                f"{limits.body_mb:g} MB. Of a key that an object repeats, the last one counts."
            ),
        },
        "paths": {
            "/predict": {
                "post": {
                    "operationId": "predict",
                    "summary": "Predict one row or many",
                    "parameters": [
                        {
                            "name": "X-Request-ID",
                            "in": "header",
                            "description": (
                                "Comes back as `request_id`, if it is of 1 to 128 letters, digits, dots, colons, "
                                "hyphens and underscores; another is made up otherwise."
                            ),
                            "schema": {"type": "string"},
                        }
                    ],
                    "requestBody": body,
                    "responses": {"200": _answered(signature), **refusals},
                }
            },
            "/model": {
                "get": {
                    "operationId": "model",
                    "summary": "Which model answers: version, commit, data, metrics, signature",
                    "responses": {"200": _json("The model.", {"$ref": "#/components/schemas/Model"})},
                }
            },
            **{path: _plain(path, text) for path, text in _PROBES.items()},
        },
        "components": {
            "schemas": {
                "Record": record,
                "Records": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"$ref": "#/components/schemas/Record"},
                },
                "Columns": columns,
                "Problem": _PROBLEM,
                "Model": _MODEL,
            }
        },
    }


_PROBES = {
    "/livez": "Whether the process answers",
    "/readyz": "Whether the model has answered its golden rows correctly",
    "/metrics": "Counters for Prometheus",
}
_PROBLEM = {
    "type": "object",
    "description": "Problem details as of RFC 9457.",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "faults_in_all": {"type": "integer"},
        "faults": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["message"],
                "properties": {
                    "message": {"type": "string"},
                    "row": {"type": "integer", "minimum": 0},
                    "field": {"type": "string"},
                    "got": {"type": "string"},
                    "allowed": {"type": "string"},
                },
            },
        },
    },
}
_MODEL = {
    "type": "object",
    "required": ["version", "commit", "ready", "metrics", "signature"],
    "properties": {
        "version": {"type": "string"},
        "commit": {"type": "string"},
        "ready": {"type": "boolean"},
        "problem": {"type": ["string", "null"]},
        "data": {"type": ["string", "null"]},
        "lock": {"type": ["string", "null"]},
        "metrics": {"type": "object"},
        "signature": {"type": "object"},
    },
}


def _field(column: Input) -> dict[str, Any]:
    names = {bool: "boolean", float: "integer" if column.type == "integer" else "number", str: "string"}
    types = [names[kind] for kind in json_types(column)]
    if column.nullable:
        types.append("null")
    field: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    strict = column.outside == "reject"
    if strict and column.min is not None:
        field["minimum"] = column.min
    if strict and column.max is not None:
        field["maximum"] = column.max
    if column.type == "category" and column.closed and strict and types[0] == "string" and len(types) <= 2:
        field["enum"] = [*column.categories, *([None] if column.nullable else [])]
    elif column.type == "category" and column.categories:
        field["examples"] = list(column.categories[:5])
    if column.type == "datetime":
        field["description"] = f"A date and time {f'of the form {column.format}' if column.format else 'in ISO 8601'}"
    return field


def _wrapper(key: str, schema: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [key],
        "additionalProperties": False,
        "properties": {key: {"$ref": f"#/components/schemas/{schema}"}},
    }


def _answered(signature: Signature) -> dict[str, Any]:
    if signature.task == "regression":
        row: dict[str, Any] = {"prediction": {"type": "number"}}
        if signature.spread is not None and signature.spread.residuals is not None:
            row["interval"] = {
                "type": "array",
                "items": {"type": "number"},
                "minItems": 2,
                "maxItems": 2,
                "description": f"Holds the truth of {signature.spread.coverage:.0%} of rows like those of training.",
            }
    else:
        share = {"type": "number", "minimum": 0, "maximum": 1.0001}  # single precision may round beyond 1
        shares = dict.fromkeys(signature.classes, share)
        row = {
            "prediction": {"type": "string", "enum": list(signature.classes)},
            "probabilities": {"type": "object", "required": list(signature.classes), "properties": shares},
        }
    lists = {name: {"type": "array", "items": kind} for name, kind in row.items()}
    if "probabilities" in lists:
        lists["probabilities"] = {
            "type": "object",
            "properties": {name: {"type": "array", "items": share} for name in signature.classes},
        }
    common = {
        "model_version": {"type": "string"},
        "request_id": {"type": "string"},
        "fallback": {
            "enum": [None, "previous", "prior"],
            "description": "Who answered in the model's place: the release before, or what training knew of no row.",
        },
    }
    rows = {"type": "array", "items": {"type": "object", "required": ["prediction"], "properties": row}}
    answer = {
        "type": "object",
        "required": [*common],
        "properties": {
            **common,
            "predictions": {**rows, "description": "Of records, one for each, in their order."},
            "columns": {"type": "object", "properties": lists, "description": "Of columns."},
        },
    }
    answered = _json("The predictions.", answer)
    answered["headers"] = {
        "X-Request-ID": {"schema": {"type": "string"}},
        "X-Slipway-Fallback": {"schema": {"type": "string"}, "description": "As `fallback`, if there was one."},
    }
    return answered


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _refusal(description: str) -> dict[str, Any]:
    return {"description": description, "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def _plain(path: str, summary: str) -> dict[str, Any]:
    responses: dict[str, Any] = {
        "200": {"description": "Yes.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    }
    if path == "/readyz":
        responses["503"] = {"description": "Not yet, or not with this model file."}
    return {"get": {"operationId": path.strip("/"), "summary": summary, "responses": responses}}
