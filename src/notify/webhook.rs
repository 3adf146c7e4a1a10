//! A notice as the POST of a webhook: an object for programs, signed for those who share a key.
//!
//! The signature is made as Stripe makes it, for which receivers have code: `Tenacron-Signature: t=SECONDS,v1=HEX`, the
//! HMAC-SHA-256 of `SECONDS.BODY` under the key. The time is part of what is signed, so that an old request is no new one.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::channel::{Format, Webhook};
use super::{Wire, hex, json, slack};
use crate::engine::notice::Notice;

/// The request for a notice that is sent at this instant.
pub(super) fn wire(webhook: &Webhook, notice: &Notice, now: DateTime<Utc>) -> Wire {
    let body = match webhook.format {
        Format::Json => json(notice).to_string(),
        Format::Slack => slack::message(&notice.facts, webhook.address.host()),
    };
    let time = now.timestamp().to_string();
    let own = [
        ("Content-Type", "application/json".to_owned()),
        ("User-Agent", Wire::user_agent()),
        ("Tenacron-Notice-Id", notice.id.clone()),
        ("Tenacron-Run", notice.facts.run.to_string()),
        ("Tenacron-Timestamp", time.clone()),
    ];
    let mut headers: Vec<(String, String)> = own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    if let Some(secret) = &webhook.secret {
        let signature = signature(secret.reveal(), &time, &body);
        headers.push(("Tenacron-Signature".to_owned(), format!("t={time},v1={signature}")));
    }
    headers.extend(webhook.headers.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())));
    Wire { method: "POST", url: webhook.address.reveal().to_owned(), headers, body }
}

pub(super) fn signature(secret: &str, time: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    hex(&mac.finalize().into_bytes())
}
