//! `show`: the whole story of one run.

use super::Context;
use super::client::escaped;
use super::exit::{Exit, Failed};
use super::output::{instant, or_dash, plain, print, print_json};
use crate::engine::run::Phases;
use crate::store::NoticeSummary;
use crate::web::objects::{AttemptObject, RunObject};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The run, as `runs` names it
    run: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failed> {
    let path = format!("/api/v1/runs/{}", escaped(&arguments.run));
    let run: RunObject = context.daemon().await?.get(&path).await?;
    if arguments.json {
        print_json(&run)?;
    } else {
        let lines: Vec<String> = story(&run).iter().map(|line| plain(line)).collect();
        print(&format!("{}\n", lines.join("\n")))?;
    }
    Ok(Exit::Ok)
}

fn story(run: &RunObject) -> Vec<String> {
    let summary = &run.summary;
    let mut lines = vec![
        format!("run        {}", summary.run),
        format!("job        {}", summary.job),
        format!("status     {}", summary.status.as_str()),
        format!("scheduled  {}", instant(Some(summary.scheduled_at))),
        format!("created    {}", instant(Some(summary.created_at))),
        format!("finished   {}", instant(summary.finished_at)),
    ];
    if let Some(at) = summary.next_action_at {
        lines.push(format!("next       {}", instant(Some(at))));
    }
    if let Some(what) = &run.waits_for {
        lines.push(format!("waits for  {what}"));
    }
    if let Some(error) = &summary.error {
        lines.push(format!("error      {error}"));
    }
    if let Some(cause) = &summary.cause {
        lines.push(format!("cause      {cause}"));
    }
    if let Some(hint) = &run.hint {
        lines.push(format!("hint       {hint}"));
    }
    for attempt in &run.attempt_list {
        lines.push(String::new());
        lines.extend(attempt_lines(attempt));
    }
    if !run.notices.is_empty() {
        lines.push(String::new());
        lines.push("notices".into());
        lines.extend(run.notices.iter().map(notice_line));
    }
    lines.push(String::new());
    lines.push("history".into());
    for entry in &run.events {
        let name = serde_json::to_value(&entry.event).ok();
        let name = name.as_ref().and_then(|value| value.get("type")).and_then(|name| name.as_str()).unwrap_or_default();
        let line = format!("{:>5}  {}  {name:<20}  {}", entry.seq, instant(Some(entry.at)), entry.event);
        lines.push(line.trim_end().to_owned());
    }
    lines
}

fn notice_line(notice: &NoticeSummary) -> String {
    let tries = match (notice.tries, &notice.last_error) {
        (0, _) => String::new(),
        (1, None) => format!(" {}", instant(notice.at)),
        (tries, None) => format!(" {} after {tries} tries", instant(notice.at)),
        (tries, Some(error)) => format!(" {} after {tries} tries; last error: {error}", instant(notice.at)),
    };
    format!("  {} to {}: {}{tries}", notice.on.as_str(), notice.channel, notice.state.as_str())
}

fn attempt_lines(attempt: &AttemptObject) -> Vec<String> {
    let mut lines = vec![
        format!("attempt {} (generation {})", attempt.attempt, attempt.generation),
        format!("  task     {}", or_dash(attempt.task_arn.as_ref())),
        format!(
            "  times    launched {}, started {}, stopped {}",
            instant(attempt.launched_at),
            instant(attempt.started_at),
            instant(attempt.stopped_at)
        ),
    ];
    if let Some(phases) = in_words(&attempt.phases) {
        lines.push(format!("  phases   {phases}"));
    }
    if !attempt.error_names.is_empty() {
        lines.push(format!("  error    {}", attempt.error_names.join(", ")));
    }
    if let Some(cause) = &attempt.cause {
        lines.push(format!("  cause    {cause}"));
    }
    if let Some(hint) = &attempt.hint {
        lines.push(format!("  hint     {hint}"));
    }
    if attempt.stop_code.is_some() || attempt.stopped_reason.is_some() {
        let (code, reason) = (attempt.stop_code.as_ref(), attempt.stopped_reason.as_ref());
        lines.push(format!("  stopped  {}: {}", or_dash(code), or_dash(reason)));
    }
    for container in &attempt.containers {
        let essential = match container.essential {
            Some(true) => "essential, ",
            Some(false) => "not essential, ",
            None => "",
        };
        let exit = or_dash(container.exit_code);
        let reason = container.reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
        lines.push(format!("  container {}: {essential}exit code {exit}{reason}", container.name));
    }
    for task in attempt.tasks.iter().filter(|_| attempt.tasks.len() > 1) {
        let how = task.cause.clone().unwrap_or_else(|| format!("exit code {}", or_dash(task.exit_code)));
        lines.push(format!("  of them {}: {how}", task.task_arn));
    }
    for tail in &attempt.log_tail {
        let note = tail.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
        lines.push(format!("  log of {}{note}", tail.container));
        lines.extend(tail.lines.iter().map(|line| format!("    | {line}")));
    }
    if let (Some(retrier), Some(delay)) = (attempt.retrier, attempt.retry_delay_seconds) {
        lines.push(format!("  retry    retry[{retrier}] waits {delay} s"));
    }
    lines
}

/// What is known of where the time went.
fn in_words(phases: &Phases) -> Option<String> {
    let named = [
        ("queued", phases.queued_seconds),
        ("launched", phases.launched_seconds),
        ("provisioning", phases.provisioning_seconds),
        ("pulling", phases.pulling_seconds),
        ("starting", phases.starting_seconds),
        ("running", phases.running_seconds),
        ("stopping", phases.stopping_seconds),
    ];
    let known: Vec<String> =
        named.into_iter().filter_map(|(name, seconds)| Some(format!("{name} {:.1} s", seconds?))).collect();
    (!known.is_empty()).then(|| known.join(", "))
}
