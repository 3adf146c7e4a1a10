"""Prints what the examples for containers say, as JSON; those of ECS pass its model of the API first."""

import json
import pathlib
import sys

import botocore.session
import yaml
from botocore.validate import ParamValidator

examples = pathlib.Path(sys.argv[1])
ecs = botocore.session.get_session().get_service_model("ecs")


def of_ecs(name, operation):
    request = json.loads((examples / name).read_text())
    report = ParamValidator().validate(request, ecs.operation_model(operation).input_shape)
    if report.has_errors():
        sys.exit(f"{name}: {report.generate_report()}")
    return request


print(
    json.dumps(
        {
            "compose": yaml.safe_load((examples / "compose.yaml").read_text()),
            "task_definition": of_ecs("ecs-task-definition.json", "RegisterTaskDefinition"),
            "service": of_ecs("ecs-service.json", "CreateService"),
        }
    )
)
