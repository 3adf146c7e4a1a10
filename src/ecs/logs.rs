//! The last lines of a container, from the CloudWatch Logs stream into which its `awslogs` driver writes.
//!
//! Lines are garnish: nothing here is an error. Whatever keeps them away, a stream that does not exist, a permission, a
//! throttle, is a note in their place.

use aws_config::SdkConfig;
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::config::{Builder, Region};
use aws_sdk_cloudwatchlogs::error::SdkError;
use aws_sdk_cloudwatchlogs::operation::get_log_events::GetLogEventsError;
use aws_sdk_ecs::types::{LogConfiguration, LogDriver};
use aws_smithy_types::retry::RetryConfig;

use super::answer::Unfulfilled;
use crate::engine::inventory::Destination;
use crate::engine::log_tail::{LogStream, LogTail};
use crate::engine::task::TaskArn;

/// How many calls look for the end of a stream: one may bring nothing although there is something before it.
/// Source: Amazon CloudWatch Logs API reference, GetLogEvents.
const CALLS_MAX: usize = 3;

/// Where a container with this log configuration writes.
pub(super) fn destination(logs: Option<&LogConfiguration>) -> Destination {
    let Some(logs) = logs else { return Destination::Unsaid };
    let option = |name: &str| logs.options().and_then(|options| options.get(name)).cloned();
    match (logs.log_driver(), option("awslogs-group")) {
        (LogDriver::Awslogs, Some(group)) => {
            Destination::Group { group, region: option("awslogs-region"), prefix: option("awslogs-stream-prefix") }
        }
        (driver, _) => Destination::Elsewhere(driver.as_str().to_owned()),
    }
}

/// The last lines of a container of a task.
pub(super) async fn tail(
    config: &SdkConfig,
    from: &Destination,
    container: &str,
    task: &TaskArn,
    lines: u16,
) -> LogTail {
    let none = |note: String| LogTail::without_lines(container, note);
    let Destination::Group { group, region, prefix: Some(prefix) } = from else {
        return none(from.unreadable().unwrap_or_default());
    };
    let mut builder = Builder::from(config).retry_config(RetryConfig::disabled());
    if let Some(region) = region {
        builder = builder.region(Region::new(region.clone()));
    }
    let id = task.0.rsplit('/').next().unwrap_or_default();
    let stream = format!("{prefix}/{container}/{id}");
    let read = Box::pin(newest(&Client::from_conf(builder.build()), group, &stream, lines)).await;
    let (lines, note) = match read {
        Ok(lines) if lines.is_empty() => (lines, Some(format!("{stream} of {group} is empty"))),
        Ok(lines) => (lines, None),
        Err(error) => {
            (Vec::new(), Some(format!("{stream} of {group}: {}", Unfulfilled::of(&error).text("GetLogEvents"))))
        }
    };
    let stream = LogStream { region: region.clone(), group: group.clone(), name: stream };
    LogTail { container: container.to_owned(), lines, note, stream: Some(stream) }
}

async fn newest(
    client: &Client,
    group: &str,
    stream: &str,
    lines: u16,
) -> Result<Vec<String>, SdkError<GetLogEventsError>> {
    let mut token = None;
    for _ in 0..CALLS_MAX {
        let call = client.get_log_events().log_group_name(group).log_stream_name(stream);
        let call = call.start_from_head(false).limit(i32::from(lines)).set_next_token(token.clone());
        let output = call.send().await?;
        let read: Vec<String> = output.events().iter().filter_map(|event| Some(line(event.message()?))).collect();
        // The beginning of the stream is where the token stays the same.
        if !read.is_empty() || output.next_backward_token() == token.as_deref() {
            return Ok(read);
        }
        token = output.next_backward_token().map(str::to_owned);
    }
    Ok(Vec::new())
}

fn line(message: &str) -> String {
    message.trim_end_matches(['\n', '\r']).to_owned()
}
