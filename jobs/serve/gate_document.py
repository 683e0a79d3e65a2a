"""The gate's API in the words of OpenAPI."""

from __future__ import annotations

from typing import Any

from dedup import __version__
from dedup.gate.nouns import ANSWERS, DEEDS

_PATH: dict[str, Any] = {
    "path": {"type": "string", "description": "Absolute path."},
    "path_hex": {"type": "string", "description": "The same in hex digits, for one that is not UTF-8."},
}
_WAIT = {"type": "number", "minimum": 0, "maximum": 300, "description": "Seconds to wait for the answer."}
_DECISION: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        **_PATH,
        "asked": {"type": "number", "description": "Seconds since 1970."},
        "answered": {"type": "number"},
        "answer": {"type": "string", "nullable": True, "enum": [*ANSWERS, None]},
        "do": {"type": "string", "enum": [*DEEDS]},
        "why": {"type": "string"},
        "copies": {"type": "array", "items": {"type": "object"}},
        "others": {"type": "array", "items": {"type": "object"}},
        "lost": {"type": "array", "items": {"type": "object"}},
        "lacks": {"type": "array", "items": {"type": "object"}},
    },
}


def _answer(text: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {"content": {"application/json": {"schema": schema}}} if schema else {}
    return {"description": text, **content}


def _body(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


_FILE = {"schema": {"type": "string", "format": "binary"}}
_SENT = {
    "content": {**_body({**_PATH, "wait_s": _WAIT})["content"], "audio/*": _FILE, "application/octet-stream": _FILE}
}
_GIVEN = {"200": _answer("The answer.", _DECISION), "202": _answer("No answer yet.", _DECISION)}

DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Reprise: the gate", "version": __version__},
    "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    "security": [{"token": []}, {}],
    "paths": {
        "/v1/check": {
            "post": {
                "summary": "Ask about a file, by its path or by sending it.",
                "requestBody": _body({**_PATH, "wait_s": _WAIT}) | _SENT,
                "parameters": [
                    {"name": "X-File-Name", "in": "header", "schema": {"type": "string"}},
                    {"name": "wait_s", "in": "query", "schema": _WAIT},
                ],
                "responses": {**_GIVEN, "400": _answer("No path.")},
            }
        },
        "/v1/decisions/{id}": {
            "get": {
                "summary": "The answer to a question, waited for.",
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
                    {"name": "wait_s", "in": "query", "schema": _WAIT},
                ],
                "responses": {**_GIVEN, "404": _answer("There is no such question.")},
            }
        },
        "/v1/queue": {"get": {"summary": "Questions without an answer.", "responses": {"200": _answer("They.")}}},
        "/v1/imported": {
            "post": {
                "summary": "Say that a file is imported, and where it is now.",
                "requestBody": _body({"id": {"type": "integer"}, **_PATH}),
                "responses": {"200": _answer("Taken in."), "404": _answer("There is no such question.")},
            }
        },
        "/v1/hooks/slskd": {
            "post": {"summary": "Ask about what slskd has downloaded.", "responses": {"202": _answer("Queued.")}}
        },
        "/v1/hooks/lidarr": {
            "post": {"summary": "Take in what Lidarr has imported.", "responses": {"202": _answer("Queued.")}}
        },
        "/health": {
            "get": {
                "summary": "Whether it can answer.",
                "responses": {"200": _answer("It can."), "503": _answer("Why not.")},
            }
        },
        "/metrics": {"get": {"summary": "Counts for Prometheus.", "responses": {"200": _answer("Text.")}}},
    },
}
