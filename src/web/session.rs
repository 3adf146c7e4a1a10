//! What a browser shows after somebody signed in with a token: until when, and proof that it was made here for that token. So
//! nothing is kept, a daemon that was started anew still knows it, and it ends with its token.

use std::time::Duration;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// How long a browser stays signed in: a night and the morning after.
pub(super) const LASTS: Duration = Duration::from_secs(12 * 60 * 60);
const NAME: &str = "tenacron_session";

/// The name of the cookie. Cookies know hosts and no ports, so each port has one of its own.
fn name(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = host.parse::<Authority>().ok().and_then(|host| host.port_u16());
    port.map_or_else(|| NAME.to_owned(), |port| format!("{NAME}_{port}"))
}

/// The cookie with a proof. Links from elsewhere lead in with it, forms from elsewhere do not carry it, and no script reads it.
pub(super) fn cookie(headers: &HeaderMap, proof: &str, lasts_seconds: u64) -> String {
    let over_tls = headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let (name, secure) = (name(headers), if over_tls { "; Secure" } else { "" });
    format!("{name}={proof}; Path=/; Max-Age={lasts_seconds}; HttpOnly; SameSite=Lax{secure}")
}

/// The proofs that a request shows.
pub(super) fn shown(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let ours = name(headers);
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    cookies.flat_map(|cookies| cookies.split(';')).filter_map(move |cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == ours && !value.is_empty()).then_some(value)
    })
}

/// Proof that whoever holds the token of this hash signed in.
pub(super) fn proof(token_hash: &[u8; 32], until: DateTime<Utc>) -> String {
    let until = until.timestamp();
    let code = Hmac::<Sha256>::new_from_slice(token_hash).ok().map(|mut code| {
        code.update(format!("tenacron session until {until}").as_bytes());
        code.finalize().into_bytes()
    });
    let digits: String = code.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
    format!("{until}-{digits}")
}

/// Until when a proof says that it holds, if that is not over.
pub(super) fn until(shown: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let (until, _) = shown.split_once('-')?;
    let until = DateTime::from_timestamp(until.parse().ok()?, 0)?;
    // What is made here never lasts longer: a clock that was set back must not make it.
    (now < until && until <= now + LASTS).then_some(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "cron.example".parse().unwrap());
        assert_eq!(shown(&headers).next(), None);
        headers.append(header::COOKIE, "a=b; tenacron_sessions=x;tenacron_session=1-ab ; c=d".parse().unwrap());
        headers.append(header::COOKIE, "tenacron_session_8474=2-cd; tenacron_session=".parse().unwrap());
        assert_eq!(shown(&headers).collect::<Vec<_>>(), ["1-ab"]);
        headers.insert(header::HOST, "127.0.0.1:8474".parse().unwrap());
        assert_eq!(shown(&headers).collect::<Vec<_>>(), ["2-cd"], "each port has its own");
        headers.insert(header::ORIGIN, "https://127.0.0.1:8474".parse().unwrap());
        let made = cookie(&headers, "1-ab", 60);
        assert_eq!(made, "tenacron_session_8474=1-ab; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
    }

    #[test]
    fn a_proof_is_of_its_token_and_its_time_alone() {
        let now = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
        let end = now + LASTS;
        let made = proof(&[7; 32], end);
        assert_eq!(until(&made, now), Some(end));
        assert_eq!(until(&made, end), None, "it is over");
        assert_eq!(until(&made, now - LASTS), None, "it would last too long");
        assert_eq!(made, proof(&[7; 32], end));
        assert_ne!(made, proof(&[8; 32], end));
        let (_, code) = made.split_once('-').unwrap();
        assert!(!proof(&[7; 32], end + chrono::TimeDelta::seconds(1)).contains(code));
        for wrong in ["", "-", "x-ab", "99999999999999999999-ab", "1767225600"] {
            assert_eq!(until(wrong, now), None, "{wrong}");
        }
    }
}
