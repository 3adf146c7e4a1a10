"""Drives the local ECS endpoint through boto3, AWS's own SDK for Python.

Usage: boto3_drive.py URL

The endpoint must have the cluster `batch` and the task definitions `throttled`, `closed`, `failing` and `late`, whose first launch
goes wrong as the name says; everything else is registered here. Each `check` states one thing that ECS would do as well.
"""

import os
import sys
import tempfile
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, HTTPClientError

POLL_SECONDS = 0.02
WAIT_SECONDS = 30
checks = 0


def check(claim, what):
    global checks
    assert claim, what
    checks += 1


def equal(found, expected, what):
    check(found == expected, f"{what}: {found!r} is not {expected!r}")


def refused(code, call, **parameters):
    """The answer to a call that must be refused with this code."""
    try:
        call(**parameters)
    except ClientError as error:
        equal(error.response["Error"]["Code"], code, f"refusal ({error})")
        return error.response
    raise AssertionError(f"the call was not refused with {code}: {parameters}")


def main(url):
    ecs = boto3.client(
        "ecs",
        endpoint_url=url,
        region_name="eu-central-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        # One try, so that every answer is seen; no validation, so that the endpoint has to refuse.
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
    )
    for part in (definitions, running, surface, containers, stopping, tokens, limits, listing, clusters, trouble):
        part(ecs)
    print(f"boto3: {checks} checks passed")


def shell(name, script, **more):
    return {"name": name, "image": "local", "command": ["sh", "-c", script], **more}


def register(ecs, family, *containers):
    ecs.register_task_definition(family=family, containerDefinitions=list(containers))


def describe(ecs, arn, **parameters):
    answer = ecs.describe_tasks(tasks=[arn], **parameters)
    assert not answer["failures"], answer["failures"]
    return answer["tasks"][0]


def until(ecs, arn, wanted):
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        task = describe(ecs, arn)
        if wanted(task):
            return task
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"waited in vain: {task}")


def stopped(ecs, arn):
    return until(ecs, arn, lambda task: task["lastStatus"] == "STOPPED")


def run(ecs, family, **parameters):
    answer = ecs.run_task(taskDefinition=family, **parameters)
    equal(answer["failures"], [], "failures")
    return answer["tasks"][0]


def run_to_end(ecs, family, **parameters):
    return stopped(ecs, run(ecs, family, **parameters)["taskArn"])


def exit_codes(task):
    return {container["name"]: container.get("exitCode") for container in task["containers"]}


def definitions(ecs):
    app = shell("app", "exit ${CODE:-0}", cpu=256, environment=[{"name": "CODE", "value": "0"}])
    for revision in range(1, 12):
        answer = ecs.register_task_definition(
            family="app", containerDefinitions=[app], tags=[{"key": "team", "value": "a"}]
        )
        assert answer["taskDefinition"]["revision"] == revision
    check(answer["taskDefinition"]["taskDefinitionArn"].endswith(":task-definition/app:11"), "ARN of revision 11")
    shown = ecs.describe_task_definition(taskDefinition="app", include=["TAGS"])
    equal(shown["taskDefinition"]["revision"], 11, "latest revision")
    equal(shown["taskDefinition"]["containerDefinitions"][0]["cpu"], 256, "a member that is not used here")
    equal(shown["tags"], [{"key": "team", "value": "a"}], "tags of a definition")
    for given in ("app:3", answer["taskDefinition"]["taskDefinitionArn"].replace(":11", ":3")):
        shown = ecs.describe_task_definition(taskDefinition=given)
        equal(shown["taskDefinition"]["revision"], 3, f"revision of {given}")
    pages = ecs.get_paginator("list_task_definitions").paginate(
        familyPrefix="app", sort="DESC", PaginationConfig={"PageSize": 4}
    )
    arns = [arn for page in pages for arn in page["taskDefinitionArns"]]
    equal([int(arn.rsplit(":")[-1]) for arn in arns], list(range(11, 0, -1)), "revisions, latest first")
    refused("ClientException", ecs.describe_task_definition, taskDefinition="unknown")
    refused("ClientException", ecs.register_task_definition, family="none", containerDefinitions=[])


