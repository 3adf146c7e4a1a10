//! From settings and environment to what the clients of a target are made of, or a clear word why not.
//!
//! The SDK finds region, credentials and endpoint by its own chain, which its users know; the configuration of the daemon
//! comes before it. Left alone, the SDK reports a missing region and missing credentials as failures of each call, which
//! look like a failing network. Both are therefore asked for once, here, so that a daemon that can never call ECS does not
//! start; both waits are bounded, since off EC2 the chain ends in asking an address where nobody listens. The role of a
//! target is not asked for there: one that can't be assumed must not keep the jobs of the others from running.
//!
//! The calls themselves are never repeated by the SDK: the engine must see every answer to RunTask, and the other calls
//! are asked again by whoever needs them.

use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sdk_ecs::config::{Builder, Config, Region};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use super::answer::chain;
use crate::engine::job::{Instance, Target};
use crate::outbound;

/// How long reading profiles, and asking EC2 for the region, may take.
const LOAD_WAIT: Duration = Duration::from_secs(10);
/// How long the first credentials may take; programs and single sign-on are slower than roles.
const CREDENTIALS_WAIT: Duration = Duration::from_secs(20);

/// The longest name of a session. Source: AWS STS API reference, AssumeRole, `RoleSessionName`.
const SESSION_NAME_MAX: usize = 64;

/// What of the SDK is not logged unless it is asked for: of each refused role it says what the line of the call says.
pub const QUIET: &str = "aws_config::sts=error";

/// What the configuration says about ECS; all else is found by the SDK's own chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Names the sessions of assumed roles, which CloudTrail shows.
    pub instance: Instance,
    /// `[ecs] region`; otherwise `AWS_REGION`, the profile or EC2.
    pub region: Option<String>,
    /// `[ecs] endpoint`; otherwise `AWS_ENDPOINT_URL_ECS`, `AWS_ENDPOINT_URL`, the profile or the region's.
    pub endpoint: Option<String>,
    /// `[targets]`.
    pub targets: Vec<Target>,
}

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To make the connection, TLS included.
    pub connect: Duration,
    /// From connecting to the end of the answer.
    pub attempt: Duration,
    /// The whole call, fresh credentials included.
    pub operation: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(3),
            attempt: Duration::from_secs(10),
            operation: Duration::from_secs(15),
        }
    }
}

/// Why ECS cannot be called at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No region anywhere.
    #[error("no AWS region: set `region` in [ecs], or AWS_REGION, or a region in the AWS profile")]
    NoRegion,
    /// No credentials, and why.
    #[error(
        "no AWS credentials: tried the environment, the AWS profile, web identity, the ECS task role and the EC2 \
         instance role; give the task or the instance a role, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY ({0})"
    )]
    NoCredentials(String),
    /// The chain took too long.
    #[error(
        "found no {what} within {} seconds: set it in the environment or in the AWS profile, or set \
         AWS_EC2_METADATA_DISABLED=true if this is no EC2 instance", .wait.as_secs()
    )]
    TooSlow {
        /// What was looked for.
        what: &'static str,
        /// How long.
        wait: Duration,
    },
    /// The endpoint is no URL.
    #[error("`{0}` is no endpoint: use http://host:port or https://host")]
    Endpoint(String),
    /// The role of a target gives no credentials, and why.
    #[error("the role could not be assumed: {0}")]
    Role(String),
}

/// Finds out what the SDK's chain knows, and checks it: what every client of the daemon's own account begins with. The
/// endpoint of `[ecs]` is not in it, for it is that of ECS alone.
pub(super) async fn shared(settings: &Settings) -> Result<SdkConfig, ConnectError> {
    settings.endpoint.as_deref().map(checked_endpoint).transpose()?;
    if settings.endpoint.is_none() || settings.targets.iter().any(|target| target.endpoint.is_none()) {
        check_environment(|variable| std::env::var(variable).ok())?;
    }
    let mut loader =
        aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(outbound::client_with_env_proxy());
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let slow = |_elapsed| ConnectError::TooSlow { what: "AWS configuration and region", wait: LOAD_WAIT };
    let shared = tokio::time::timeout(LOAD_WAIT, loader.load()).await.map_err(slow)?;
    check(&shared).await?;
    Ok(shared)
}

