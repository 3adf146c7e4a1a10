//! What to do about a failure: one line for the person who is paged at 02:05.
//!
//! A hint follows from the names and the words of a failure alone, and names the setting, the permission or the place to
//! look at. It is advice, shown beside the cause and never in place of it, and nothing decides by it. The rules are read
//! from the top: within a kind of failure the telling words come first, the plain advice last. `docs/failures.md` lists them.

use super::failure::Failure;

/// A line of advice.
#[derive(Debug, PartialEq, Eq)]
pub struct Hint {
    /// Its short name, which stays when the words change.
    pub key: &'static str,
    /// What to do.
    pub text: &'static str,
}

struct Rule {
    /// Any of these names, or any failure at all.
    names: &'static [&'static str],
    /// Any of these words in its cause, in lower case; or whatever it says.
    words: &'static [&'static str],
    hint: Hint,
}

const fn rule(
    key: &'static str,
    names: &'static [&'static str],
    words: &'static [&'static str],
    text: &'static str,
) -> Rule {
    Rule { names, words, hint: Hint { key, text } }
}

const BASE: &[&str] = &["ECS.AmazonECSException"];
const DENIED: &[&str] = &["ECS.AccessDeniedException"];
const CLIENT: &[&str] = &["ECS.ClientException"];
const INVALID: &[&str] = &["ECS.InvalidParameterException"];
const CAPACITY: &[&str] = &["Task.Capacity"];
const PLACEMENT: &[&str] = &["Task.Placement"];
const PULL: &[&str] = &["Task.ImagePull"];
const INIT: &[&str] = &["Task.ResourceInit"];
const ENI: &[&str] = &["Task.Eni"];
const START: &[&str] = &["Task.ContainerStart"];
const NO_ANSWER: &[&str] = &[
    "i/o timeout",
    "request canceled",
    "requestcanceled",
    "context canceled",
    "context deadline",
    "dial tcp",
    "client.timeout",
    "connection issue",
    "connection refused",
    "send request failed",
    "no such host",
];

