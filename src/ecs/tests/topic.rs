//! A topic, over SNS's own protocol.

use std::collections::BTreeMap;

use super::*;
use crate::ecs::Ecs as _;
use crate::notify::{Topic, TopicMessage};
use crate::outbound::stub::{Reply, Stub};

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:nightly.fifo";

fn message() -> TopicMessage {
    TopicMessage {
        topic: Topic::parse(TOPIC).unwrap(),
        subject: "billing failed".into(),
        text: "exit code 3\n& more".into(),
        attributes: vec![("ExitCode", "3".into()), ("Job", "billing".into())],
        fifo: Some(("billing".into(), "n1".into())),
    }
}

/// The pairs of a form.
fn form(body: &str) -> BTreeMap<String, String> {
    let decoded = |text: &str| {
        let (bytes, mut plain, mut at) = (text.as_bytes(), Vec::new(), 0);
        while at < bytes.len() {
            match bytes[at] {
                b'%' => {
                    plain.push(u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap());
                    at += 2;
                }
                b'+' => plain.push(b' '),
                byte => plain.push(byte),
            }
            at += 1;
        }
        String::from_utf8(plain).unwrap()
    };
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (decoded(key), decoded(value))).collect()
}

const PUBLISHED: &str = "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>";

#[tokio::test]
async fn a_message_is_published_with_its_attributes_in_the_region_of_its_topic() {
    let stub = Stub::always(Reply::Http(200, PUBLISHED.into())).await;
    crate::ecs::sns::publish(&with_endpoint(&stub), &message()).await.unwrap();
    let seen = stub.seen();
    let sent = form(&seen[0].body);
    for (key, value) in [
        ("Action", "Publish"),
        ("TopicArn", TOPIC),
        ("Subject", "billing failed"),
        ("Message", "exit code 3\n& more"),
        ("MessageGroupId", "billing"),
        ("MessageDeduplicationId", "n1"),
    ] {
        assert_eq!(sent[key], value);
    }
    let attributes: BTreeMap<&str, &str> = (1..=2)
        .map(|n| {
            let of = |part: &str| sent[&format!("MessageAttributes.entry.{n}.{part}")].as_str();
            assert_eq!(of("Value.DataType"), "String");
            (of("Name"), of("Value.StringValue"))
        })
        .collect();
    assert_eq!(attributes, BTreeMap::from([("ExitCode", "3"), ("Job", "billing")]));
}

#[tokio::test]
async fn with_local_every_topic_is_the_endpoint() {
    let stub = Stub::always(Reply::Http(200, PUBLISHED.into())).await;
    adapter(&stub.endpoint).publish(&message()).await.unwrap();
    assert_eq!(form(&stub.seen()[0].body)["TopicArn"], TOPIC);
}

#[tokio::test]
async fn a_refusal_says_what_sns_says() {
    let body = "<ErrorResponse><Error><Type>Sender</Type><Code>AuthorizationError</Code><Message>User is not authorized to \
                perform: SNS:Publish</Message></Error></ErrorResponse>";
    let stub = Stub::always(Reply::Http(403, body.into())).await;
    let refused = adapter(&stub.endpoint).publish(&message()).await.unwrap_err();
    assert_eq!(
        refused.message,
        "Publish was refused: AuthorizationError: User is not authorized to perform: SNS:Publish"
    );
    assert_eq!(stub.seen().len(), 1, "the SDK does not try again by itself");
}
