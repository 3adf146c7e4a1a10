//! `notify` and `[heartbeat]`: what loads, what is refused, and that no secret is ever told.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::report::{Note, Place, Report};
use super::*;
use crate::engine::notice::{On, Repeat};
use crate::notify::{Format, Style};

const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:nightly";

fn entry(keys: &str) -> String {
    job_with(&format!("notify = [{{ {keys} }}]"))
}

fn only_channel(keys: &str) -> Channel {
    let config = clean(&entry(keys));
    assert_eq!(config.channels.len(), 1);
    let (id, channel) = config.channels.into_iter().next().unwrap();
    assert_eq!(id, channel.id());
    (*channel).clone()
}

#[test]
fn an_entry_is_a_rule_and_its_channel() {
    let config = clean(&entry(&format!("sns = '{TOPIC}'")));
    let rules = &config.jobs.values().next().unwrap().definition.notify;
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0].on, BTreeSet::from([On::Failed, On::TimedOut, On::Missed, On::Unknown, On::Recovered]));
    assert_eq!((rules[0].repeat, &*rules[0].channel.0), (Repeat::Every, TOPIC));
    let config = clean(&entry(&format!("sns = '{TOPIC}', on = ['skipped', 'succeeded'], repeat = 'first'")));
    let rules = &config.jobs.values().next().unwrap().definition.notify;
    assert_eq!((&rules[0].on, rules[0].repeat), (&BTreeSet::from([On::Succeeded, On::Skipped]), Repeat::First));
}

#[test]
fn a_ping_is_told_every_start_and_every_end() {
    let config = clean(&entry("ping = 'https://hc-ping.com/x'"));
    let rules = &config.jobs.values().next().unwrap().definition.notify;
    assert!(rules[0].on.contains(&On::Started) && rules[0].on.contains(&On::Skipped));
    assert!(!rules[0].on.contains(&On::Recovered), "a recovery is a success to it, told once");
    let Channel::Ping(ping) = only_channel("ping = 'https://cronitor.link/p/k/j'") else { panic!() };
    assert_eq!(ping.style, Style::Cronitor);
    let Channel::Ping(ping) = only_channel("ping = 'https://cronitor.link/p/k/j', style = 'healthchecks'") else {
        panic!()
    };
    assert_eq!(ping.style, Style::Healthchecks);
}

