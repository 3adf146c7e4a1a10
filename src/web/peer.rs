//! Who is at the other end of a connection, for the record of what people do.
//!
//! On the control socket the kernel tells the user; a name is looked up for the eyes only. On a port nobody tells: there is an
//! address, and whose token it was if one is asked for.

use std::fs;
use std::net::IpAddr;

use axum::http::HeaderMap;

use super::gate::Holder;
use crate::engine::run::Asker;

/// The header in which the command line says on whose behalf root acts.
pub const ON_BEHALF_OF: &str = "tenacron-user";
/// The longest name and reason that is kept.
const SAID_MAX: usize = 500;
const USERS: &str = "/etc/passwd";

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(super) enum Peer {
    /// A user of this machine, by the kernel's word.
    User(u32),
    /// Somebody on a port.
    Port {
        /// From where; behind a proxy, the proxy's.
        address: IpAddr,
        /// Whose token they showed; nobody's where none is asked for.
        holder: Option<Holder>,
    },
    /// The kernel did not tell.
    Unknown,
}

impl Peer {
    /// From where they ask, if that is a place.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self {
            Peer::Port { address, .. } => Some(*address),
            Peer::User(_) | Peer::Unknown => None,
        }
    }

    /// Who asks, with the reason that they gave.
    pub(super) fn asks(&self, headers: &HeaderMap, reason: Option<String>) -> Asker {
        let by = match self {
            Peer::User(uid) => {
                let name = name_of(*uid).map(|name| format!(" ({name})")).unwrap_or_default();
                let said = headers.get(ON_BEHALF_OF).and_then(|said| said.to_str().ok());
                let whose = said.map(|said| format!(" for {}", kept(said))).unwrap_or_default();
                format!("uid {uid}{name}{whose}")
            }
            Peer::Port { holder: None, .. } => "HTTP on loopback".to_owned(),
            Peer::Port { address, holder: Some(Holder { name: Some(name), .. }) } => {
                format!("HTTP token {name} from {address}")
            }
            Peer::Port { address, holder: Some(_) } => format!("HTTP from {address} with a full token"),
            Peer::Unknown => "somebody on the control socket".to_owned(),
        };
        Asker { by, reason: reason.map(|reason| kept(&reason).trim().to_owned()).filter(|reason| !reason.is_empty()) }
    }
}

/// Without what would turn the rest of a line around where it is shown. Source: UAX #9, explicit directional formatting.
fn kept(said: &str) -> String {
    let turns =
        |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}');
    said.chars().take(SAID_MAX).map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect()
}

fn name_of(uid: u32) -> Option<String> {
    let users = fs::read_to_string(USERS).ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::super::gate::May;
    use super::*;

    #[test]
    fn root_has_a_name_and_says_for_whom() {
        let mut headers = HeaderMap::new();
        headers.insert(ON_BEHALF_OF, "alice".parse().unwrap());
        let asker = Peer::User(0).asks(&headers, Some("  deploy\n \u{202e}".into()));
        assert_eq!((asker.by.as_str(), asker.reason.as_deref()), ("uid 0 (root) for alice", Some("deploy")));
    }

    #[test]
    fn nobody_on_a_port_can_say_who_they_are() {
        let mut headers = HeaderMap::new();
        headers.insert(ON_BEHALF_OF, "root".parse().unwrap());
        let on_port = |holder| Peer::Port { address: IpAddr::from([127, 0, 0, 1]), holder }.asks(&headers, None).by;
        assert_eq!(on_port(None), "HTTP on loopback");
        let holder = |name: Option<&str>| Some(Holder { name: name.map(str::to_owned), may: May::Act });
        assert_eq!(on_port(holder(None)), "HTTP from 127.0.0.1 with a full token");
        assert_eq!(on_port(holder(Some("ci"))), "HTTP token ci from 127.0.0.1");
    }
}
