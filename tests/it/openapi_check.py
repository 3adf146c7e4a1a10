"""Compares answers that were had with what openapi.json says of them.

Usage: openapi_check.py OPENAPI HAD

Prints `as described: N answers, M events`, or each difference, and then fails. An object may have no member that is not
described, each operation must have been asked with success, and each event must have been seen.
"""

import copy
import json
import sys

from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator

# A reader that is fast enough never sees it.
UNSEEN = {"LaggedEvent"}


def resolved(api, node):
    """The node with everything that it refers to in its place, closed against members that are not described."""

    def walk(node, is_part):
        if isinstance(node, list):
            return [walk(item, False) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            target = api
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target[step.replace("~1", "/").replace("~0", "~")]
            return walk(copy.deepcopy(target), is_part)
        parts = [walk(part, True) for part in node.get("allOf", [])]
        made = {key: walk(value, False) for key, value in node.items() if key != "allOf"}
        if parts:
            made["allOf"] = parts
        is_object = parts or isinstance(node.get("properties"), dict)
        if is_object and not is_part and "additionalProperties" not in node:
            made["unevaluatedProperties"] = False
        return made

    return walk(node, False)


def differences(schema, value):
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    for error in validator.iter_errors(value):
        place = "/".join(str(step) for step in error.absolute_path)
        yield f"{place or 'the whole'}: {error.message[:300]}"
        for inner in error.context[:4]:
            yield f"  {inner.message[:300]}"


def main(api_file, had_file):
    with open(api_file, encoding="utf-8") as file:
        api = json.load(file)
    with open(had_file, encoding="utf-8") as file:
        had = json.load(file)
    complaints = [f"openapi.json: {error.message}" for error in OpenAPIV31SpecValidator(api).iter_errors()]
    succeeded = set()
    for answer in had["answers"]:
        method, path, status = answer["method"], answer["path"], str(answer["status"])
        name = f"{method} {path} {status}"
        response = api["paths"].get(path, {}).get(method, {}).get("responses", {}).get(status)
        if response is None:
            complaints.append(f"{name}: is not described; {str(answer['body'])[:200]}")
            continue
        if status == "200":
            succeeded.add((method, path))
        content = resolved(api, response)["content"]
        kind = answer["type"].split(";")[0]
        if kind not in content:
            complaints.append(f"{name}: {kind} is not described")
            continue
        complaints += [f"{name}: {told}" for told in differences(content[kind]["schema"], answer["body"])]
    seen = set()
    for event in had["events"]:
        schema = event["event"].capitalize() + "Event"
        seen.add(schema)
        told = differences(resolved(api, {"$ref": f"#/components/schemas/{schema}"}), event["data"])
        complaints += [f"event {event['event']}: {difference}" for difference in told]
    operations = {(m, p) for p, methods in api["paths"].items() for m in methods}
    # The stream itself is what the events came by.
    complaints += [f"never asked with success: {m} {p}" for m, p in operations - succeeded - {("get", "/api/v1/events")}]
    kinds = {name for name in api["components"]["schemas"] if name.endswith("Event")}
    complaints += [f"never seen: {name}" for name in kinds - seen - UNSEEN]
    if complaints:
        sys.exit("\n".join(complaints))
    print(f"as described: {len(had['answers'])} answers, {len(had['events'])} events")


main(*sys.argv[1:])
