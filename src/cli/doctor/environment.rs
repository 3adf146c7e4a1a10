//! What of the environment decides where calls go and with whose credentials. Names alone: their values may be secrets.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::Config;

/// Variables that AWS's SDK takes credentials by, in the order in which it asks (SDKs and Tools Reference Guide).
const CREDENTIALS: [&str; 8] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_EC2_METADATA_DISABLED",
];
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_ECS", "AWS_ENDPOINT_URL"];
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
const PROXIES: [&str; 8] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"];
const OURS: [&str; 5] = ["TENACRON_CONFIG", "TENACRON_SOCKET", "TENACRON_URL", "TENACRON_TOKEN_FILE", "TENACRON_TOKEN"];
/// Where the certificates are of those whom TLS trusts, on the systems that there are.
const CERTIFICATES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Variables of a process.
#[derive(Debug)]
pub(super) struct Variables {
    pub(super) of_daemon: bool,
    values: BTreeMap<OsString, OsString>,
}

impl Variables {
    /// Those of the daemon if they may be read, else our own, which a service need not share.
    pub(super) fn of(daemon: Option<i32>) -> Variables {
        let read = daemon.and_then(|pid| fs::read(format!("/proc/{pid}/environ")).ok());
        match read {
            Some(bytes) => Variables { of_daemon: true, values: parsed(&bytes) },
            None => Variables { of_daemon: false, values: std::env::vars_os().collect() },
        }
    }

    /// The value of one; not to be told.
    pub(super) fn value(&self, name: &str) -> Option<OsString> {
        self.values.get(&OsString::from(name)).cloned()
    }

    fn is_set(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| !value.is_empty())
    }

    fn set<'n>(&self, names: &[&'n str]) -> Vec<&'n str> {
        names.iter().copied().filter(|name| self.is_set(name)).collect()
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }
}

fn parsed(bytes: &[u8]) -> BTreeMap<OsString, OsString> {
    let pairs = bytes.split(|byte| *byte == 0).filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at(at);
        Some((OsString::from_vec(name.to_vec()), OsString::from_vec(value.get(1..)?.to_vec())))
    });
    pairs.collect()
}

/// The environment as it is told.
#[derive(Debug, Serialize)]
pub(super) struct Environment {
    /// Whether it is the daemon's; else that of the command.
    pub(super) of_daemon: bool,
    /// Where the region comes from.
    pub(super) region: String,
    /// Where the endpoint comes from.
    pub(super) endpoint: String,
    /// Which variables name credentials.
    pub(super) credentials: Vec<&'static str>,
    /// Which variables of a proxy are set.
    pub(super) proxies: Vec<&'static str>,
    /// Which variables of ours are set.
    pub(super) tenacron: Vec<&'static str>,
    /// Where trusted certificates are; none if there are none where they are looked for.
    pub(super) certificates: Option<PathBuf>,
}

impl Environment {
    pub(super) fn of(variables: &Variables, config: Option<&Config>) -> Environment {
        let from = |configured: Option<Option<String>>, names: &[&str], otherwise: &str| match configured {
            Some(Some(told)) => told,
            None => "not known while the configuration is broken".to_owned(),
            Some(None) => variables.set(names).first().map_or(otherwise.to_owned(), |name| (*name).to_owned()),
        };
        let region = config.map(|config| config.ecs.region.as_ref().map(|region| format!("{region} ([ecs] region)")));
        let endpoint = config.map(|config| config.ecs.endpoint.as_ref().map(|_| "[ecs] endpoint".to_owned()));
        Environment {
            of_daemon: variables.of_daemon,
            region: from(region, &REGIONS, "a profile's, or that of the machine"),
            endpoint: from(endpoint, &ENDPOINTS, "the region's own"),
            credentials: variables.set(&CREDENTIALS),
            proxies: variables.set(&PROXIES),
            tenacron: variables.set(&OURS),
            certificates: certificates(variables),
        }
    }
}

/// As rustls-native-certs looks: what the variables name goes before what the system has.
fn certificates(variables: &Variables) -> Option<PathBuf> {
    let named: Vec<PathBuf> =
        ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().filter_map(|name| variables.path(name)).collect();
    let candidates = if named.is_empty() { CERTIFICATES.map(PathBuf::from).to_vec() } else { named };
    candidates.into_iter().find(|path| has_content(path))
}

fn has_content(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(about) if about.is_dir() => fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()),
        Ok(about) => about.len() > 0,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(text: &str) -> Variables {
        Variables { of_daemon: true, values: parsed(text.as_bytes()) }
    }

    #[test]
    fn names_are_told_and_no_values() {
        let text =
            "AWS_REGION=eu-1\0AWS_ACCESS_KEY_ID=canary\0HTTPS_PROXY=http://u:canary@p\0NO_PROXY=\0odd\0=\0A==x=\0";
        let environment = Environment::of(&variables(text), None);
        assert_eq!(environment.credentials, ["AWS_ACCESS_KEY_ID"]);
        assert_eq!(environment.proxies, ["HTTPS_PROXY"], "one that is empty counts as absent");
        let told = serde_json::to_string(&environment).unwrap();
        assert!(!told.contains("canary"), "{told}");
    }

    #[test]
    fn certificates_are_looked_for_where_tls_looks() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let named = |path: &Path| certificates(&variables(&format!("SSL_CERT_DIR={}", path.display())));
        assert_eq!(named(&empty), None, "what is named hides the system's");
        assert_eq!(named(folder.path()), Some(folder.path().to_owned()));
    }
}
