//! The way out of one notice: by SNS or by HTTP, bounded in time, and whatever happens only one try.

use std::time::Duration;

use chrono::TimeDelta;

use super::super::clock;
use crate::ecs::Ecs;
use crate::engine::notice::{Notice, delivery};
use crate::notify::{Channel, Sendable, Wire, sendable, taken};
use crate::outbound::{CallFailed, Caller, Reply};

/// How long one try may take.
pub(crate) const TRY_WITHIN: Duration = Duration::from_secs(10);

/// Why a notice was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Untaken {
    /// For a person, without a secret.
    pub(super) why: String,
    /// The pause that the other side asks for.
    pub(super) asked_for: Option<TimeDelta>,
}

impl Untaken {
    pub(super) fn because(why: impl ToString) -> Untaken {
        Untaken { why: why.to_string(), asked_for: None }
    }
}

/// Sends notices.
#[derive(Debug, Clone)]
pub(super) struct Way<E> {
    ecs: E,
    caller: Caller,
}

impl<E: Ecs> Way<E> {
    pub(super) fn new(ecs: E) -> Way<E> {
        Way { ecs, caller: Caller::default() }
    }

    /// Makes one try, in a task of its own for the case that it panics.
    pub(super) async fn send(&self, channel: &Channel, notice: &Notice) -> Result<(), Untaken> {
        let (way, channel, notice) = (self.clone(), channel.clone(), notice.clone());
        let sending = tokio::spawn(async move { way.try_to_send(&channel, &notice).await });
        // Not told further: a panic may quote what it was about.
        sending.await.unwrap_or_else(|_panic| Err(Untaken::because("sending was aborted by a mistake in Tenacron")))
    }

    async fn try_to_send(&self, channel: &Channel, notice: &Notice) -> Result<(), Untaken> {
        match sendable(channel, notice, clock::now()) {
            Sendable::Nothing => Ok(()),
            Sendable::Publish(message) => match tokio::time::timeout(TRY_WITHIN, self.ecs.publish(&message)).await {
                Ok(published) => published.map_err(|error| Untaken::because(error.message)),
                Err(_elapsed) => Err(Untaken::because(format!("SNS did not answer within {} s", TRY_WITHIN.as_secs()))),
            },
            Sendable::Call(wire) => {
                let reply = call(&self.caller, &wire).await.map_err(Untaken::because)?;
                let asked_for = reply.retry_after.as_deref().and_then(|said| delivery::asked_for(said, clock::now()));
                let asked_for = asked_for.filter(|_| matches!(reply.status, 429 | 503));
                taken(channel, &reply).map_err(|why| Untaken { why, asked_for })
            }
        }
    }
}

/// Makes one call.
pub(crate) async fn call(caller: &Caller, wire: &Wire) -> Result<Reply, CallFailed> {
    caller.call(wire.outgoing(&wire.headers()), TRY_WITHIN).await
}
