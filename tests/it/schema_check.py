"""Validates TOML files against a JSON Schema: one line for each, "PATH: valid" or the first mistake."""

import json
import sys
import tomllib

import jsonschema

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for path in sys.argv[2:]:
    with open(path, "rb") as file:
        # Dates and times are strings in JSON.
        document = json.loads(json.dumps(tomllib.load(file), default=str))
    mistake = jsonschema.exceptions.best_match(validator.iter_errors(document))
    print(f"{path}: valid" if mistake is None else f"{path}: {mistake.json_path}: {mistake.message}".splitlines()[0])
