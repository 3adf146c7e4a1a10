//! The frozen launch as a RunTask call.
//!
//! ECS takes a repeated client token for the same launch only if every other parameter is the same too, and answers
//! `ConflictException` otherwise. So the body must follow from the frozen request alone: nothing here reads a clock, an
//! environment variable or a setting, and lists keep the order that they were frozen in. The structs are taken apart
//! field by field without `..`, so that a new field of `TaskSpec` does not compile until it is sent or left out on
//! purpose.

use std::collections::BTreeMap;

use aws_sdk_ecs::operation::run_task::builders::RunTaskFluentBuilder;
use aws_sdk_ecs::types;

use crate::engine::job::{Capacity, CapacityProvider, ContainerOverride, Network, TaskOverride, TaskSpec};
use crate::engine::launch::LaunchRequest;
use crate::engine::resources::{
    EbsTags, EbsVolume, EnvironmentFile, PlacementConstraint, PlacementStrategy, ResourceRequirement,
    VolumeConfiguration,
};

/// Puts a launch into a call.
pub(super) fn fill(call: RunTaskFluentBuilder, request: &LaunchRequest) -> RunTaskFluentBuilder {
    let LaunchRequest { client_token, started_by, task } = request;
    let TaskSpec {
        // It chose the client.
        target: _,
        cluster,
        task_definition,
        count,
        capacity,
        platform_version,
        network: awsvpc,
        containers,
        overrides,
        placement_constraints,
        placement_strategy,
        volume_configurations,
        group,
        tags,
        propagate_tags,
        enable_ecs_managed_tags,
        enable_execute_command,
        // Both were obeyed when the launch was frozen: what they ask for is in the tags and the containers.
        add_tags: _,
        add_environment: _,
    } = task;
    // Set whatever else changes here: a call without it is given a random token by the SDK, and starts a second task.
    let call =
        call.client_token(client_token.as_str()).started_by(started_by).count(i32::try_from(*count).unwrap_or(1));
    let call = match capacity {
        Capacity::ClusterDefault => call,
        Capacity::LaunchType(name) => call.launch_type(types::LaunchType::from(name.as_str())),
        Capacity::Strategy(providers) => {
            call.set_capacity_provider_strategy(Some(providers.iter().map(provider).collect()))
        }
    };
    call.cluster(cluster)
        .task_definition(task_definition)
        .set_platform_version(platform_version.clone())
        .set_network_configuration(awsvpc.as_deref().map(network))
        .set_overrides(task_override(containers, overrides))
        .set_placement_constraints(non_empty(placement_constraints.iter().map(placement_constraint)))
        .set_placement_strategy(non_empty(placement_strategy.iter().map(placement_preference)))
        .set_volume_configurations(non_empty(volume_configurations.iter().map(volume)))
        .set_group(group.clone())
        .set_tags(tag_list(tags))
        .set_propagate_tags(propagate_tags.as_deref().map(types::PropagateTags::from))
        .enable_ecs_managed_tags(*enable_ecs_managed_tags)
        .enable_execute_command(*enable_execute_command)
}

fn provider(item: &CapacityProvider) -> types::CapacityProviderStrategyItem {
    let CapacityProvider { capacity_provider, weight, base } = item;
    types::CapacityProviderStrategyItem::builder()
        .capacity_provider(capacity_provider)
        .weight(*weight)
        .base(*base)
        .build()
        .expect("the one required member is set")
}

fn network(network: &Network) -> types::NetworkConfiguration {
    let Network { subnets, security_groups, assign_public_ip } = network;
    let public_ip = if *assign_public_ip { types::AssignPublicIp::Enabled } else { types::AssignPublicIp::Disabled };
    let awsvpc = types::AwsVpcConfiguration::builder()
        .set_subnets(Some(subnets.clone()))
        .set_security_groups(non_empty(security_groups.iter().cloned()))
        .assign_public_ip(public_ip)
        .build()
        .expect("the one required member is set");
    types::NetworkConfiguration::builder().awsvpc_configuration(awsvpc).build()
}

/// None if nothing differs from the task definition.
fn task_override(containers: &[ContainerOverride], task: &TaskOverride) -> Option<types::TaskOverride> {
    if containers.is_empty() && *task == TaskOverride::default() {
        return None;
    }
    let TaskOverride { cpu, memory, task_role_arn, execution_role_arn, ephemeral_storage_gib } = task;
    let storage = ephemeral_storage_gib.map(|gib| types::EphemeralStorage::builder().size_in_gib(gib).build());
    let overrides = types::TaskOverride::builder()
        .set_container_overrides(non_empty(containers.iter().map(container)))
        .set_cpu(cpu.clone())
        .set_memory(memory.clone())
        .set_task_role_arn(task_role_arn.clone())
        .set_execution_role_arn(execution_role_arn.clone())
        .set_ephemeral_storage(storage);
    Some(overrides.build())
}

