"""A small service model with what the five real ones lack: lists and maps in queries, payloads, recursion."""

from typing import Any

from earwitness.wire.service_models import ServiceModel, build_service

SHAPES: dict[str, Any] = {
    "Text": {"type": "string"},
    "Name": {"type": "string", "min": 2, "max": 5, "pattern": "^[a-z]+"},
    "Colour": {"type": "string", "enum": ["red", "green"]},
    "Whole": {"type": "integer", "min": 1, "max": 5},
    "Big": {"type": "long"},
    "Ratio": {"type": "double", "min": 0, "max": 1},
    "Flag": {"type": "boolean"},
    "Moment": {"type": "timestamp"},
    "IsoMoment": {"type": "timestamp", "timestampFormat": "iso8601"},
    "Bytes": {"type": "blob", "min": 1, "max": 4},
    "Stream": {"type": "blob", "streaming": True},
    "Names": {"type": "list", "member": {"shape": "Name"}, "min": 1, "max": 3},
    "Wholes": {"type": "list", "member": {"shape": "Whole"}},
    "Moments": {"type": "list", "member": {"shape": "Moment"}},
    "Texts": {"type": "map", "key": {"shape": "Name"}, "value": {"shape": "Text"}, "max": 2},
    "TextLists": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "TextList"}},
    "TextList": {"type": "list", "member": {"shape": "Text"}},
    "Tree": {
        "type": "structure",
        "required": ["Label"],
        "members": {"Label": {"shape": "Name"}, "Branches": {"shape": "Trees"}},
    },
    "Trees": {"type": "list", "member": {"shape": "Tree"}},
    "PlantInput": {
        "type": "structure",
        "required": ["Id"],
        "members": {
            "Id": {"shape": "Text", "location": "uri", "locationName": "id"},
            "Counts": {"shape": "Wholes", "location": "querystring", "locationName": "count"},
            "Ratio": {"shape": "Ratio", "location": "querystring", "locationName": "ratio"},
            "Flag": {"shape": "Flag", "location": "querystring", "locationName": "flag"},
            "Since": {"shape": "Moment", "location": "header", "locationName": "If-Modified-Since"},
            "Depth": {"shape": "Big", "location": "header", "locationName": "X-Depth"},
            "Notes": {"shape": "Texts", "location": "headers", "locationName": "X-Note-"},
            "Name": {"shape": "Name"},
            "Colour": {"shape": "Colour", "locationName": "color"},
            "Whole": {"shape": "Whole"},
            "Big": {"shape": "Big"},
            "Share": {"shape": "Ratio"},
            "Dry": {"shape": "Flag"},
            "At": {"shape": "Moment"},
            "Bytes": {"shape": "Bytes"},
            "Names": {"shape": "Names"},
            "Texts": {"shape": "Texts"},
            "Tree": {"shape": "Tree"},
        },
    },
    "SearchInput": {"type": "structure", "members": {"All": {"shape": "Texts", "location": "querystring"}}},
    "SearchManyInput": {"type": "structure", "members": {"All": {"shape": "TextLists", "location": "querystring"}}},
    "StoreInput": {"type": "structure", "payload": "Body", "members": {"Body": {"shape": "Bytes"}}},
    "StreamInput": {
        "type": "structure",
        "required": ["Body"],
        "payload": "Body",
        "members": {"Body": {"shape": "Stream"}},
    },
    "GraftInput": {"type": "structure", "payload": "Tree", "members": {"Tree": {"shape": "Tree"}}},
    "PlantOutput": {
        "type": "structure",
        "members": {
            "Status": {"shape": "Whole", "location": "statusCode"},
            "Modified": {"shape": "Moment", "location": "header", "locationName": "Last-Modified"},
            "Dry": {"shape": "Flag", "location": "header", "locationName": "X-Dry"},
            "Notes": {"shape": "Texts", "location": "headers", "locationName": "X-Note-"},
            "Colour": {"shape": "Colour", "locationName": "color"},
            "Ratio": {"shape": "Ratio"},
            "Whole": {"shape": "Whole"},
            "Bytes": {"shape": "Bytes"},
            "At": {"shape": "Moment"},
            "IsoAt": {"shape": "IsoMoment"},
            "Moments": {"shape": "Moments"},
            "Texts": {"shape": "Texts"},
            "Tree": {"shape": "Tree"},
        },
    },
    "GraftOutput": {"type": "structure", "payload": "Tree", "members": {"Tree": {"shape": "Tree"}}},
}


def _operation(name: str, method: str, uri: str, *, output: str | None = None) -> dict[str, Any]:
    entry = {"name": name, "http": {"method": method, "requestUri": uri}, "input": {"shape": f"{name}Input"}}
    return entry | ({"output": {"shape": output}} if output else {})


def example_service() -> ServiceModel:
    operations = [
        _operation("Plant", "POST", "/trees/{id}", output="PlantOutput"),
        _operation("Search", "GET", "/search"),
        _operation("SearchMany", "GET", "/search-many"),
        _operation("Store", "PUT", "/bytes"),
        _operation("Stream", "PUT", "/stream"),
        _operation("Graft", "PUT", "/tree", output="GraftOutput"),
    ]
    model = {
        "metadata": {"endpointPrefix": "example"},
        "operations": {entry["name"]: entry for entry in operations},
        "shapes": SHAPES,
    }
    return build_service("example", model)
