//! The HTTP client beneath everything that calls out: TLS by rustls with ring, and proxies for the world but not for this
//! machine.
//!
//! The SDK gets it as a client, all else by `caller.rs`, which makes one bounded call at a time. Two things are decided here. TLS is chosen in one function, so that aws-lc is one line away for those who need FIPS.
//! And a proxy named in the environment is not asked for addresses that mean something only here: a loopback endpoint,
//! and the link-local addresses at which EC2 and ECS hand out credentials. Through a proxy those would reach the proxy's
//! own host, or hand its credentials to us. `NO_PROXY` is still obeyed for all else; the choice is made per request, for
//! the same client fetches credentials and calls ECS.

mod caller;
#[cfg(test)]
pub(crate) mod stub;

use std::net::IpAddr;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::config_bag::ConfigBag;

pub(crate) use self::caller::origin;
pub use self::caller::{BODY_MAX, CallFailed, Caller, Outgoing, Reply};

/// The variables that name a proxy, as the SDK reads them.
const PROXY_VARIABLES: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// A client that uses the proxy of the environment, if there is one.
pub(crate) fn client_with_env_proxy() -> SharedHttpClient {
    env_proxy().map_or_else(client_without_proxy, client_with_proxy)
}

/// The proxy of the environment.
fn env_proxy() -> Option<ProxyConfig> {
    let named = PROXY_VARIABLES.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    named.then(ProxyConfig::from_env)
}

/// A client that connects directly.
pub(crate) fn client_without_proxy() -> SharedHttpClient {
    aws_http_client(None)
}

pub(crate) fn client_with_proxy(proxy: ProxyConfig) -> SharedHttpClient {
    SharedHttpClient::new(ByHost { direct: aws_http_client(None), proxied: aws_http_client(Some(proxy)) })
}

/// The only place that chooses how TLS is done.
const TLS: Provider = Provider::Rustls(CryptoMode::Ring);

fn aws_http_client(proxy: Option<ProxyConfig>) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder();
        connector.set_proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        if let Some(sleep) = components.and_then(RuntimeComponents::sleep_impl) {
            connector.set_sleep_impl(Some(sleep));
        }
        connector.tls_provider(TLS).build()
    })
}

/// Chooses between two clients by the host of each request.
#[derive(Debug)]
struct ByHost {
    direct: SharedHttpClient,
    proxied: SharedHttpClient,
}

impl HttpClient for ByHost {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        // Both clients cache their connectors, so this is as cheap as either.
        SharedHttpConnector::new(ByHostConnector {
            direct: self.direct.http_connector(settings, components),
            proxied: self.proxied.http_connector(settings, components),
        })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.proxied.validate_base_client_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.proxied.connector_metadata()
    }
}

#[derive(Debug)]
struct ByHostConnector {
    direct: SharedHttpConnector,
    proxied: SharedHttpConnector,
}

impl HttpConnector for ByHostConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if is_of_this_machine(request.uri()) { self.direct.call(request) } else { self.proxied.call(request) }
    }
}

/// Whether the host of a URI is a loopback or link-local one, or EC2's metadata service over IPv6.
fn is_of_this_machine(uri: &str) -> bool {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host_and_port.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((bracketed, _port)) => bracketed,
        None => host_and_port.rsplit_once(':').map_or(host_and_port, |(host, _port)| host),
    };
    match host.parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            address.is_loopback()
                || address.is_unicast_link_local()
                || matches!(address.segments(), [0xfd00, 0x0ec2, ..])
        }
        Err(_name) => host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine_are_told_from_the_world() {
        for near in [
            "http://127.0.0.1:8080/",
            "http://localhost",
            "https://LOCALHOST:1/x",
            "http://ecs.localhost:5/",
            "http://[::1]:80/",
            "http://user:word@127.0.0.1:1/",
            "http://169.254.169.254/latest/api/token",
            "http://169.254.170.2/v2/credentials",
            "http://[fd00:ec2::254]/latest",
            "http://[fd00:ec2::23]/v1/credentials",
        ] {
            assert!(is_of_this_machine(near), "{near}");
        }
        for far in [
            "https://ecs.eu-central-1.amazonaws.com/",
            "http://10.0.0.1:80",
            "http://127.0.0.1.example.com/",
            "http://example.com/?at=http://localhost/",
            "http://localhost@example.com/",
            "http://[2001:db8::1]/",
            "http://notlocalhost/",
        ] {
            assert!(!is_of_this_machine(far), "{far}");
        }
    }
}