def running(ecs):
    fresh = run(ecs, "app", startedBy="drive/1", launchType="FARGATE", tags=[{"key": "k", "value": "v"}])
    equal(fresh["lastStatus"], "PROVISIONING", "status of a fresh task")
    equal(fresh["version"], 1, "version of a fresh task")
    equal(fresh["platformVersion"], "1.4.0", "platform version")
    task = stopped(ecs, fresh["taskArn"])
    equal(exit_codes(task), {"app": 0}, "exit code")
    equal(task["stopCode"], "EssentialContainerExited", "stop code")
    equal(task["stoppedReason"], "Essential container in task exited", "stopped reason")
    equal(task["group"], "family:app", "group")
    equal(task["startedBy"], "drive/1", "startedBy")
    check(task["createdAt"] <= task["startedAt"] <= task["stoppedAt"], "times in order")
    check("tags" not in task, "no tags unless asked for")
    tagged = describe(ecs, fresh["taskArn"], include=["TAGS"])
    equal(tagged["tags"], [{"key": "k", "value": "v"}], "tags")
    overrides = {"containerOverrides": [{"name": "app", "environment": [{"name": "CODE", "value": "1"}]}]}
    equal(exit_codes(run_to_end(ecs, "app", overrides=overrides)), {"app": 1}, "overridden environment")
    overrides = {"containerOverrides": [{"name": "app", "command": ["sh", "-c", "exit 42"]}]}
    equal(exit_codes(run_to_end(ecs, "app", overrides=overrides)), {"app": 42}, "overridden command")
    overrides = {"containerOverrides": [{"name": "app", "command": ["/no/such/program"]}]}
    task = run_to_end(ecs, "app", overrides=overrides)
    equal(task["stopCode"], "TaskFailedToStart", "stop code of what cannot be run")
    check(task["stoppedReason"].startswith("CannotStartContainerError: "), task["stoppedReason"])
    equal(exit_codes(task), {"app": None}, "no exit code of what never ran")
    spot = run(ecs, "app", capacityProviderStrategy=[{"capacityProvider": "FARGATE_SPOT", "weight": 1}])
    equal(spot["capacityProviderName"], "FARGATE_SPOT", "capacity provider")
    three = ecs.run_task(taskDefinition="app", count=3)
    equal(len({task["taskArn"] for task in three["tasks"]}), 3, "three tasks of one call")


def surface(ecs):
    """What a process of this machine has no use for is checked and shown all the same."""
    volume = {"roleArn": "arn:aws:iam::123456789012:role/ecs", "sizeInGiB": 8, "volumeType": "gp3"}
    app = {
        "name": "app",
        "environmentFiles": [{"value": "arn:aws:s3:::bucket/a.env", "type": "s3"}],
        "resourceRequirements": [{"type": "GPU", "value": "1"}],
    }
    on_instances = {
        "launchType": "EC2",
        "placementConstraints": [{"type": "memberOf", "expression": "attribute:ecs.instance-type =~ g5.*"}],
        "placementStrategy": [{"type": "spread", "field": "attribute:ecs.availability-zone"}],
        "volumeConfigurations": [{"name": "scratch", "managedEBSVolume": volume}],
        "enableExecuteCommand": True,
        "overrides": {"containerOverrides": [app], "cpu": "1024", "memory": "2048"},
    }
    task = run_to_end(ecs, "app", **on_instances)
    equal(exit_codes(task), {"app": 0}, "a task with all of it runs")
    equal((task["enableExecuteCommand"], task["cpu"], task["memory"]), (True, "1024", "2048"), "what was asked for")
    equal(task["overrides"]["containerOverrides"], [app], "overrides as they came")
    details = {detail["name"]: detail["value"] for detail in task["attachments"][0]["details"]}
    equal((details["volumeName"], details["sizeInGiB"]), ("scratch", "8"), "the volume")
    on_fargate = {"launchType": "FARGATE", "overrides": {"ephemeralStorage": {"sizeInGiB": 50}}}
    equal(run_to_end(ecs, "app", **on_fargate)["ephemeralStorage"], {"sizeInGiB": 50}, "the disk of a Fargate task")
    for mistake in (
        {"launchType": "FARGATE"},
        {"platformVersion": "1.4.0"},
        {"placementStrategy": [{"type": "random"}] * 6},
        {"volumeConfigurations": on_instances["volumeConfigurations"] * 2},
        {"volumeConfigurations": [{"name": "scratch", "managedEBSVolume": {"sizeInGiB": 8}}]},
    ):
        refused("InvalidParameterException", ecs.run_task, taskDefinition="app", **{**on_instances, **mistake})


