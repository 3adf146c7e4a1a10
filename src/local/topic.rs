//! SNS as a trial needs it: Publish is answered as SNS does, and what would have been sent is a line in the log.
//!
//! The protocol is AWS's older one: a form in, XML out. A form is what any web page may post, so a request counts only with a
//! signature, which no page can add; the signature itself is not looked at. Source: Amazon SNS API reference, Publish.

use std::collections::BTreeMap;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use uuid::Uuid;

const FORM: &str = "application/x-www-form-urlencoded";
const XML: HeaderValue = HeaderValue::from_static("text/xml");
/// How much of the value of an attribute is shown, in characters.
const SHOWN_MAX: usize = 200;

/// Whether a request is of this protocol.
pub(super) fn is_meant(headers: &HeaderMap) -> bool {
    let begins = |name, with: &str| {
        let said = headers.get(name).and_then(|said| said.to_str().ok());
        said.is_some_and(|said| said.starts_with(with))
    };
    begins(CONTENT_TYPE, FORM) && begins(AUTHORIZATION, "AWS4-")
}

/// Answers a request.
pub(super) fn serve(body: &[u8]) -> Response<Full<Bytes>> {
    let form = form(body);
    let said = |key: &str| form.get(key).map(String::as_str);
    if said("Action") != Some("Publish") {
        return xml(StatusCode::BAD_REQUEST, &error("InvalidAction", "only Publish is served here"));
    }
    let (Some(topic), Some(text)) = (said("TopicArn"), said("Message").filter(|text| !text.is_empty())) else {
        return xml(StatusCode::BAD_REQUEST, &error("InvalidParameter", "TopicArn and Message are needed"));
    };
    let attributes = attributes(&form);
    tracing::info!(target: "local", topic, subject = said("Subject"), text, attributes, "message published");
    let (message, request) = (Uuid::new_v4(), Uuid::new_v4());
    let answer = format!(
        "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>{message}</MessageId>\
         </PublishResult><ResponseMetadata><RequestId>{request}</RequestId></ResponseMetadata></PublishResponse>"
    );
    xml(StatusCode::OK, &answer)
}

/// Names and values, in one line.
fn attributes(form: &BTreeMap<String, String>) -> String {
    let named = form.iter().filter_map(|(key, name)| {
        let entry = key.strip_suffix(".Name").filter(|key| key.starts_with("MessageAttributes.entry."))?;
        let value = form.get(&format!("{entry}.Value.StringValue"))?;
        let shown: String = value.chars().take(SHOWN_MAX).collect();
        let more = if shown.len() < value.len() { "…" } else { "" };
        Some(format!("{name}={shown}{more}"))
    });
    named.collect::<Vec<_>>().join(" ")
}

fn error(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    )
}

fn xml(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_owned()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, XML);
    response
}

/// The pairs of a form; what is not encoded rightly stays as it came.
fn form(body: &[u8]) -> BTreeMap<String, String> {
    let pairs = body.split(|byte| *byte == b'&').map(|pair| {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (key, value) = pair.split_at(end);
        (decoded(key), decoded(value.get(1..).unwrap_or_default()))
    });
    pairs.collect()
}

fn decoded(text: &[u8]) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let encoded = hex.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(encoded.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = after.get(if encoded.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_and_its_attributes_are_told() {
        let pairs = form(
            b"Action=Publish&Message=a%0Ab+c%26&MessageAttributes.entry.1.Name=ExitCode\
              &MessageAttributes.entry.1.Value.StringValue=3&bad=%zz%4",
        );
        assert_eq!(pairs["Message"], "a\nb c&");
        assert_eq!(pairs["bad"], "%zz%4");
        assert_eq!(attributes(&pairs), "ExitCode=3");
    }

    #[test]
    fn only_a_signed_form_is_meant() {
        let headers = |pairs: &[(hyper::header::HeaderName, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
        };
        let signed = (AUTHORIZATION, "AWS4-HMAC-SHA256 Credential=x");
        assert!(is_meant(&headers(&[(CONTENT_TYPE, FORM), signed.clone()])));
        assert!(!is_meant(&headers(&[(CONTENT_TYPE, FORM)])), "a web page can post a form");
        assert!(!is_meant(&headers(&[(CONTENT_TYPE, "application/x-amz-json-1.1"), signed])));
    }

    #[test]
    fn what_is_not_publish_is_refused() {
        assert_eq!(serve(b"Action=CreateTopic").status(), StatusCode::BAD_REQUEST);
        assert_eq!(serve(b"Action=Publish&TopicArn=x").status(), StatusCode::BAD_REQUEST);
        assert_eq!(serve(b"Action=Publish&TopicArn=x&Message=y").status(), StatusCode::OK);
    }
}
