//! The outbox: notices that are owed, and what became of those that were.
//!
//! A notice is saved with the transition that it is about, and delivered from here: so none is lost by a death in between,
//! and one that was sent and not marked is sent again under the same name.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::row::{self, Fault};
use crate::engine::job::JobName;
use crate::engine::notice::{ChannelId, Notice, On};
use crate::engine::run::RunId;

/// The longest pause between two tries. A try that lies further ahead was planned on a clock that has been set back since.
pub const PAUSE_MAX: TimeDelta = TimeDelta::hours(1);

/// Where a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// It is to be delivered.
    Owed,
    /// The other side took it.
    Delivered,
    /// It was given up: a dead letter.
    Dead,
}

impl NoticeState {
    /// All of them.
    pub const ALL: [NoticeState; 3] = [NoticeState::Owed, NoticeState::Delivered, NoticeState::Dead];

    /// The name in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            NoticeState::Owed => "owed",
            NoticeState::Delivered => "delivered",
            NoticeState::Dead => "dead",
        }
    }
}

impl std::str::FromStr for NoticeState {
    type Err = ();
    fn from_str(text: &str) -> Result<NoticeState, ()> {
        NoticeState::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// A notice that is to be delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct OwedNotice {
    /// What is to be delivered.
    pub notice: Notice,
    /// Since when: its own instant, or when somebody asked for another try of a dead letter.
    pub since: DateTime<Utc>,
    /// How often it was tried since then.
    pub tries: u32,
}

/// What became of a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeMove {
    /// Its name.
    pub id: String,
    /// When.
    pub at: DateTime<Utc>,
    /// How often it was tried by then, since it was owed or revived.
    pub tries: u32,
    /// What.
    pub turn: NoticeTurn,
}

/// Where a notice goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeTurn {
    /// The other side took it. What it said is dropped.
    Delivered,
    /// A try failed.
    Again {
        /// When to try next, [`PAUSE_MAX`] ahead at most.
        next_at: DateTime<Utc>,
        /// What went wrong, without a secret.
        error: String,
    },
    /// It is given up.
    Dead {
        /// Why, without a secret.
        error: String,
    },
    /// A dead letter is owed again, as if it were new.
    Revived,
}

/// Which notices to list.
#[derive(Debug, Clone, Default)]
pub struct NoticeQuery {
    /// In this state only.
    pub state: Option<NoticeState>,
    /// Of this job only.
    pub job: Option<JobName>,
    /// By this channel only.
    pub channel: Option<ChannelId>,
    /// Owed before this one, by its name.
    pub before: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// A notice as listings show it; the JSON object of the interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoticeSummary {
    /// Its name.
    pub id: String,
    /// What it is about.
    pub on: On,
    /// By which channel.
    pub channel: ChannelId,
    /// Its job.
    pub job: JobName,
    /// Its run.
    pub run: RunId,
    /// Where it is.
    pub state: NoticeState,
    /// When it was owed first.
    pub owed_at: DateTime<Utc>,
    /// How often it was tried.
    pub tries: u32,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was delivered, given up, or tried last; none if it was not tried yet.
    pub at: Option<DateTime<Utc>>,
    /// When it is tried next; none if it is no longer owed.
    pub next_at: Option<DateTime<Utc>>,
}

/// How many notices wait, and how many nobody will get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeCounts {
    /// Owed.
    pub owed: u64,
    /// Given up.
    pub dead: u64,
}

/// A row of the table `notice`, but for its run.
#[derive(Debug, Clone)]
pub(super) struct NoticeRow {
    pub(super) id: String,
    pub(super) channel: String,
    pub(super) job: String,
    pub(super) about: String,
    pub(super) owed_at: i64,
    pub(super) since: i64,
    /// None once it is no longer owed.
    pub(super) next_at: Option<i64>,
    pub(super) moved_at: Option<i64>,
    pub(super) tries: u32,
    pub(super) last_error: Option<String>,
    pub(super) state: String,
    /// JSON; none once it is delivered.
    pub(super) facts: Option<String>,
}

impl NoticeRow {
    pub(super) fn of(notice: &Notice) -> Result<NoticeRow, Fault> {
        let Notice { id, channel, at, facts } = notice;
        let at = at.timestamp_millis();
        Ok(NoticeRow {
            id: id.clone(),
            channel: channel.0.to_string(),
            job: facts.job.as_str().to_owned(),
            about: facts.on.as_str().to_owned(),
            owed_at: at,
            since: at,
            next_at: Some(at),
            moved_at: None,
            tries: 0,
            last_error: None,
            state: NoticeState::Owed.as_str().to_owned(),
            facts: Some(row::to_json(&**facts)?),
        })
    }

    /// What becomes of it; nothing if it is not in the state for that.
    pub(super) fn take(&mut self, moved: &NoticeMove) {
        let NoticeMove { id: _, at, tries, turn } = moved;
        let at = at.timestamp_millis();
        let (from, to, next_at, error) = match turn {
            NoticeTurn::Delivered => (NoticeState::Owed, NoticeState::Delivered, None, None),
            NoticeTurn::Again { next_at, error } => {
                (NoticeState::Owed, NoticeState::Owed, Some(next_at.timestamp_millis()), Some(error))
            }
            NoticeTurn::Dead { error } => (NoticeState::Owed, NoticeState::Dead, None, Some(error)),
            NoticeTurn::Revived => (NoticeState::Dead, NoticeState::Owed, Some(at), None),
        };
        if self.state != from.as_str() {
            return;
        }
        (self.state, self.next_at, self.tries) = (to.as_str().to_owned(), next_at, *tries);
        self.last_error = error.cloned().or(self.last_error.take());
        match turn {
            NoticeTurn::Delivered => (self.moved_at, self.facts) = (Some(at), None),
            NoticeTurn::Again { .. } | NoticeTurn::Dead { .. } => self.moved_at = Some(at),
            NoticeTurn::Revived => self.since = at,
        }
    }

    pub(super) fn into_owed(self) -> Result<OwedNotice, Fault> {
        let named = self.named();
        let facts =
            self.facts.as_deref().ok_or_else(|| row::Damaged::new(&named, "facts", "it is owed and says nothing"))?;
        let notice = Notice {
            channel: ChannelId(self.channel.as_str().into()),
            at: row::instant(self.owed_at, &named, "owed_at")?,
            facts: std::sync::Arc::new(row::from_json(facts, &named, "facts")?),
            id: self.id,
        };
        Ok(OwedNotice { notice, since: row::instant(self.since, &named, "since")?, tries: self.tries })
    }

    pub(super) fn into_summary(self, run: RunId) -> Result<NoticeSummary, Fault> {
        let named = self.named();
        let damaged = |column, text: &str| row::Damaged::new(&named, column, format!("`{text}` is none"));
        let at = |millis: Option<i64>, column| millis.map(|millis| row::instant(millis, &named, column)).transpose();
        Ok(NoticeSummary {
            on: self.about.parse().map_err(|()| damaged("about", &self.about))?,
            state: self.state.parse().map_err(|()| damaged("state", &self.state))?,
            job: JobName::new(&self.job).map_err(|source| row::Damaged::new(&named, "job", source))?,
            owed_at: row::instant(self.owed_at, &named, "owed_at")?,
            at: at(self.moved_at, "moved_at")?,
            next_at: at(self.next_at, "next_at")?,
            channel: ChannelId(self.channel.as_str().into()),
            run,
            tries: self.tries,
            last_error: self.last_error,
            id: self.id,
        })
    }

    fn named(&self) -> String {
        format!("notice {}", self.id)
    }
}
