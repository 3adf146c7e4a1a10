//! What goes over the wire, letter by letter: golden requests for each kind of channel.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::engine::notice::{AttemptFacts, ChannelId, NoticeFacts, On};
use crate::engine::samples::notice_facts as facts;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn notice(facts: NoticeFacts) -> Notice {
    let (at, facts) = (at("2026-01-15T02:05:01Z"), Arc::new(facts));
    Notice { id: "0123456789abcdef0123456789abcdef".into(), channel: ChannelId("x".into()), at, facts }
}

fn address(url: &str) -> Address {
    Address::parse(url).unwrap()
}

fn call(channel: Channel, facts: NoticeFacts) -> Wire {
    match sendable(&channel, &notice(facts), at("2026-01-15T02:05:02Z")) {
        Sendable::Call(wire) => wire,
        other => panic!("{other:?}"),
    }
}

fn webhook(url: &str, format: Format, secret: Option<&str>) -> Channel {
    let headers = BTreeMap::from([("Authorization".to_owned(), Secret::new("Bearer x"))]);
    Channel::Webhook(Webhook { address: address(url), format, secret: secret.map(Secret::new), headers })
}

#[test]
fn a_webhook_is_sent_the_whole_notice_signed() {
    let wire = call(webhook("https://example.com/hook", Format::Json, Some("k3y")), facts(On::Failed));
    assert_eq!((wire.method, wire.url.as_str()), ("POST", "https://example.com/hook"));
    let body: Value = serde_json::from_str(&wire.body).unwrap();
    for (key, expected) in [
        ("version", json!(1)),
        ("id", json!("0123456789abcdef0123456789abcdef")),
        ("on", json!("failed")),
        ("instance", json!("prod")),
        ("job", json!("billing")),
        ("run", json!("billing-20260115T020000Z")),
        ("status", json!("failed")),
        ("exit_code", json!(3)),
        ("failed_in_a_row", json!(2)),
        ("hint", Value::Null),
        ("subject", json!(subject(&facts(On::Failed)))),
        ("text", json!(text(&facts(On::Failed)))),
    ] {
        assert_eq!(body[key], expected, "{key}");
    }
    assert_eq!(body["attempts"][0]["exit_code"], 3);
    let header =
        |name: &str| wire.headers().into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
    assert_eq!(header("Content-Type").as_deref(), Some("application/json"));
    assert_eq!(header("Tenacron-Notice-Id").as_deref(), Some("0123456789abcdef0123456789abcdef"));
    assert_eq!(header("Tenacron-Run").as_deref(), Some("billing-20260115T020000Z"));
    assert_eq!(header("Tenacron-Timestamp").as_deref(), Some("1768442702"));
    assert_eq!(header("Authorization").as_deref(), Some("Bearer x"));
    let signature = header("Tenacron-Signature").unwrap();
    let again = call(webhook("https://example.com/hook", Format::Json, Some("other")), facts(On::Failed));
    assert!(signature.starts_with("t=1768442702,v1=") && signature.len() == 16 + 64, "{signature}");
    assert_ne!(again.headers.iter().find(|(name, _)| name == "Tenacron-Signature").unwrap().1, signature);
}

