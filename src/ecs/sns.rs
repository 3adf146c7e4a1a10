//! The message of a notice, published to a topic of Amazon SNS.
//!
//! The topic's region is that of its ARN, the credentials are the daemon's own: a topic of another account has a policy that
//! lets them in. With `--local` every topic is the one endpoint. Nothing is retried here; `daemon/notices.rs` does.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sns::Client;
use aws_sdk_sns::config::{Builder, Region};
use aws_sdk_sns::types::MessageAttributeValue;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use super::CallError;
use super::answer::Unfulfilled;
use crate::engine::call_fault::CallFault;
use crate::notify::TopicMessage;

/// How long a call may take, fresh credentials included.
const CALL_WITHIN: Duration = Duration::from_secs(10);
/// To make the connection, TLS included.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Sends Publish, with the credentials of `config`.
pub(super) async fn publish(config: &SdkConfig, message: &TopicMessage) -> Result<(), CallError> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_WITHIN)
        .operation_attempt_timeout(CALL_WITHIN)
        .operation_timeout(CALL_WITHIN)
        .build();
    let builder = Builder::from(config).retry_config(RetryConfig::disabled()).timeout_config(timeouts);
    let region = Region::new(message.topic.region.clone());
    let client = Client::from_conf(builder.region(region).build());
    let mut call = client.publish().topic_arn(&*message.topic.arn).subject(&message.subject).message(&message.text);
    for (name, value) in &message.attributes {
        let attribute = MessageAttributeValue::builder().data_type("String").string_value(value).build();
        let attribute =
            attribute.map_err(|error| CallError { fault: CallFault::Refused, message: error.to_string() })?;
        call = call.message_attributes(*name, attribute);
    }
    if let Some((group, deduplication)) = &message.fifo {
        call = call.message_group_id(group).message_deduplication_id(deduplication);
    }
    match Box::pin(call.send()).await {
        Ok(_output) => Ok(()),
        Err(error) => Err(Unfulfilled::of(&error).call_error("Publish")),
    }
}
