"""The OpenAPI document, made of the table of routes."""

from typing import TYPE_CHECKING

from earwitness import __version__
from earwitness.rest.parameters import Schema
from earwitness.rest.schemas import SCHEMAS
from earwitness.rest.tools import Call, Document, Tools

if TYPE_CHECKING:
    from earwitness.rest.routes import Route

DESCRIPTION = (
    "Results in full, events, and searches with recordings. Send a bearer token (`earwitness keys token`), or sign "
    "with AWS Signature Version 4 and an access key, for the service `earwitness` or `chime`. The account is the "
    "key's; the Region is that of the signature, or with a token the query parameter `region`."
)


async def tell_openapi(tools: Tools, call: Call) -> Document:  # noqa: ARG001  # a handler's signature
    """The document."""
    return openapi()


def openapi() -> Document:
    """The document of all routes."""
    from earwitness.rest.routes import PREFIX, ROUTES  # the table names `tell_openapi`

    paths: dict[str, Document] = {}
    for route in ROUTES:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "earwitness", "version": __version__, "description": DESCRIPTION},
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": _SECURITY},
        "security": [{"bearerToken": []}, {"signature": []}],
    }


_SECURITY: Document = {
    "bearerToken": {"type": "http", "scheme": "bearer"},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "AWS Signature Version 4, service `earwitness` or `chime`.",
    },
}


def _operation(route: "Route") -> Document:
    roles = "anybody" if route.is_public else ", ".join(sorted(route.roles))
    operation: Document = {
        "operationId": route.operation,
        "summary": route.summary,
        "description": f"For {roles}.",
        "parameters": [parameter.document for parameter in route.parameters],
        "responses": {"200": _response("The answer.", route.answer), "default": _response("An error.", "Error")},
    }
    if route.is_public:
        operation["security"] = []
    if route.takes_recording:
        operation["requestBody"] = _RECORDING
    return operation


_RECORDING: Document = {
    "required": True,
    "description": "An audio file: WAV, FLAC, MP3, OGG, GSM in WAV, Matroska of PCM or G.711; more with the extra "
    "`formats`.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


def _response(description: str, name: str) -> Schema:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}
