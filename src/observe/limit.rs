//! Keeps one warning from drowning all others: so many lines a minute from each place in the code, and then their number.
//!
//! Only warnings and errors are counted, and none that names a run: what becomes of a run is always told.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// How many lines of one place are written in one [`WINDOW`].
const LINES_MAX: u32 = 60;
/// How long lines are counted together.
const WINDOW: Duration = Duration::from_secs(60);
/// The field of the line that says how many were left out, by which that line is known and never counted itself.
const LEFT_OUT: &str = "left_out";

/// The layer that does it.
#[derive(Debug, Default)]
pub(super) struct Limiter(Mutex<HashMap<Identifier, Window>>);

/// The lines of one place.
#[derive(Debug)]
struct Window {
    began_at: Instant,
    written: u32,
    /// How many were not, and the text of the first of them.
    left_out: Option<(u64, String)>,
}

impl<S: Subscriber> Layer<S> for Limiter {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        let now = Instant::now();
        if event.metadata().fields().field(LEFT_OUT).is_some() {
            return true;
        }
        // Outside the lock, for these are events too.
        for (count, like) in self.over(now) {
            tracing::warn!(left_out = count, like, "log lines left out");
        }
        !is_limited(event.metadata()) || self.admits(event.metadata().callsite(), now, || text(event))
    }
}

impl Limiter {
    fn admits(&self, place: Identifier, now: Instant, text: impl FnOnce() -> String) -> bool {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(place).or_insert(Window { began_at: now, written: 0, left_out: None });
        if window.written < LINES_MAX {
            window.written += 1;
            return true;
        }
        window.left_out.get_or_insert_with(|| (0, text())).0 += 1;
        false
    }

    /// What was left out in windows that are over, which are forgotten.
    fn over(&self, now: Instant) -> Vec<(u64, String)> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left_out = Vec::new();
        windows.retain(|_, window| {
            let is_over = now.saturating_duration_since(window.began_at) >= WINDOW;
            if is_over {
                left_out.extend(window.left_out.take());
            }
            !is_over
        });
        left_out
    }
}

fn is_limited(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::WARN && metadata.fields().field("run").is_none()
}

/// The text of an event, without its fields.
fn text(event: &Event<'_>) -> String {
    struct Message(String);
    impl Visit for Message {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            if field.name() == "message" {
                self.0 = format!("{value:?}");
            }
        }
    }
    let mut message = Message(String::new());
    event.record(&mut message);
    message.0
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Written;
        fn make_writer(&self) -> Written {
            self.clone()
        }
    }

    impl Written {
        fn times(&self, text: &str) -> usize {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap().matches(text).count()
        }
    }

    /// Runs this with a log of its own.
    fn logged(lines: impl FnOnce()) -> Written {
        let written = Written::default();
        let log = tracing_subscriber::fmt().with_writer(written.clone()).with_ansi(false).finish();
        tracing::subscriber::with_default(log.with(Limiter::default()), lines);
        written
    }

    #[test]
    fn a_flood_is_cut_where_it_comes_from_and_nowhere_else() {
        let written = logged(|| {
            for nth in 0..1_000 {
                tracing::warn!(nth, "a token was refused");
                tracing::error!(run = nth, "a run failed");
                tracing::info!(nth, "something happened");
            }
            tracing::error!("something else is wrong");
        });
        assert_eq!(written.times("a token was refused"), LINES_MAX as usize);
        assert_eq!(written.times("a run failed"), 1_000, "what becomes of a run is always told");
        assert_eq!(written.times("something happened"), 1_000);
        assert_eq!(written.times("something else is wrong"), 1);
    }

    #[test]
    fn how_many_were_left_out_is_told_once_when_their_time_is_over() {
        use tracing::Callsite as _;

        let (limiter, now) = (Limiter::default(), Instant::now());
        let place = tracing::callsite! { name: "here", kind: tracing::metadata::Kind::EVENT, fields: message }
            .metadata()
            .callsite();
        let admitted = (0..100).filter(|_| limiter.admits(place.clone(), now, || "the text".to_owned())).count();
        assert_eq!(admitted, LINES_MAX as usize);
        assert_eq!(limiter.over(now + WINDOW / 2), []);
        assert_eq!(limiter.over(now + WINDOW), [(40, "the text".to_owned())]);
        assert_eq!(limiter.over(now + WINDOW * 2), []);
        assert!(limiter.admits(place, now + WINDOW, || "the text".to_owned()), "a new window");
    }
}
