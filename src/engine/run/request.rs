//! A run that somebody asked for: who, when and why, and what is different about it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::job::{JobName, Overlap};
use super::id::Kind;
use super::{RunId, Trigger};

/// Who asked for something, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// Who, as the socket or the listener knows it.
    pub by: String,
    /// Why, in their own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Asker {
    /// "by uid 0 (root): maintenance".
    pub fn in_words(&self) -> String {
        match &self.reason {
            Some(reason) => format!("by {}: {reason}", self.by),
            None => format!("by {}", self.by),
        }
    }
}

/// What is kept of the request with its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Who asked.
    #[serde(flatten)]
    pub asker: Asker,
    /// What the run does that meets a living one, if not what its job's `overlap` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// Of which run it repeats the instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<RunId>,
}

/// A firing that is to be recorded as a run.
#[derive(Debug, Clone)]
pub struct Firing {
    /// The name of the run that it becomes.
    pub id: RunId,
    /// The job.
    pub job: JobName,
    /// The nominal instant.
    pub scheduled_at: DateTime<Utc>,
    /// What began it.
    pub trigger: Trigger,
    /// What somebody asked for.
    pub request: Option<Request>,
}

impl Firing {
    /// An instant that the job's schedule named.
    pub fn of_schedule(job: &JobName, scheduled_at: DateTime<Utc>, trigger: Trigger) -> Firing {
        let id = RunId::of_firing(job, scheduled_at);
        Firing { id, job: job.clone(), scheduled_at, trigger, request: None }
    }

    /// A run now; `asked_at` is its instant.
    pub fn manual(job: &JobName, request: Request, asked_at: DateTime<Utc>) -> Firing {
        Firing::asked(job, asked_at, Kind::Manual, request, asked_at)
    }

    /// The instant of another run once more; `request.retry_of` names that run.
    pub fn retry(job: &JobName, scheduled_at: DateTime<Utc>, request: Request, asked_at: DateTime<Utc>) -> Firing {
        Firing::asked(job, scheduled_at, Kind::Retry, request, asked_at)
    }

    /// An instant of the past.
    pub fn backfill(job: &JobName, scheduled_at: DateTime<Utc>, request: Request, asked_at: DateTime<Utc>) -> Firing {
        Firing::asked(job, scheduled_at, Kind::Backfill, request, asked_at)
    }

    fn asked(
        job: &JobName,
        scheduled_at: DateTime<Utc>,
        kind: Kind,
        request: Request,
        asked_at: DateTime<Utc>,
    ) -> Firing {
        let id = RunId::of_request(job, scheduled_at, kind, asked_at);
        Firing { id, job: job.clone(), scheduled_at, trigger: kind.trigger(), request: Some(request) }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn asked(reason: Option<&str>) -> Request {
        let asker = Asker { by: "uid 0 (root)".into(), reason: reason.map(str::to_owned) };
        Request { asker, overlap: None, retry_of: None }
    }

    #[test]
    fn what_was_asked_for_has_a_name_of_its_own_that_says_its_instant_and_when() {
        let job = JobName::new("nightly").unwrap();
        let at = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
        let asked_at = at + TimeDelta::milliseconds(90_061_007);
        let names: Vec<String> = [
            Firing::of_schedule(&job, at, Trigger::Catchup),
            Firing::manual(&job, asked(None), asked_at),
            Firing::retry(&job, at, asked(None), asked_at),
            Firing::backfill(&job, at, asked(None), asked_at),
        ]
        .iter()
        .map(|firing| firing.id.to_string())
        .collect();
        assert_eq!(
            names,
            [
                "nightly-20260101T000000Z",
                "nightly-20260102T010101.007Z-manual",
                "nightly-20260101T000000Z-retry-20260102T010101.007Z",
                "nightly-20260101T000000Z-backfill-20260102T010101.007Z",
            ]
        );
    }

    #[test]
    fn a_name_tells_what_began_its_run_and_no_other_job_or_instant_has_it() {
        let job = JobName::new("nightly").unwrap();
        let at = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
        let retry = Firing::retry(&job, at, asked(Some("again")), at);
        assert_eq!(retry.id.trigger_of(&job, at), Some(Trigger::Manual));
        assert_eq!(Firing::backfill(&job, at, asked(None), at).id.trigger_of(&job, at), Some(Trigger::Backfill));
        assert_eq!(RunId::of_firing(&job, at).trigger_of(&job, at), Some(Trigger::Schedule));
        assert_eq!(retry.id.trigger_of(&job, at + TimeDelta::seconds(1)), None);
        // A job may be named like a run of another one.
        let other = JobName::new("nightly-20260101T000000Z").unwrap();
        assert_eq!(RunId::of_firing(&other, at).trigger_of(&job, at), None);
    }

    #[test]
    fn who_asked_is_stored_beside_what_is_different() {
        let request = Request { overlap: Some(Overlap::QueueAll), ..asked(Some("catch up")) };
        let stored = serde_json::to_string(&request).unwrap();
        assert_eq!(stored, r#"{"by":"uid 0 (root)","reason":"catch up","overlap":"queue_all"}"#);
        assert_eq!(serde_json::from_str::<Request>(&stored).unwrap(), request);
    }
}