/// The same without a look at the environment, for an endpoint that takes any credentials.
pub(super) fn shared_local() -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(outbound::client_without_proxy())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "local", "local", None, None, "tenacron",
        )))
        .region(Region::new("local"))
        .build()
}

/// The same for a target: in its region, as its role. The role is assumed at the region's own STS, by the SDK, when the
/// first call needs it and before it expires.
pub(super) async fn shared_for(own: &SdkConfig, target: &Target, session: &str, timeouts: Timeouts) -> SdkConfig {
    let mut config = own.clone();
    if let Some(region) = &target.region {
        config = config.into_builder().region(Region::new(region.clone())).build();
    }
    let Some(role_arn) = &target.role_arn else { return config };
    let sts = config.clone().into_builder().timeout_config(timeouts.into()).build();
    let mut role = AssumeRoleProvider::builder(role_arn).session_name(session).configure(&sts);
    if let Some(external_id) = &target.external_id {
        role = role.external_id(external_id);
    }
    let role = SharedCredentialsProvider::new(role.build().await);
    // A cache of its own: the common one has room for few roles, and one that is full has them assumed for each call.
    let cache = IdentityCache::lazy().build();
    config.into_builder().credentials_provider(role).identity_cache(cache).build()
}

/// The name of a session, as CloudTrail shows it.
pub(super) fn session_name(instance: &Instance) -> String {
    format!("tenacron-{instance}").chars().take(SESSION_NAME_MAX).collect()
}

/// A client's configuration for the ECS of a target.
pub(super) fn ecs(shared: &SdkConfig, endpoint: Option<&str>, timeouts: Timeouts) -> Config {
    let mut config = Builder::from(shared);
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint);
    }
    config.retry_config(RetryConfig::disabled()).timeout_config(timeouts.into()).build()
}

impl From<Timeouts> for TimeoutConfig {
    fn from(Timeouts { connect, attempt, operation }: Timeouts) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(connect)
            .operation_attempt_timeout(attempt)
            .operation_timeout(operation)
            .build()
    }
}

/// Whether a target has credentials.
pub(super) async fn check_role(shared: &SdkConfig) -> Result<(), ConnectError> {
    check(shared).await.map_err(|error| match error {
        ConnectError::NoCredentials(why) => ConnectError::Role(why),
        other => other,
    })
}

async fn check(shared: &SdkConfig) -> Result<(), ConnectError> {
    if shared.region().is_none_or(|region| region.as_ref().is_empty()) {
        return Err(ConnectError::NoRegion);
    }
    let Some(provider) = shared.credentials_provider() else {
        return Err(ConnectError::NoCredentials("no provider is set".to_owned()));
    };
    match tokio::time::timeout(CREDENTIALS_WAIT, provider.provide_credentials()).await {
        Ok(Ok(_credentials)) => Ok(()),
        // The SDK repeats this before each provider that it tried.
        Ok(Err(error)) => {
            Err(ConnectError::NoCredentials(chain(&error).replace("the credential provider was not enabled: ", "")))
        }
        Err(_elapsed) => Err(ConnectError::TooSlow { what: "AWS credentials", wait: CREDENTIALS_WAIT }),
    }
}

/// The SDK warns of an endpoint that is no URL and calls the real AWS instead; a trial must not end there.
fn check_environment(read: impl Fn(&str) -> Option<String>) -> Result<(), ConnectError> {
    for variable in ["AWS_ENDPOINT_URL_ECS", "AWS_ENDPOINT_URL"] {
        let text = read(variable).filter(|text| !text.is_empty());
        if text.as_deref().is_some_and(|text| checked_endpoint(text).is_err()) {
            return Err(ConnectError::Endpoint(format!("{variable}={}", text.unwrap_or_default())));
        }
    }
    Ok(())
}

