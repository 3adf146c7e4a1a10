//! A notice as a message of Slack, which Mattermost takes too, and Discord at its addresses that end in `/slack`.
//!
//! What a container says may hold markup, and names that call people. Slack's own are between angle brackets, which are
//! escaped; the others read a plain `@here`, so an invisible space parts the sign from the name. The text stands in a block
//! that is shown as it is. Source: Slack API documentation, "Formatting text for app surfaces".

use serde_json::json;

use super::Words;

/// The longest message, in characters. Source: Mattermost's default of 16,383; Slack takes more.
const MESSAGE_MAX: usize = 12_000;
/// And of Discord, which refuses longer ones. Source: Discord developer documentation, "Execute Webhook", `content`: 2,000.
const DISCORD_MAX: usize = 1_900;
/// Invisible, and no part of a name.
const APART: char = '\u{200b}';

/// The body of the request.
pub(super) fn message(words: &Words, host: &str) -> String {
    let is_discord =
        ["discord.com", "discordapp.com"].iter().any(|of| host == *of || host.ends_with(&format!(".{of}")));
    let most = if is_discord { DISCORD_MAX } else { MESSAGE_MAX };
    let (subject, mut text) = (escaped(&words.subject), escaped(&words.text.replace("```", "'''")));
    let room = most.saturating_sub(subject.chars().count() + 10);
    if let Some((cut, _)) = text.char_indices().nth(room) {
        text.truncate(cut);
        text.push('…');
    }
    json!({ "text": format!("{subject}\n```\n{}\n```", text.trim_end()) }).to_string()
}

/// Without a meaning to whoever shows it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '@' if characters.peek().is_some_and(|next| next.is_alphanumeric()) => escaped.extend(['@', APART]),
            other => escaped.push(other),
        }
    }
    escaped
}
