//! What a request asks, taken out of its path, its query and its body. What is not understood is answered by our own error
//! object, in our words: those of the libraries tell a person nothing, and are no part of the interface.

use std::error::Error as _;

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::api::Problem;

/// The largest body that is read.
pub(super) const BODY_MAX: usize = 64 << 10;

/// The name that stands in the path: of a job or of a run.
#[derive(Debug)]
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Named, Problem> {
        let name: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        // The routes have one name each, so nothing else can be wrong with it.
        name.map(|Path(name)| Named(name)).map_err(|_| Problem::bad_request("the name in the path is not UTF-8"))
    }
}

/// The query.
#[derive(Debug)]
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asked<T>, Problem> {
        Query::try_from_uri(&parts.uri).map(|Query(query)| Asked(query)).map_err(|rejection| {
            // It names the key; what stands before it is the library's.
            let mistake = rejection.source().map_or_else(|| "it is not understood".to_owned(), ToString::to_string);
            Problem::bad_request(format!("the query: {mistake}"))
        })
    }
}

/// The bytes of a body. One that says that it is too large is refused before it comes.
pub(super) async fn body(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let too_large = || {
        let why = format!("the body is larger than {} KiB", BODY_MAX >> 10);
        Problem(StatusCode::PAYLOAD_TOO_LARGE, why)
    };
    let said = headers.get(header::CONTENT_LENGTH).and_then(|said| said.to_str().ok()?.parse::<usize>().ok());
    if said.is_some_and(|said| said > BODY_MAX) {
        return Err(too_large());
    }
    match Limited::new(body, BODY_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::bad_request("the body ended before its end, or is not what its head says")),
    }
}

/// The object that a body is; nothing said is an empty one.
pub(super) fn object<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Problem> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        None => Ok(T::default()),
        Some(b'{') => serde_json::from_slice(body).map_err(|mistake| Problem::bad_request(in_our_words(&mistake))),
        // Of a list serde would take the items for the keys, one after the other.
        Some(_) => Err(Problem::bad_request("the body must be a JSON object: {…}")),
    }
}

fn in_our_words(mistake: &serde_json::Error) -> String {
    let (line, column) = (mistake.line(), mistake.column());
    let said = mistake.to_string();
    let said = said.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&said);
    format!("the body, line {line}, column {column}: {said}")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::http::{HeaderValue, Request, Uri};
    use futures_util::stream;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Body {
        reason: Option<String>,
        frozen: bool,
    }

    fn refused<T: std::fmt::Debug>(answer: Result<T, Problem>) -> (u16, String) {
        let Problem(status, why) = answer.unwrap_err();
        (status.as_u16(), why)
    }

    #[test]
    fn a_body_is_an_object_or_nothing() {
        let read = |text: &str| object::<Body>(text.as_bytes());
        for nothing in ["", " \r\n\t", "{}"] {
            assert_eq!(read(nothing).ok(), Some(Body::default()), "{nothing:?}");
        }
        assert_eq!(read(" {\"frozen\": true}").ok(), Some(Body { reason: None, frozen: true }));
        for other in ["[null, true]", "[\"why\", true]", "[]", "null", "1", "\"{}\"", "\u{feff}{}", "[[[["] {
            assert_eq!(refused(read(other)), (400, "the body must be a JSON object: {…}".to_owned()), "{other}");
        }
        for (text, told) in [
            ("{\"frozen\": 1}", "the body, line 1, column 12: invalid type: integer `1`, expected a boolean"),
            ("{\n\"x\": 1}", "the body, line 2, column 3: unknown field `x`, expected `reason` or `frozen`"),
            ("{} {}", "the body, line 1, column 4: trailing characters"),
        ] {
            assert_eq!(refused(read(text)), (400, told.to_owned()), "{text}");
        }
    }

    #[tokio::test]
    async fn a_body_that_says_that_it_is_too_large_is_not_waited_for() {
        let never = || axum::body::Body::from_stream(stream::pending::<Result<Vec<u8>, Infallible>>());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(BODY_MAX + 1));
        let told = (413, "the body is larger than 64 KiB".to_owned());
        assert_eq!(refused(body(&headers, never()).await), told);
        let large = axum::body::Body::from(vec![b' '; BODY_MAX + 1]);
        assert_eq!(refused(body(&HeaderMap::new(), large).await), told, "one that does not say it");
        let allowed = axum::body::Body::from(vec![b' '; BODY_MAX]);
        assert_eq!(body(&HeaderMap::new(), allowed).await.map(|bytes| bytes.len()).ok(), Some(BODY_MAX));
        let broken = stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("connection 7 reset"))]);
        let (status, why) = refused(body(&HeaderMap::new(), axum::body::Body::from_stream(broken)).await);
        assert!(status == 400 && !why.contains("connection 7"), "{why}");
    }

    #[tokio::test]
    async fn a_query_names_the_key_that_is_wrong() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only the mistakes are looked at")]
        struct Limits {
            limit: usize,
        }
        for (query, told) in [
            ("limit=many", "the query: limit: invalid digit found in string"),
            ("limits=1", "the query: limits: unknown field `limits`, expected `limit`"),
            ("", "the query: missing field `limit`"),
        ] {
            let uri: Uri = format!("/x?{query}").parse().unwrap();
            let (mut parts, ()) = Request::builder().uri(uri).body(()).unwrap().into_parts();
            let answer = Asked::<Limits>::from_request_parts(&mut parts, &()).await;
            assert_eq!(refused(answer), (400, told.to_owned()));
        }
    }
}