pub(super) fn checked_endpoint(text: &str) -> Result<&str, ConnectError> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let plain = |host: &str| !host.is_empty() && !host.starts_with('/') && !host.contains(char::is_whitespace);
    if host.is_some_and(plain) { Ok(text) } else { Err(ConnectError::Endpoint(text.to_owned())) }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

    use super::*;

    #[derive(Debug)]
    struct Provider(Option<&'static str>);

    impl ProvideCredentials for Provider {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            match self.0 {
                Some(why) => future::ProvideCredentials::ready(Err(CredentialsError::not_loaded(why))),
                None => future::ProvideCredentials::new(std::future::pending()),
            }
        }
    }

    fn shared(region: Option<&'static str>, provider: Provider) -> SdkConfig {
        SdkConfig::builder()
            .region(region.map(Region::new))
            .credentials_provider(SharedCredentialsProvider::new(provider))
            .build()
    }

    #[test]
    fn sessions_of_the_longest_instance_have_a_name_that_sts_takes() {
        let name = |instance: &str| session_name(&Instance::new(instance).unwrap());
        assert_eq!(name("prod.eu"), "tenacron-prod.eu");
        assert_eq!(name(&"x".repeat(64)).len(), SESSION_NAME_MAX);
    }

    #[tokio::test]
    async fn missing_region_is_named_before_credentials_are_asked_for() {
        let refused = check(&shared(None, Provider(None))).await.unwrap_err();
        assert_eq!(refused, ConnectError::NoRegion);
        assert!(refused.to_string().contains("AWS_REGION"), "{refused}");
    }

    #[tokio::test]
    async fn missing_credentials_say_what_was_tried_and_why_it_failed() {
        let refused = check(&shared(Some("eu-central-1"), Provider(Some("profile `x` is unknown")))).await.unwrap_err();
        let told = refused.to_string();
        for part in ["no AWS credentials", "ECS task role", "AWS_PROFILE", "profile `x` is unknown"] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_that_never_come_are_waited_for_no_longer_than_the_limit() {
        let refused = check(&shared(Some("eu-central-1"), Provider(None))).await.unwrap_err();
        assert_eq!(refused, ConnectError::TooSlow { what: "AWS credentials", wait: CREDENTIALS_WAIT });
        assert!(refused.to_string().contains("within 20 seconds"), "{refused}");
    }

    #[test]
    fn an_endpoint_of_the_environment_that_is_no_url_is_refused_by_its_variable() {
        let set = |name: &'static str, text: &'static str| {
            check_environment(|variable| (variable == name).then(|| text.to_owned()))
        };
        assert_eq!(set("AWS_ENDPOINT_URL", "http://127.0.0.1:8475"), Ok(()));
        assert_eq!(set("AWS_ENDPOINT_URL", ""), Ok(()));
        let forgotten = ConnectError::Endpoint("AWS_ENDPOINT_URL=127.0.0.1:8475".to_owned());
        assert_eq!(set("AWS_ENDPOINT_URL", "127.0.0.1:8475"), Err(forgotten));
        assert!(set("AWS_ENDPOINT_URL_ECS", "ftp://x").is_err());
    }

    #[test]
    fn endpoint_must_be_a_url_with_a_host() {
        for good in ["http://127.0.0.1:8000", "https://ecs.example.com"] {
            assert_eq!(checked_endpoint(good), Ok(good));
        }
        for bad in ["", "127.0.0.1:8000", "ftp://host", "http://", "https:///x", "http://a b"] {
            assert_eq!(checked_endpoint(bad), Err(ConnectError::Endpoint(bad.to_owned())));
        }
    }
}