#[test]
fn a_webhook_has_its_secrets_from_the_file_the_environment_or_files_of_their_own() {
    let keys = "webhook_file = '${CREDENTIALS_DIRECTORY}/hook', format = 'slack', secret_file = 'secrets/hmac', \
                headers = { Authorization = 'Bearer ${TOKEN}' }, header_files = { X-Key = 'secrets/key' }";
    let folder = Folder::with(&[
        ("main.toml", &entry(keys)),
        ("run/hook", "https://hooks.example.com/s3cr3t\n"),
        ("secrets/hmac", "hmac k3y\r\n"),
        ("secrets/key", "w0rd"),
    ]);
    let directory = folder.path("run");
    let loaded = folder.load_with(&[("CREDENTIALS_DIRECTORY", directory.to_str().unwrap()), ("TOKEN", "t0ken")]);
    assert!(loaded.findings.is_empty(), "{}", loaded.render(false));
    let config = loaded.config.unwrap();
    let Channel::Webhook(webhook) = &**config.channels.values().next().unwrap() else { panic!() };
    assert_eq!(webhook.format, Format::Slack);
    assert_eq!(webhook.address.reveal(), "https://hooks.example.com/s3cr3t");
    assert_eq!(webhook.secret.as_ref().unwrap().reveal(), "hmac k3y");
    let headers: Vec<(&str, &str)> = webhook.headers.iter().map(|(name, value)| (&**name, value.reveal())).collect();
    assert_eq!(headers, [("Authorization", "Bearer t0ken"), ("X-Key", "w0rd")]);
    let shown = format!("{config:?}");
    for secret in ["s3cr3t", "hmac k3y", "t0ken", "w0rd"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}

#[test]
fn a_jobs_own_list_replaces_the_defaults_and_an_empty_one_tells_nobody() {
    let defaults = format!("{AROUND}[[defaults.notify]]\nsns = '{TOPIC}'\n");
    let job = |name: &str, keys: &str| format!("[jobs.{name}]\nschedule = '@daily'\ntask_definition = 't'\n{keys}\n");
    let config = clean(
        &[
            defaults,
            job("inherits", ""),
            job("also", ""),
            job("silent", "notify = []"),
            job("own", "[[jobs.own.notify]]\nwebhook = 'https://example.com/x'"),
        ]
        .concat(),
    );
    let rules = |name: &str| Arc::clone(&config.jobs[&JobName::new(name).unwrap()].definition.notify);
    assert_eq!((rules("inherits").len(), rules("silent").len(), rules("own").len()), (1, 0, 1));
    assert!(Arc::ptr_eq(&rules("inherits"), &rules("also")), "a hundred thousand jobs share one list");
    assert!(rules("own")[0].channel.0.starts_with("webhook:example.com:"));
    assert_eq!(config.channels.len(), 2);
}

#[test]
fn the_heartbeat_has_an_address_and_an_interval() {
    let heartbeat = clean(&format!("heartbeat.url = 'https://hc-ping.com/x'\n{}", job_with(""))).heartbeat.unwrap();
    assert_eq!((heartbeat.address.reveal(), heartbeat.interval), ("https://hc-ping.com/x", Duration::from_secs(60)));
    for (text, code) in [
        ("heartbeat.interval = '1m'", "missing-key"),
        ("heartbeat = { url = 'https://x.example', interval = '9s' }", "bad-value"),
        ("heartbeat = { url = 'https://x.example', url_file = 'main.toml' }", "bad-value"),
        ("heartbeat.url = 'x'", "bad-value"),
        ("heartbeat = { ulr = 'https://x.example' }", "unknown-key"),
    ] {
        let found = main_file(&format!("{text}\n{}", job_with(""))).findings();
        assert!(found.iter().any(|found| found.starts_with(code)), "{text}: {found:?}");
    }
}

#[test]
fn each_mistake_has_its_code_and_its_place() {
    let hook = "webhook = 'https://example.com/x'";
    let cases = [
        ("on = ['failed']".to_owned(), "missing-key 11"),
        (format!("{hook}, ping = 'https://example.com/y'"), "several-channels 48"),
        (format!("{hook}, webhook_file = 'url'"), "several-channels 48"),
        (format!("{hook}, on = ['faild']"), "bad-value 54"),
        (format!("{hook}, on = ['started']"), "bad-value 54"),
        (format!("{hook}, on = []"), "bad-value 53"),
        (format!("{hook}, on = 'failed'"), "wrong-type 53"),
        (format!("{hook}, repeat = 'once'"), "bad-value 57"),
        (format!("{hook}, format = 'teams'"), "bad-value 57"),
        (format!("{hook}, style = 'cronitor'"), "bad-value 48"),
        (format!("{hook}, headers = {{ Host = 'x' }}"), "bad-value 60"),
        (format!("{hook}, headers = {{ Tenacron-Run = 'x' }}"), "bad-value 60"),
        (format!("{hook}, headers = {{ 'a b' = 'x' }}"), "bad-value 60"),
        (format!("{hook}, headers = {{ X-A = \"a\\nb\" }}"), "bad-value 66"),
        (format!("{hook}, headers = {{ X-A = 'a' }}, header_files = {{ x-a = 'main.toml' }}"), "bad-value 96"),
        (format!("{hook}, secret = 's', secret_file = 'main.toml'"), "bad-value 62"),
        (format!("{hook}, secret = 5"), "wrong-type 57"),
        (format!("{hook}, secret_file = 'nowhere'"), "unreadable-secret 62"),
        (format!("{hook}, secret_file = '.'"), "unreadable-secret 62"),
        (format!("{hook}, urgency = 'high'"), "unknown-key 48"),
        ("webhook = 'http://example.com/'".to_owned(), "plain-http 23"),
        ("webhook = 'https://me:pw@example.com/'".to_owned(), "bad-value 23"),
        ("webhook = 'example.com/x'".to_owned(), "bad-value 23"),
        ("ping = 'https://hc-ping.com/x', on = ['failed']".to_owned(), "bad-value 45"),
        ("ping = 'https://hc-ping.com/x', secret = 'x'".to_owned(), "bad-value 45"),
        ("sns = 'nightly'".to_owned(), "bad-value 19"),
        (format!("sns = '{TOPIC}', format = 'slack'"), "bad-value 68"),
    ];
    for (keys, expected) in cases {
        let (code, column) = expected.split_once(' ').unwrap();
        let folder = Folder::with(&[("main.toml", &entry(&keys)), ("url", "https://example.com/y\n")]);
        assert_eq!(folder.findings(), [format!("{code} main.toml:8:{column}")], "{keys}");
    }
}

#[test]
fn an_address_has_one_way_of_being_called() {
    let two = |first: &str, second: &str| {
        main_file(&job_with(&format!("notify = [{{ {first} }},\n{{ {second} }}]"))).findings()
    };
    let hook = "webhook = 'https://example.com/x'";
    let on = "on = ['succeeded']";
    assert_eq!(two(&format!("{hook}, secret = 'a'"), &format!("{hook}, secret = 'a', {on}")), [""; 0]);
    assert_eq!(
        two(&format!("{hook}, secret = 'a'"), &format!("{hook}, secret = 'b'")),
        ["conflicting-channel main.toml:9:1"]
    );
    assert_eq!(two(&format!("{hook}, format = 'slack'"), hook), [""; 0]);
    assert_eq!(two(hook, "webhook = 'https://example.com/x#b', secret = 'b'"), [""; 0]);
}

/// Whatever is wrong, and wherever: neither the messages nor the lines that are drawn hold a secret.
#[test]
fn no_finding_tells_a_secret_that_stands_in_the_file() {
    const CANARY: &str = "c4nary-s3cr3t";
    for wrong in [
        "webhook = 'https://example.com/CANARY', onn = ['failed']",
        "webhook = 'https://CANARY:x@example.com/x'",
        "webhook = 'https://exa mple.com/CANARY'",
        "webhook = 'CANARY'",
        "webhook = 'https://example.com:CANARY'",
        "webhook = 'https://example.com:CANARY/x'",
        "ping = 'https://example.com:CANARY'",
        "sns = 'https://example.com/CANARY'",
        "sns = 'CANARY'",
        "webhook_file = 'https://example.com/CANARY'",
        "ping_file = 'CANARY'",
        "webhook = 'https://example.com/', secret_file = 'CANARY'",
        "webhook = 'https://example.com/', secret_file = 'nowhere/CANARY'",
        "webhook = 'https://example.com/', secret_file = '/CANARY'",
        "webhook = 'https://example.com/', headers = { 'X-Key: CANARY' = 'x' }",
        "webhook = 'https://example.com/', headers = { 'Bearer CANARY' = 5 }",
        "webhook = 'https://example.com/', header_files = { X-A = 'CANARY' }",
        "webhook = ['CANARY']",
        "webhook = 'https://example.com/CANARY-${-x}'",
        "webhok = 'https://example.com/CANARY'",
        "webhook = 'https://example.com/', secret = ['CANARY']",
        "webhook = 'https://example.com/', secret = 'CANARY', on = ['CANARY-x']",
        "webhook = 'https://example.com/', secrets = 'CANARY'",
        "webhook = 'https://example.com/', headers = 'CANARY'",
        "webhook = 'https://example.com/', headers = { Host = 'CANARY' }",
        "webhook = 'https://example.com/', headers = { on = \"CANARY\\n\" }",
        "webhook = 'https://example.com/', headers = ['CANARY']",
        "ping = 'http://example.com/CANARY', on = []",
        "ping = 'https://example.com/CANARY', style = 'cronitr'",
        "webhook = 'https://example.com/CANARY', secret = 'x",
        "secret = 'CANARY', webhook = ",
        "webhook = 'https://example.com/', webhook = 'https://example.com/CANARY'",
        "webhook = 'https://example.com/', secret = 'x', secret = 'CANARY'",
        "webhook = 'https://example.com/', headers = { X-A = 'x', X-A = 'CANARY' }",
    ] {
        let keys = wrong.replace("CANARY", CANARY);
        let texts = [
            entry(&keys),
            job_with(&keys.replace(", ", "\n")),
            format!(
                "heartbeat = {{ {} }}\n{}",
                keys.replace("webhook", "url").replace("ping_file", "url_file"),
                job_with("")
            ),
        ];
        for text in texts {
            // As a word that nothing refuses it may be told: it stands in the place of one.
            let loaded = main_file(&text.replace("'c4nary-s3cr3t-x'", "'x'")).load();
            assert!(!loaded.findings.is_empty(), "{text}");
            let told = format!("{}{}", serde_json::to_string(&loaded.findings).unwrap(), loaded.render(false));
            assert!(!told.contains(CANARY), "{text}\n{told}");
        }
    }
}

/// Which key it is and where it stands is told all the same.
#[test]
fn what_stands_in_the_place_of_a_file_or_a_topic_is_told_without_its_value() {
    let told = |keys: &str| {
        let [finding] = <[Finding; 1]>::try_from(main_file(&entry(keys)).load().findings).unwrap();
        (finding.line.zip(finding.column).unwrap(), finding.message)
    };
    let hook = "webhook = 'https://example.com/x'";
    let (place, message) = told(&format!("{hook}, secret_file = 'the-secret'"));
    assert_eq!(place, (8, 62));
    assert_eq!(message, "jobs.a.notify[0].secret_file: the file can't be read: No such file or directory (os error 2)");
    let (place, message) = told("sns = 'https://example.com/s3cr3t'");
    assert_eq!(place, (8, 19));
    let expected = "jobs.a.notify[0].sns: expected the ARN of a topic such as \
                    \"arn:aws:sns:eu-central-1:123456789012:nightly\"";
    assert_eq!(message, expected);
    let (_, message) = told("sns = 'arn:aws:sqs:eu-central-1:123456789012:nightly'");
    assert!(message.ends_with("found \"arn:aws:sqs:eu-central-1:123456789012:nightly\""), "{message}");
    // What can only be a path is told: who mistyped it wants to see it.
    let folder =
        Folder::with(&[("main.toml", &entry(&format!("{hook}, secret_file = 'run/hmca'"))), ("run/hmac", "x")]);
    let message = folder.load().findings.remove(0).message;
    assert!(message.contains("run/hmca can't be read"), "{message}");
}

#[test]
fn a_syntax_mistake_beside_a_secret_says_what_was_expected() {
    let syntax = |text: &str| {
        let findings = main_file(text).load().findings;
        findings.into_iter().filter(|found| found.code == "syntax").map(|found| found.message).collect::<Vec<_>>()
    };
    let plain = syntax("[jobs.a]\nschedule = '='.\n");
    let secret = syntax("[jobs.a]\n[[jobs.a.notify]]\nwebhook = 'https://h/=`,.[]{}#'.\n");
    assert!(!plain.is_empty() && !secret.is_empty(), "{plain:?} {secret:?}");
    assert!(secret.iter().all(|message| !message.contains('…')), "{secret:?}");
    // Also in a string that holds what is expected; of any other finding the same word may be a part of the secret.
    let told = |code| {
        let (report, place) = (Report::default(), Place::new(0, 0..9));
        report.conceal(place, Some("s3=cr\"3t"));
        report.add(Note::error(code, place, "invalid string, expected `=`"));
        report.finish(&[]).remove(0).message
    };
    assert_eq!(told("syntax"), "invalid string, expected `=`");
    assert_eq!(told("bad-value"), "invalid string, expected `…`");
}

#[test]
fn a_misspelt_key_of_the_heartbeat_is_told_as_the_nearest_one() {
    let found = main_file(&format!("heartbeat.uri = 'https://x.example'\n{}", job_with(""))).load().findings;
    assert!(found.iter().any(|found| found.message.contains("did you mean `url`?")), "{found:?}");
}
