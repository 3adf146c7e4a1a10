//! Notices on their way to people: the channels, and what each of them is sent.
//!
//! Everything here is a value made of values: `channel.rs` is what the configuration says of a channel, and the others write the
//! request that a notice becomes. Nobody here calls, waits or remembers; `daemon/notices.rs` does.

mod channel;

pub use self::channel::{Address, Channel, Format, Heartbeat, Outlets, Ping, Secret, Style, Topic, Webhook, kind_of};
