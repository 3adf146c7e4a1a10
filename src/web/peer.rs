//! Who is at the other end of a connection, for the record of what people do.
//!
//! On the control socket the kernel tells the user; a name is looked up for the eyes only. On a loopback port nobody tells.

use std::fs;

use axum::extract::connect_info::Connected;
use axum::http::HeaderMap;
use axum::serve::IncomingStream;
use tokio::net::{TcpListener, UnixListener};

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
    /// Somebody on a loopback port.
    Port,
    /// The kernel did not tell.
    Unknown,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Peer {
        stream.io().peer_cred().map_or(Peer::Unknown, |told| Peer::User(told.uid()))
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(_stream: IncomingStream<'_, TcpListener>) -> Peer {
        Peer::Port
    }
}

impl Peer {
    /// Who asks, with the reason that they gave.
    pub(super) fn asks(&self, headers: &HeaderMap, reason: Option<String>) -> Asker {
        let by = match self {
            Peer::User(uid) => {
                let name = name_of(*uid).map(|name| format!(" ({name})")).unwrap_or_default();
                let said = headers.get(ON_BEHALF_OF).and_then(|said| said.to_str().ok());
                let whose = said.map(|said| format!(" for {}", kept(said))).unwrap_or_default();
                format!("uid {uid}{name}{whose}")
            }
            Peer::Port => "HTTP on loopback".to_owned(),
            Peer::Unknown => "somebody on the control socket".to_owned(),
        };
        Asker { by, reason: reason.map(|reason| kept(reason.trim())).filter(|reason| !reason.is_empty()) }
    }
}

fn kept(said: &str) -> String {
    said.chars().take(SAID_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
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
    use super::*;

    #[test]
    fn root_has_a_name_and_says_for_whom() {
        let mut headers = HeaderMap::new();
        headers.insert(ON_BEHALF_OF, "alice".parse().unwrap());
        let asker = Peer::User(0).asks(&headers, Some("  deploy\n ".into()));
        assert_eq!((asker.by.as_str(), asker.reason.as_deref()), ("uid 0 (root) for alice", Some("deploy")));
    }

    #[test]
    fn nobody_on_a_port_can_say_who_they_are() {
        let mut headers = HeaderMap::new();
        headers.insert(ON_BEHALF_OF, "root".parse().unwrap());
        assert_eq!(Peer::Port.asks(&headers, None).by, "HTTP on loopback");
    }
}