#[rustfmt::skip]
static RULES: &[Rule] = &[
    // What ECS refused.
    rule("throttled", &["ECS.Throttled"], &[],
        "ECS throttles the account: lower [ecs] launch_rate, or have the quota raised; others in the account share it"),
    rule("pass-role", DENIED, &["iam:passrole"],
        "allow the daemon iam:PassRole on the role that the cause names: a task role or execution role"),
    rule("tag-permission", DENIED, &["ecs:tagresource"],
        "allow the daemon ecs:TagResource, or set add_tags = false"),
    rule("access-denied", DENIED, &[],
        "allow the daemon's role the action that the cause names, on that task definition and cluster"),
    rule("role", BASE, &["could not be assumed"],
        "allow the daemon sts:AssumeRole on that role; its trust policy must name the daemon and the target's external_id"),
    rule("credentials", BASE,
        &["expiredtoken", "unrecognizedclient", "invalidclienttokenid", "security token", "invalidsignature",
          "signatureexpired", "incompletesignature", "missingauthenticationtoken", "credentials"],
        "AWS does not accept the daemon's credentials: check its AWS_* variables or the role of its host, and its clock"),
    rule("cluster", &["ECS.ClusterNotFoundException"], &[],
        "there is no such cluster in this account and region: check cluster and [ecs] region"),
    rule("account-blocked", &["ECS.BlockedException"], &[],
        "AWS has blocked this account: only AWS Support can help"),
    rule("platform", &["ECS.PlatformUnknownException", "ECS.PlatformTaskDefinitionIncompatibilityException"], &[],
        "check platform_version against what the task definition needs; leave it out for LATEST"),
    rule("unsupported", &["ECS.UnsupportedFeatureException"], &[],
        "this region or launch type can't do what the job asks for: the cause names it"),
    rule("conflict", &["ECS.ConflictException"], &[],
        "ECS knows this launch with other parameters, so a task of it may run: look for its startedBy in ECS"),
    rule("fargate-quota", CAPACITY, &["you can run concurrently"],
        "the account's quota of Fargate vCPUs or tasks is used up: wait until tasks end, or raise it in Service Quotas"),
    rule("provisioning-quota", CAPACITY, &["provisioning"],
        "too many tasks of the cluster wait for instances: let its capacity grow faster, or wait longer between retries"),
    rule("no-capacity", CAPACITY, &[],
        "Fargate has no room there now: add subnets of other zones, FARGATE beside FARGATE_SPOT, or longer waits"),
    rule("task-definition", CLIENT, &["inactive", "not found", "does not exist"],
        "check task_definition: its family, revision and region; a deregistered revision can't be launched"),
    rule("assume-role", CLIENT, &["assume the role"],
        "check that the task's roles exist and that ecs-tasks.amazonaws.com may assume them"),
    rule("client", CLIENT, &[],
        "ECS can't do this as it is asked: the cause says why, and trying again rarely helps"),
    rule("overrides-size", INVALID, &["overrides length"],
        "the overrides are over 8192 characters: move variables into the task definition or a file"),
    rule("container-name", INVALID, &["is not a container in the taskdefinition"],
        "a [[container]] of the job names a container that the task definition does not have"),
    rule("network-missing", INVALID, &["network configuration must be provided"],
        "the task definition is in network mode awsvpc: set network = { subnets = [...] }"),
    rule("network-wrong", INVALID, &["subnet", "security group", "securitygroup"],
        "check network: the subnets and security groups must exist, in one VPC of this account and region"),
    rule("service-linked-role", INVALID, &["service linked role"],
        "create it once for the account: aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com"),
    rule("no-instances", INVALID, &["no container instances"],
        "the cluster has no instance: set launch_type = \"FARGATE\", or let instances join it"),
    rule("capacity-provider", INVALID, &["capacity provider"],
        "check that the capacity provider is attached to the cluster and active"),
    rule("invalid-value", INVALID, &[],
        "ECS does not take a value of the job: the cause says which; it will not get better by itself"),
    rule("ecs-fault", &["ECS.ServerException"], &[],
        "a fault on the side of ECS: retries mostly outlast it, else see the AWS Health Dashboard"),
    rule("unreachable", &["ECS.SdkClientException"], &[],
        "the daemon could not reach ECS: check its network, DNS, proxy and [ecs] endpoint"),
    rule("ecs-fault", BASE, &["http 5", "internalfailure", "serviceunavailable"],
        "a fault on the side of ECS: retries mostly outlast it, else see the AWS Health Dashboard"),
    // What found no place.
    rule("agent", PLACEMENT, &["agent"],
        "the ECS agent of the instance was not connected, which mostly passes: try again, else look at the instance"),
    rule("provider-empty", PLACEMENT, &["no active instances", "empty capacity provider", "no container instance"],
        "no instance is there or fits: check the cluster's Auto Scaling group and its instances' size"),
    rule("constraint", PLACEMENT, &["attribute", "memberof", "location", "constraint"],
        "no instance can ever run it: check placement constraints, attributes and the zones of the subnets"),
    rule("no-room", PLACEMENT, &[],
        "no instance has that much free: wait until tasks end, add instances, or ask for less"),
    // What did not start.
    rule("pull-limit", PULL, &["toomanyrequests", "too many requests", "pull rate limit", "rate exceeded"],
        "the registry limits pulls: use an ECR pull-through cache, or log in with repositoryCredentials"),
    rule("disk-full", PULL, &["no space left"],
        "the disk is full: raise ephemeral_storage, or free the instance's disk"),
    rule("architecture", PULL, &["matching platform", "no match for platform"],
        "the image is not built for this CPU: build it for linux/amd64 or set runtimePlatform in the task definition"),
    rule("registry-unreachable", PULL, NO_ANSWER,
        "the task can't reach the registry: assign_public_ip = true in a public subnet, NAT or VPC endpoints in a private one"),
    rule("pull-permission", PULL, &["basic auth", "denied", "forbidden", "unauthorized", "not authorized", "credentials"],
        "the execution role may not pull it, or there is no such repository: allow ecr:GetAuthorizationToken and ecr:BatchGetImage"),
    rule("image-missing", PULL, &["not found", "manifest unknown", "does not exist", "404", "no such image"],
        "there is no such image or tag: check image in the task definition"),
    rule("pull", PULL, &[],
        "check the image's name, the execution role and the way to the registry"),
    rule("volume", INIT, &["cannotcreatevolume"],
        "the volume could not be made, which mostly passes: try again, else check the volumes of the task definition"),
    rule("environment-file", INIT, &["env file", "environment file", "envfile"],
        "check that the environment file is in S3 and that the execution role may s3:GetObject it"),
    rule("efs", INIT, &["efs utils", "efs volume", "mount.nfs", "elasticfilesystem"],
        "check the file system: mount targets in these subnets, port 2049 in its security group, the path"),
    rule("service-unreachable", INIT, NO_ANSWER,
        "the task can't reach AWS: assign_public_ip = true in a public subnet, NAT or VPC endpoints in a private one"),
    rule("logs", INIT, &["log group", "logger", "logging driver", "cloudwatch", "log stream"],
        "check the log group, the execution role's logs:CreateLogStream, and the way to CloudWatch Logs"),
    rule("secret-permission", INIT, &["accessdenied", "not authorized", "access denied", "kms"],
        "allow the execution role secretsmanager:GetSecretValue or ssm:GetParameters, and kms:Decrypt for an own key"),
    rule("secret-missing", INIT, &["resourcenotfound", "can't find", "invalid parameters", "parameternotfound", "looking for beginning of value", "did not contain"],
        "check the secret or parameter: its ARN, version and JSON key, and that it has a value"),
    rule("resource-init", INIT, &[],
        "check secrets, log group and volumes of the task definition, and the execution role"),
    rule("addresses", ENI, &["insufficientfreeaddresses", "free addresses", "public ip assignment"],
        "the subnet has no free address: add larger or further subnets to network"),
    rule("network-interface", ENI, &[],
        "AWS did not set up the network interface, which is rare and mostly passes; else check subnets and ENI quota"),
    rule("architecture", START, &["exec format error"],
        "the image is not built for this CPU: build it for linux/amd64 or set runtimePlatform in the task definition"),
    rule("command-missing", START, &["executable file not found", "no such file or directory"],
        "the command is not in the image: check command in [[container]], the entry point and PATH"),
    rule("command-permission", START, &["permission denied", "not permitted"],
        "the container's user may not execute the command or own a path: check modes, user, mounts and CPU type"),
    rule("disk-full", START, &["no space left", "devmapper", "devicemapper"],
        "the disk is full: raise ephemeral_storage, or free the instance's disk"),
    rule("logs", START, &["logging driver", "log stream", "log group"],
        "check the log group, the execution role's logs:CreateLogStream, and the way to CloudWatch Logs"),
    rule("runtime-slow", START, &["timed out", "timeout", "deadline"],
        "the container runtime was too slow: a busy host, a large image or an unreachable log driver; try again"),
    rule("container-start", START, &[],
        "the container runtime could not start it: check command, memory, user and mounts of the task definition"),
    // What ran.
    rule("memory", &["Task.OutOfMemory"], &[],
        "it needed more memory than it has: raise memory in [[container]] or overrides, or let it need less"),
    rule("spot", &["Task.SpotInterruption"], &[],
        "Spot took the capacity back: give Task.SpotInterruption a retrier, or run it on FARGATE"),
    rule("host", &["Task.Infrastructure"], &[],
        "its host failed or AWS retired it, and nothing is wrong with the job: run it again"),
    rule("our-stop", &["Task.Stopped"], &["tenacron: "],
        "Tenacron asked it to stop: the reason says for whom"),
    rule("stopped", &["Task.Stopped"], &[],
        "somebody else stopped it: the stopped reason and StopTask in CloudTrail say who"),
    rule("lost", &["Task.Lost"], &[],
        "ECS forgot it before its end was seen: its log says what it did; keep the daemon's absences under an hour"),
    rule("start-timeout", &["Task.StartTimeout"], &[],
        "it never came up: see its stopped reason; a large image or a full cluster may need a longer start_timeout"),
    rule("timeout", &["States.Timeout"], &[],
        "it took longer than its limit: its log says where it was; raise the limit that the cause names if it needs it"),
    rule("launch-unknown", &["Tenacron.LaunchUnknown"], &[],
        "look in ECS and in its log whether it ran, by the startedBy in its history; then `tenacron retry` if not"),
    rule("command-permission", &["Task.ExitCode.126"], &[],
        "the container's user may not execute the command or own a path: check modes, user, mounts and CPU type"),
    rule("command-missing", &["Task.ExitCode.127"], &[],
        "the command is not in the image: check command in [[container]], the entry point and PATH"),
    rule("killed", &["Task.ExitCode.137"], &[],
        "it was killed: if nobody stopped it, see MemoryUtilization and raise memory; else raise stopTimeout"),
    rule("crashed", &["Task.ExitCode.139", "Task.ExitCode.134"], &[],
        "the program crashed: its log may hold a trace; a native library or too little memory are usual"),
    rule("terminated", &["Task.ExitCode.143"], &[],
        "SIGTERM ended it: somebody or something asked it to stop, and the program did not end with 0"),
    rule("ecs-internal", &["States.TaskFailed"], &["internalerror"],
        "a fault inside ECS, often with the network interface: try again"),
    rule("compute-strategy", &["States.TaskFailed"], &["selected compute strategy"],
        "give the job a launch_type or capacity provider that the task definition is made for"),
    rule("no-exit-code", &["States.TaskFailed"], &["has no exit code", "no container"],
        "it never ran, or nobody learned how it ended: the reasons in the cause are all that ECS knows"),
    rule("program", &["States.TaskFailed"], &["exited with"],
        "the program itself says that it failed: its log says why"),
    rule("too-few-tasks", &["AmazonECS.Unknown"], &["ecs named"],
        "ECS answered with fewer tasks than `count` asks for: look in the cluster whether the others ran"),
    rule("not-started", &["AmazonECS.Unknown"], &[],
        "ECS started nothing: the cause has its reason"),
];

/// The advice about a failure, if there is any.
pub fn hint(failure: &Failure) -> Option<&'static Hint> {
    let cause = failure.cause.to_ascii_lowercase();
    let is_named = |names: &[&str]| names.iter().any(|name| failure.names.iter().any(|known| known.as_str() == *name));
    let is_said = |words: &[&str]| words.is_empty() || words.iter().any(|word| cause.contains(word));
    let found = RULES.iter().find(|rule| is_named(rule.names) && is_said(rule.words));
    found.map(|rule| &rule.hint)
}

#[cfg(test)]
mod tests;