def containers(ecs):
    register(ecs, "pair", shell("app", "exit 0"), shell("log", "exec sleep 60", essential=False))
    task = run_to_end(ecs, "pair")
    equal(exit_codes(task), {"app": 0, "log": 143}, "the sidecar is stopped with the essential container")
    register(ecs, "init", shell("app", "exec sleep 60"), shell("init", "exit 3", essential=False))
    arn = run(ecs, "init")["taskArn"]
    task = until(ecs, arn, lambda task: exit_codes(task)["init"] == 3)
    equal(task["lastStatus"], "RUNNING", "a task whose other container has ended")
    ecs.stop_task(task=arn)
    task = stopped(ecs, arn)
    equal(exit_codes(task), {"app": 143, "init": 3}, "SIGTERM honoured")
    equal(task["stoppedReason"], "Task stopped by user", "ECS's own reason")


def stopping(ecs):
    # The second container ends once the first is deaf, so the stop cannot come too early.
    deaf = "trap '' TERM; echo deaf > \"$READY\"; while :; do sleep 0.05; done"
    ready = "until test -s \"$READY\"; do sleep 0.02; done; rm \"$READY\"; exit 0"
    environment = [{"name": "READY", "value": os.path.join(tempfile.mkdtemp(), "ready")}]
    register(
        ecs,
        "deaf",
        shell("app", deaf, stopTimeout=1, environment=environment),
        shell("ready", ready, essential=False, environment=environment),
    )
    arn = run(ecs, "deaf")["taskArn"]
    until(ecs, arn, lambda task: exit_codes(task)["ready"] == 0)
    task = ecs.stop_task(task=arn, reason="attempt timeout")["task"]
    equal(task["desiredStatus"], "STOPPED", "desired status of a stopping task")
    check(task["lastStatus"] != "STOPPED", "StopTask does not wait")
    task = stopped(ecs, arn)
    equal(exit_codes(task)["app"], 137, "SIGKILL after the stop timeout")
    equal(task["stopCode"], "UserInitiated", "stop code")
    equal(task["stoppedReason"], "attempt timeout", "stopped reason")
    refused("InvalidParameterException", ecs.stop_task, task="0" * 32)


def tokens(ecs):
    call = {"taskDefinition": "app", "clientToken": "token-1", "startedBy": "drive/token"}
    first = ecs.run_task(**call)["tasks"][0]["taskArn"]
    stopped(ecs, first)
    again = ecs.run_task(**call)["tasks"]
    equal(again, [{"taskArn": first, "lastStatus": "STOPPED", "desiredStatus": "STOPPED"}], "replay")
    conflict = refused("ConflictException", ecs.run_task, **{**call, "startedBy": "drive/other"})
    equal(conflict["resourceIds"], [first], "the tasks of the conflict")
    elsewhere = ecs.run_task(cluster="batch", **call)["tasks"][0]["taskArn"]
    check(elsewhere != first, "a token belongs to its cluster")
    for bad in ("x" * 65, "with space", "ümlaut"):
        refused("InvalidParameterException", ecs.run_task, taskDefinition="app", clientToken=bad)


def limits(ecs):
    def invalid(**parameters):
        return refused("InvalidParameterException", ecs.run_task, **{"taskDefinition": "app", **parameters})

    invalid(count=11)
    invalid(count=0)
    invalid(startedBy="x" * 129)
    invalid(launchType="FARGATE", capacityProviderStrategy=[{"capacityProvider": "FARGATE"}])
    invalid(overrides={"containerOverrides": [{"name": "other"}]})
    long = [{"name": "LONG", "value": "x" * 8192}]
    error = invalid(overrides={"containerOverrides": [{"name": "app", "environment": long}]})
    equal(error["Error"]["Message"], "Container Overrides length must be at most 8192", "message")
    error = refused("InvalidParameterException", ecs.run_task, taskDefinition="")
    equal(error["Error"]["Message"], "TaskDefinition cannot be blank.", "message")
    error = refused("InvalidParameterException", ecs.describe_tasks, tasks=[])
    equal(error["Error"]["Message"], "Tasks cannot be empty.", "message")
    refused("InvalidParameterException", ecs.describe_tasks, tasks=["a"] * 101)
    refused("InvalidParameterException", ecs.list_tasks, maxResults=101)
    refused("ClientException", ecs.run_task, taskDefinition="unknown")
    refused("ClusterNotFoundException", ecs.run_task, taskDefinition="app", cluster="unknown")
    refused("UnknownOperationException", ecs.list_services)


