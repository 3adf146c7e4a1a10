//! The heartbeat of the daemon: an address that is called while the daemon is well, and never otherwise.
//!
//! Whoever keeps that address raises the alarm when the calls stop, also when this machine is gone. So nothing is sent that
//! says "not well": there is only silence, and silence must not depend on anybody here.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::clock;
use super::mailbox::Mailbox;
use super::notices::call;
use crate::notify::{Heartbeat, Outlets, Wire};
use crate::outbound::Caller;

/// Calls the address as often as the configuration of the moment says, until the future is dropped.
pub(super) async fn beat(mailbox: Mailbox, mut outlets: watch::Receiver<Arc<Outlets>>) {
    let caller = Caller::default();
    let (mut next, mut fails): (Option<DateTime<Utc>>, bool) = (None, false);
    loop {
        let heartbeat = outlets.borrow_and_update().heartbeat.clone();
        let now = clock::now();
        let is_due =
            next.is_none_or(|next| next <= now || heartbeat.as_ref().is_some_and(|beat| next > after(beat, now)));
        if let Some(heartbeat) = heartbeat.as_ref().filter(|_| is_due && mailbox.health().unready(now).is_none()) {
            next = Some(after(heartbeat, now));
            let called = call(&caller, &Wire::heartbeat(heartbeat)).await;
            let error = match called {
                Ok(reply) if (200..=299).contains(&reply.status) => None,
                Ok(reply) => Some(format!("{} answered HTTP {}", heartbeat.address.origin(), reply.status)),
                Err(error) => Some(error.to_string()),
            };
            match &error {
                Some(error) if !fails => tracing::warn!(error, "heartbeat could not be sent"),
                None if fails => tracing::info!("heartbeat is sent again"),
                Some(_) | None => {}
            }
            fails = error.is_some();
        }
        match &heartbeat {
            Some(_) => clock::nap_until(None).await,
            None if outlets.changed().await.is_err() => return,
            None => {}
        }
    }
}

fn after(heartbeat: &Heartbeat, now: DateTime<Utc>) -> DateTime<Utc> {
    now + heartbeat.interval
}
