//! Notices on their way to people: what a notice says, in words and as JSON.
//!
//! Everything here is a value made of values. Nobody here calls, waits or remembers.

mod text;

pub use self::text::{SUBJECT_MAX, TEXT_MAX, VERSION, for_chat, json, subject, text};
