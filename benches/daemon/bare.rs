//! What a launch costs at least: the SDK's RunTask in a loop, with the daemon's settings and the daemon's requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::{BehaviorVersion, Config, Region};
use aws_sdk_ecs::types::{
    AwsVpcConfiguration, ContainerOverride, KeyValuePair, LaunchType, NetworkConfiguration, Tag, TaskOverride,
};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use tokio::sync::Semaphore;

use crate::site::cpu;

/// As many calls at once as the daemon makes.
const CALLS_AT_ONCE: usize = 128;

/// What the loop has cost.
pub struct Cost {
    /// User and system time of a call, in seconds.
    pub cpu: f64,
    /// Calls a second.
    pub rate: f64,
}

/// Makes so many calls.
pub fn run(endpoint: &str, calls: usize) -> Cost {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (cpu_before, begun) = (cpu("self"), Instant::now());
    runtime.block_on(launch_all(endpoint, calls));
    let seconds = begun.elapsed().as_secs_f64();
    Cost { cpu: (cpu("self") - cpu_before) / calls as f64, rate: calls as f64 / seconds }
}

async fn launch_all(endpoint: &str, calls: usize) {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(15));
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https())
        .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"))
        .region(Region::new("eu-central-1"))
        .endpoint_url(format!("http://{endpoint}"))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts.build())
        .build();
    let client = Client::from_conf(config);
    let slots = Arc::new(Semaphore::new(CALLS_AT_ONCE));
    let mut under_way = tokio::task::JoinSet::new();
    for nth in 0..calls {
        let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
        let client = client.clone();
        under_way.spawn(async move {
            let output = Box::pin(call(&client, nth).send()).await.unwrap();
            assert_eq!(output.tasks().len(), 1);
            drop(slot);
        });
    }
    under_way.join_all().await;
}

fn call(client: &Client, nth: usize) -> aws_sdk_ecs::operation::run_task::builders::RunTaskFluentBuilder {
    let (job, run) = (format!("job-{nth}"), format!("job-{nth}@2026-11-26T12:00:00Z"));
    let marks = [("job", job.as_str()), ("run", &run), ("scheduled-at", "2026-11-26T12:00:00Z"), ("attempt", "1")];
    let variables = ["JOB", "RUN_ID", "SCHEDULED_AT", "ATTEMPT"].iter().zip(marks);
    let pair = |name: String, value: &str| KeyValuePair::builder().name(name).value(value).build();
    let variables = variables.map(|(name, (_, value))| pair(format!("TENACRON_{name}"), value));
    let container = ContainerOverride::builder()
        .name("app")
        .command("run")
        .set_environment(Some(variables.collect()))
        .environment(pair("STAGE".to_owned(), "prod"))
        .build();
    let tags = marks.map(|(key, value)| Tag::builder().key(format!("tenacron:{key}")).value(value).build());
    let network = AwsVpcConfiguration::builder().subnets("subnet-1").security_groups("sg-1").build().unwrap();
    client
        .run_task()
        .client_token(format!("{nth:064}"))
        .started_by(format!("tenacron/{nth:016}"))
        .count(1)
        .cluster("batch")
        .task_definition("bench:1")
        .launch_type(LaunchType::Fargate)
        .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(network).build())
        .overrides(TaskOverride::builder().container_overrides(container).build())
        .set_tags(Some(tags.into()))
        .enable_ecs_managed_tags(false)
        .enable_execute_command(false)
}
