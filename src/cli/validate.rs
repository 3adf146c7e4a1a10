//! `validate`: every mistake of every file, with line and column; with `--online` also what ECS has to say.

use super::exit::{Exit, Failed};
use super::{Context, online, output};
use crate::config::{self, Finding, HttpSettings, Level};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Also ask ECS whether clusters, task definitions and containers are there; nothing is changed
    #[arg(long)]
    online: bool,
    /// Ask about the jobs of this target only
    #[arg(long, value_name = "NAME", requires = "online")]
    target: Option<String>,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failed> {
    let mut loaded = config::load(&context.config);
    let tokens = loaded.config.as_ref().map(|config| tokens(&config.http)).unwrap_or_default();
    let mut silence = None;
    // Of a configuration that is refused anyway, nothing is asked.
    if let Some(config) = loaded.config.as_ref().filter(|_| arguments.online && are_doubts(&tokens)) {
        let target = arguments.target.as_deref();
        online::check_target(config, target)?;
        let (_ecs, inventory) = Box::pin(online::ask(config, online::tasks(config, target), true)).await?;
        loaded.compare(&inventory);
        silence = inventory.silence().map(|(questions, why)| (questions, why.to_owned()));
    }
    loaded.findings.extend(tokens);
    let is_usable = are_doubts(&loaded.findings);
    if arguments.json {
        output::print_json(&loaded.findings)?;
    } else {
        output::print(&loaded.render(output::wants_colors(&std::io::stdout())))?;
        if let Some(config) = loaded.config.as_ref().filter(|_| is_usable && silence.is_none()) {
            output::print(&format!("{}: {} jobs, usable\n", context.config.display(), config.jobs.len()))?;
        }
    }
    match silence {
        // What was asked for was not done, and a check that counts on it must not go on.
        Some((questions, why)) if is_usable => {
            let message = format!("nothing could be checked: none of {questions} questions was answered; {why}");
            Err(Failed::new(Exit::Unavailable, message))
        }
        Some(_) | None => Ok(if is_usable { Exit::Ok } else { Exit::Config }),
    }
}

fn are_doubts(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.level == Level::Warning)
}

/// What is wrong with the files of tokens. One that can't be read here is a doubt: it may be for the daemon alone.
fn tokens(http: &HttpSettings) -> Vec<Finding> {
    let (_, mut findings) = config::read_tokens(http);
    for finding in findings.iter_mut().filter(|finding| finding.code == config::UNREADABLE_TOKENS) {
        finding.level = Level::Warning;
    }
    findings
}
