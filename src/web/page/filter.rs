//! Which runs a list shows, as its address says: `status=` and `before=`. Whatever else an address says is refused.

use maud::{Markup, html};

use super::parts::{Look, words};
use super::shell::NoPage;
use crate::engine::run::{RunId, Status};
use crate::web::api;

/// Names for several statuses at once: how the address says it, how a person reads it, and what looks so.
const GROUPS: [(&str, &str, &[Look]); 2] = [
    ("bad", "failed, timed out, unknown or missed", &[Look::Bad]),
    ("live", "in progress", &[Look::Live, Look::Caught]),
];

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// Of the statuses, as it was written; empty for all of them.
    status: String,
    /// Those that it means.
    pub(super) statuses: Vec<Status>,
    /// From where on.
    pub(super) before: Option<RunId>,
}

impl Filter {
    /// Reads the values; what a form leaves empty is not asked for.
    pub(super) fn read(status: String, before: &str) -> Result<Filter, NoPage> {
        let statuses = match group(&status) {
            Some(statuses) => statuses,
            None if status.is_empty() => Vec::new(),
            None => vec![api::status(&status).map_err(|problem| with_groups(NoPage::from(problem)))?],
        };
        let before = Some(before).filter(|before| !before.is_empty()).map(RunId::from_text);
        Ok(Filter { status, statuses, before })
    }

    /// Whether nothing is left out, and the list begins with the newest.
    pub(super) fn is_open(&self) -> bool {
        self.statuses.is_empty() && self.before.is_none()
    }

    /// The choice of a form.
    pub(super) fn select(&self) -> Markup {
        let statuses = Status::ALL.map(|status| (status.as_str(), words(status.as_str())));
        let groups = GROUPS.map(|(name, text, _)| (name, text.to_owned()));
        html! {
            label { "Status "
                select name="status" {
                    option value="" { "any" }
                    @for (name, text) in groups.into_iter().chain(statuses) {
                        option value=(name) selected[name == self.status] { (text) }
                    }
                }
            }
        }
    }

    /// The way to the newest and to older runs of the same choice.
    pub(super) fn pager(&self, path: &str, job: Option<&str>, last: Option<&RunId>) -> Markup {
        let kept = [("job", job.unwrap_or_default()), ("status", &self.status)];
        let newest = address(path, kept.into_iter());
        let older = last.map(|last| address(path, kept.into_iter().chain([("before", last.as_str())])));
        html! {
            @if self.before.is_some() || older.is_some() {
                nav .pager aria-label="More runs" {
                    @if self.before.is_some() { a href=(newest) { "Newest" } }
                    @if let Some(older) = older { a href=(older) rel="next" { "Older" } }
                }
            }
        }
    }
}

/// An address with what is not empty. The names of jobs, statuses and runs are plain.
fn address<'a>(path: &str, values: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let said = values.filter(|(_, value)| !value.is_empty()).map(|(key, value)| format!("{key}={value}"));
    let said = said.collect::<Vec<_>>().join("&");
    if said.is_empty() { path.to_owned() } else { format!("{path}?{said}") }
}

fn group(name: &str) -> Option<Vec<Status>> {
    let (_, _, looks) = GROUPS.into_iter().find(|(group, _, _)| *group == name)?;
    Some(Status::ALL.into_iter().filter(|status| looks.contains(&Look::of(*status))).collect())
}

fn with_groups(problem: NoPage) -> NoPage {
    problem.and(&format!("; or several of them: {}", GROUPS.map(|(name, _, _)| name).join(", ")))
}

/// The statuses of runs that go on.
pub(super) fn live() -> Vec<Status> {
    group("live").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_or_a_group_and_what_is_empty_is_none() {
        let read = |status: &str| Filter::read(status.to_owned(), "").map(|filter| filter.statuses);
        assert_eq!(read("").unwrap(), []);
        assert_eq!(read("timed_out").unwrap(), [Status::TimedOut]);
        assert_eq!(read("bad").unwrap(), [Status::Failed, Status::TimedOut, Status::Missed, Status::Unknown]);
        assert_eq!(live().len(), 5);
        let refused = format!("{:?}", read("<script>").unwrap_err());
        assert!(
            refused.contains("is not a status: due, ") && refused.contains("several of them: bad, live"),
            "{refused}"
        );
    }

    #[test]
    fn pages_keep_what_was_chosen() {
        let filter = Filter::read("bad".to_owned(), "nightly-2").unwrap();
        let pager = filter.pager("/runs", Some("nightly"), Some(&RunId::from_text("nightly-1"))).into_string();
        assert!(pager.contains(r#"href="/runs?job=nightly&amp;status=bad&amp;before=nightly-1""#), "{pager}");
        assert!(pager.contains(r#"href="/runs?job=nightly&amp;status=bad""#), "{pager}");
        assert_eq!(Filter::default().pager("/runs", None, None).into_string(), "");
        assert!(filter.select().into_string().contains(r#"<option value="bad" selected>"#));
    }
}