fn container(container: &ContainerOverride) -> types::ContainerOverride {
    let ContainerOverride {
        name,
        command,
        environment,
        cpu,
        memory,
        memory_reservation,
        environment_files,
        resource_requirements,
    } = container;
    let variables =
        environment.iter().map(|(name, value)| types::KeyValuePair::builder().name(name).value(value).build());
    types::ContainerOverride::builder()
        .name(name)
        .set_command(command.clone())
        .set_environment(non_empty(variables))
        .set_environment_files(non_empty(environment_files.iter().map(environment_file)))
        .set_cpu(*cpu)
        .set_memory(*memory)
        .set_memory_reservation(*memory_reservation)
        .set_resource_requirements(non_empty(resource_requirements.iter().map(resource_requirement)))
        .build()
}

fn environment_file(file: &EnvironmentFile) -> types::EnvironmentFile {
    let EnvironmentFile { value, kind } = file;
    types::EnvironmentFile::builder()
        .value(value)
        .r#type(types::EnvironmentFileType::from(kind.as_str()))
        .build()
        .expect("both required members are set")
}

fn resource_requirement(devices: &ResourceRequirement) -> types::ResourceRequirement {
    let ResourceRequirement { value, kind } = devices;
    types::ResourceRequirement::builder()
        .value(value)
        .r#type(types::ResourceType::from(kind.as_str()))
        .build()
        .expect("the one required member is set")
}

fn placement_constraint(constraint: &PlacementConstraint) -> types::PlacementConstraint {
    let PlacementConstraint { kind, expression } = constraint;
    types::PlacementConstraint::builder()
        .r#type(types::PlacementConstraintType::from(kind.as_str()))
        .set_expression(expression.clone())
        .build()
}

fn placement_preference(strategy: &PlacementStrategy) -> types::PlacementStrategy {
    let PlacementStrategy { kind, field } = strategy;
    types::PlacementStrategy::builder()
        .r#type(types::PlacementStrategyType::from(kind.as_str()))
        .set_field(field.clone())
        .build()
}

fn volume(volume: &VolumeConfiguration) -> types::TaskVolumeConfiguration {
    let VolumeConfiguration { name, managed_ebs_volume } = volume;
    types::TaskVolumeConfiguration::builder()
        .name(name)
        .managed_ebs_volume(ebs_volume(managed_ebs_volume))
        .build()
        .expect("the one required member is set")
}

fn ebs_volume(volume: &EbsVolume) -> types::TaskManagedEbsVolumeConfiguration {
    let EbsVolume {
        role_arn,
        size_in_gib,
        volume_type,
        iops,
        throughput,
        encrypted,
        kms_key_id,
        snapshot_id,
        volume_initialization_rate,
        filesystem_type,
        tag_specifications,
        delete_on_termination,
    } = volume;
    let termination = delete_on_termination.map(|delete| {
        types::TaskManagedEbsVolumeTerminationPolicy::builder()
            .delete_on_termination(delete)
            .build()
            .expect("the one member is set")
    });
    types::TaskManagedEbsVolumeConfiguration::builder()
        .role_arn(role_arn)
        .set_size_in_gib(*size_in_gib)
        .set_volume_type(volume_type.clone())
        .set_iops(*iops)
        .set_throughput(*throughput)
        .set_encrypted(*encrypted)
        .set_kms_key_id(kms_key_id.clone())
        .set_snapshot_id(snapshot_id.clone())
        .set_volume_initialization_rate(*volume_initialization_rate)
        .set_filesystem_type(filesystem_type.as_deref().map(types::TaskFilesystemType::from))
        .set_tag_specifications(non_empty(tag_specifications.iter().map(ebs_tags)))
        .set_termination_policy(termination)
        .build()
        .expect("the one required member is set")
}

fn ebs_tags(specification: &EbsTags) -> types::EbsTagSpecification {
    let EbsTags { resource_type, tags, propagate_tags } = specification;
    types::EbsTagSpecification::builder()
        .resource_type(types::EbsResourceType::from(resource_type.as_str()))
        .set_tags(tag_list(tags))
        .set_propagate_tags(propagate_tags.as_deref().map(types::PropagateTags::from))
        .build()
        .expect("the one required member is set")
}

fn tag_list(tags: &BTreeMap<String, String>) -> Option<Vec<types::Tag>> {
    non_empty(tags.iter().map(|(key, value)| types::Tag::builder().key(key).value(value).build()))
}

/// A list that says nothing is left out.
fn non_empty<T>(items: impl Iterator<Item = T>) -> Option<Vec<T>> {
    let items: Vec<T> = items.collect();
    if items.is_empty() { None } else { Some(items) }
}
