//! A notice as a message of Slack, which Mattermost takes too, and Discord at its addresses that end in `/slack`.
//!
//! The text stands in a block that is shown as it is; whatever in it would end the block, or call people, is defused.

use serde_json::json;

use super::{for_chat, subject, text};
use crate::engine::notice::NoticeFacts;

/// The longest message that Discord takes is 2,000 characters; Slack and Mattermost take all that a notice says. Source:
/// Discord developer documentation, "Execute Webhook", `content`.
const DISCORD_MAX: usize = 1_900;

/// The body of the request.
pub(super) fn message(facts: &NoticeFacts, host: &str) -> String {
    let is_discord =
        ["discord.com", "discordapp.com"].iter().any(|of| host == *of || host.ends_with(&format!(".{of}")));
    let subject = for_chat(&subject(facts));
    let mut text = for_chat(&text(facts).replace("```", "'''"));
    let room = DISCORD_MAX.saturating_sub(subject.chars().count());
    if let Some((cut, _)) = text.char_indices().nth(room).filter(|_| is_discord) {
        text.truncate(cut);
        text.push('…');
    }
    json!({ "text": format!("{subject}\n```\n{text}\n```") }).to_string()
}