/// The value is that of `printf '1768442702.{"text":"x"}' | openssl dgst -sha256 -hmac k3y`.
#[test]
fn the_signature_is_what_others_compute() {
    let signature = webhook::signature("k3y", "1768442702", r#"{"text":"x"}"#);
    assert_eq!(signature, "f2ca2970d476ee047418203874820861ccee267d2c4501a4606c7f4fae6ed739");
}

#[test]
fn without_a_key_there_is_no_signature() {
    let wire = call(webhook("https://example.com/hook", Format::Json, None), facts(On::Failed));
    assert!(wire.headers.iter().all(|(name, _)| name != "Tenacron-Signature"));
    assert_eq!(format!("{wire:?}"), "POST https://example.com/…");
}

#[test]
fn a_message_calls_nobody_ends_no_block_and_fits() {
    let cause = "``` <!channel> <@U1> a@b @all @everyone ".repeat(20);
    let attempts = vec![AttemptFacts { cause: Some(format!("x{cause}")), ..facts(On::Failed).attempts[0].clone() }; 10];
    let facts = NoticeFacts { cause: Some(cause), attempts, attempt_count: 10, ..facts(On::Failed) };
    for host in ["hooks.slack.com", "discord.com"] {
        let body: Value = serde_json::from_str(&slack::message(&facts, host)).unwrap();
        let text = body["text"].as_str().unwrap();
        assert!(text.starts_with("billing failed: exit code 3"), "{text}");
        for calling in ["<!channel>", "@everyone", "@all", "<@U1>"] {
            assert!(!text.contains(calling), "{calling}: {text}");
        }
        assert_eq!(text.matches("```").count(), 2);
        assert!(host == "hooks.slack.com" || (text.chars().count() <= 2_000 && text.contains('…')), "{text}");
    }
}

fn ping(url: &str, style: Style, facts: NoticeFacts) -> Sendable {
    let channel = Channel::Ping(Ping { address: address(url), style });
    sendable(&channel, &notice(facts), at("2026-01-15T02:05:02Z"))
}

#[test]
fn healthchecks_learns_starts_ends_and_exit_codes_of_a_run() {
    const RID: &str = "f13699b3-3bd3-8cd4-b783-05f82769d180";
    let with = |on, exit_code: Option<i32>| NoticeFacts {
        exit_code,
        attempt_count: u32::from(exit_code.is_some()),
        ..facts(on)
    };
    for (facts, below) in [
        (with(On::Started, None), "/start"),
        (with(On::Succeeded, Some(0)), ""),
        (with(On::Recovered, Some(0)), ""),
        (with(On::Failed, Some(3)), "/3"),
        (with(On::Failed, Some(-1)), "/fail"),
        (with(On::Failed, None), "/fail"),
        (with(On::TimedOut, Some(137)), "/fail"),
        (with(On::Unknown, None), "/fail"),
        (with(On::Missed, None), "/fail"),
        (with(On::Skipped, None), "/log"),
        (with(On::Skipped, Some(99)), ""),
    ] {
        let (on, body) = (facts.on, text(&facts));
        let Sendable::Call(wire) = ping("https://hc-ping.com/uuid/", Style::Healthchecks, facts) else { panic!() };
        assert_eq!(wire.url, format!("https://hc-ping.com/uuid{below}?rid={RID}"), "{on:?}");
        assert_eq!((wire.method, wire.body), ("POST", body));
    }
    let slug = "https://hc-ping.com/key/job?create=1#x";
    let Sendable::Call(wire) = ping(slug, Style::Healthchecks, with(On::Started, None)) else { panic!() };
    assert_eq!(wire.url, format!("https://hc-ping.com/key/job/start?create=1&rid={RID}"));
}

#[test]
fn cronitor_learns_states_and_status_codes_of_a_series() {
    let rest = "&series=billing-20260115T020000Z&host=prod&message=billing%20";
    for (on, exit_code, query) in [
        (On::Started, None, "state=run"),
        (On::Succeeded, Some(0), "state=complete"),
        (On::Failed, Some(3), "state=fail"),
        (On::Missed, None, "state=fail"),
        (On::Skipped, Some(99), "state=complete"),
    ] {
        let facts = NoticeFacts { exit_code, ..facts(on) };
        let Sendable::Call(wire) = ping("https://cronitor.link/p/key/job?env=eu", Style::Cronitor, facts) else {
            panic!()
        };
        let code = exit_code.map(|code| format!("&status_code={code}")).unwrap_or_default();
        let told = format!("https://cronitor.link/p/key/job?env=eu&{query}{rest}");
        assert!(wire.url.starts_with(&told) && wire.url.ends_with(&code), "{}", wire.url);
        assert_eq!(wire.url.contains("status_code"), exit_code.is_some());
        assert_eq!((wire.method, wire.body.as_str()), ("GET", ""));
    }
    let skipped = NoticeFacts { exit_code: None, attempt_count: 0, ..facts(On::Skipped) };
    assert_eq!(ping("https://cronitor.link/p/key/job", Style::Cronitor, skipped), Sendable::Nothing);
}

fn published(topic: &str, facts: NoticeFacts) -> TopicMessage {
    let channel = Channel::Topic(Topic::parse(topic).unwrap());
    match sendable(&channel, &notice(facts), at("2026-01-15T02:05:02Z")) {
        Sendable::Publish(message) => message,
        other => panic!("{other:?}"),
    }
}

const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:nightly";

#[test]
fn a_topic_gets_the_attributes_that_state_machines_send_rightly_filled() {
    let message = published(TOPIC, facts(On::Failed));
    assert_eq!((message.subject, message.text), (subject(&facts(On::Failed)), text(&facts(On::Failed))));
    let attributes: BTreeMap<&str, &str> =
        message.attributes.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(attributes["ExitCode"], "3");
    let task: Value = serde_json::from_str(attributes["FullTaskResult"]).unwrap();
    assert_eq!(
        task,
        json!({ "TaskArn": "arn:x", "StoppedAt": 1_768_442_700_123_i64, "Containers": [{ "Name": "app", "ExitCode": 3 }] })
    );
    for (name, value) in [
        ("Job", "billing"),
        ("Run", "billing-20260115T020000Z"),
        ("Status", "failed"),
        ("On", "failed"),
        ("Instance", "prod"),
        ("NoticeId", "0123456789abcdef0123456789abcdef"),
    ] {
        assert_eq!(attributes[name], value);
    }
    assert!(attributes.len() <= 10, "what SQS takes of raw delivery");
    assert_eq!(message.fifo, None);
}

#[test]
fn what_there_is_not_is_no_attribute_and_a_message_fits() {
    let bare = NoticeFacts { exit_code: None, task: None, ..facts(On::Missed) };
    let names: Vec<&str> = published(TOPIC, bare).attributes.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Job", "Run", "Status", "On", "Instance", "NoticeId"]);
    for (length, fits) in [(200 << 10, true), (256 << 10, false)] {
        let facts = NoticeFacts { task: Some(json!({ "reason": "x".repeat(length) })), ..facts(On::Failed) };
        let attributes = published(TOPIC, facts).attributes;
        assert_eq!(attributes.iter().any(|(name, _)| *name == "FullTaskResult"), fits, "{length}");
    }
}

#[test]
fn a_fifo_topic_keeps_the_order_of_a_job_and_drops_what_comes_twice() {
    let message = published(&format!("{TOPIC}.fifo"), facts(On::Failed));
    assert_eq!(message.fifo, Some(("billing".into(), "0123456789abcdef0123456789abcdef".into())));
}

#[test]
fn only_a_success_is_taken_and_a_refusal_tells_nothing_of_the_body() {
    let channel = webhook("https://example.com/s3cr3t", Format::Json, None);
    let reply = |status, body: &str| Reply { status, retry_after: None, body: body.into() };
    assert_eq!(taken(&channel, &reply(204, "")), Ok(()));
    assert_eq!(taken(&channel, &reply(500, "echo k3y")), Err("https://example.com answered HTTP 500".into()));
    let redirect = "https://example.com answered HTTP 302, a redirect, which is not followed";
    assert_eq!(taken(&channel, &reply(302, "")), Err(redirect.into()));
    let check = |style| Channel::Ping(Ping { address: address("https://hc-ping.com/x"), style });
    let missing = reply(200, "OK (not found)");
    assert_eq!(
        taken(&check(Style::Healthchecks), &missing),
        Err("https://hc-ping.com answered that it has no such check".into())
    );
    assert_eq!(taken(&check(Style::Cronitor), &missing), Ok(()));
}