def listing(ecs):
    register(ecs, "sleep", shell("app", "exec sleep 60"))
    arns = ecs.run_task(taskDefinition="sleep", count=7, startedBy="drive/list", launchType="FARGATE")["tasks"]
    arns = {task["taskArn"] for task in arns}
    pages = list(ecs.get_paginator("list_tasks").paginate(family="sleep", PaginationConfig={"PageSize": 3}))
    equal([len(page["taskArns"]) for page in pages], [3, 3, 1], "pages")
    equal({arn for page in pages for arn in page["taskArns"]}, arns, "all pages")

    def listed(**parameters):
        return set(ecs.list_tasks(**parameters)["taskArns"])

    equal(listed(startedBy="drive/list"), arns, "by startedBy")
    equal(listed(startedBy="drive/list", desiredStatus="RUNNING"), arns, "by startedBy and desired status")
    equal(listed(family="sleep", launchType="FARGATE"), arns, "by launch type")
    equal(listed(family="sleep", launchType="EC2"), set(), "by another launch type")
    equal(listed(family="sleep", cluster="batch"), set(), "in another cluster")
    equal(listed(family="sleep", desiredStatus="STOPPED"), set(), "stopped")
    one = sorted(arns)[0]
    described = ecs.describe_tasks(tasks=[one.rsplit("/")[-1], "0" * 32])
    equal([task["taskArn"] for task in described["tasks"]], [one], "by id")
    equal([failure["reason"] for failure in described["failures"]], ["MISSING"], "beside an unknown one")
    missing = ecs.describe_tasks(cluster="batch", tasks=[one])["failures"]
    equal(missing, [{"arn": one, "reason": "MISSING"}], "a task of another cluster")
    for arn in arns:
        ecs.stop_task(task=arn)
    equal(listed(family="sleep", desiredStatus="STOPPED"), arns, "stopping ones count as stopped")
    equal(listed(family="sleep"), set(), "and no longer as running")


def clusters(ecs):
    created = ecs.create_cluster(clusterName="made")["cluster"]
    equal(created["status"], "ACTIVE", "status of a cluster")
    task = run_to_end_in(ecs, "made", "app")
    equal(task["clusterArn"], created["clusterArn"], "cluster of a task")
    arns = ecs.list_clusters()["clusterArns"]
    equal(sorted(arn.rsplit("/")[-1] for arn in arns), ["batch", "default", "made"], "clusters")
    shown = ecs.describe_clusters(clusters=["made", "unknown"])
    equal([cluster["clusterName"] for cluster in shown["clusters"]], ["made"], "described clusters")
    equal([failure["reason"] for failure in shown["failures"]], ["MISSING"], "unknown cluster")
    equal(ecs.describe_clusters()["clusters"][0]["clusterName"], "default", "the default cluster")


def run_to_end_in(ecs, cluster, family):
    arn = ecs.run_task(cluster=cluster, taskDefinition=family)["tasks"][0]["taskArn"]
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        task = describe(ecs, arn, cluster=cluster)
        if task["lastStatus"] == "STOPPED":
            return task
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"waited in vain: {task}")


def trouble(ecs):
    error = refused("ThrottlingException", ecs.run_task, taskDefinition="throttled", clientToken="throttled")
    equal(error["ResponseMetadata"]["HTTPStatusCode"], 400, "status of throttling")
    run(ecs, "throttled", clientToken="throttled")
    call = {"taskDefinition": "closed", "clientToken": "closed", "startedBy": "drive/closed"}
    try:
        ecs.run_task(**call)
        raise AssertionError("there was an answer")
    except (ConnectionClosedError, EndpointConnectionError, HTTPClientError):
        pass
    arn = ecs.run_task(**call)["tasks"][0]["taskArn"]
    found = ecs.list_tasks(startedBy="drive/closed", desiredStatus="RUNNING")["taskArns"]
    found += ecs.list_tasks(startedBy="drive/closed", desiredStatus="STOPPED")["taskArns"]
    equal(set(found), {arn}, "the lost answer created one task, and its token found it")
    answer = ecs.run_task(taskDefinition="failing")
    equal(answer["tasks"], [], "no task beside a failure")
    equal(answer["failures"], [{"reason": "RESOURCE:MEMORY"}], "failure")
    started = time.monotonic()
    run(ecs, "late")
    check(time.monotonic() - started >= 0.5, "the late answer is late")


if __name__ == "__main__":
    main(sys.argv[1])
