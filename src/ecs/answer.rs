//! What came back from a call, told apart by one question: did ECS answer?
//!
//! The SDK sorts its errors by where they arose in its own pipeline. The engine needs another order: an HTTP answer with
//! an error ([`Unfulfilled::Refused`]), or none that could be read ([`Unfulfilled::NoAnswer`]), and then whether the
//! request may have reached ECS. That last bit guards against a second task, so it is false on proof only:
//!
//! - the SDK never came to the point of sending ([`Witness`] was not called): no credentials, no endpoint, bad input; or
//! - the HTTP client failed while it made the connection (its `is_connect`): refused, name not resolved, connect
//!   time-out, TLS handshake. It sends the request only over a finished connection.
//!
//! All else may have been sent, a success that could not be read above all. Messages are one line of limited length and
//! hold no bodies: they end in notices and on the page.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_ecs::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_ecs::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ecs::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::result::ConnectorError;
use hyper_util::client::legacy::Error as HttpClientError;

use super::CallError;
use crate::engine::call_fault::CallFault;

/// The longest message that is passed on, in characters; ECS's own are shorter.
const MESSAGE_MAX: usize = 1000;

/// A call that ECS did not fulfil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfulfilled {
    /// An HTTP answer with an error.
    Refused {
        /// The error code; none if the body held none.
        code: Option<String>,
        /// The error message, possibly empty.
        message: String,
        /// The HTTP status.
        status: u16,
    },
    /// No answer, or none that could be read.
    NoAnswer {
        /// Whether the HTTP client surely made no connection.
        unconnected: bool,
        /// What went wrong.
        message: String,
    },
}

impl Unfulfilled {
    /// Sorts an error of the SDK.
    pub(super) fn of<E>(error: &SdkError<E>) -> Unfulfilled
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let no_answer = |message: String| Unfulfilled::NoAnswer { unconnected: is_connect_error(error), message };
        // The outermost level says only "dispatch failure" or the like.
        let why = || error.source().map_or_else(|| error.to_string(), chain);
        let Some(response) = error.raw_response() else { return no_answer(why()) };
        let status = response.status();
        if status.is_success() {
            return no_answer(format!("HTTP {} could not be read: {}", status.as_u16(), why()));
        }
        // The body stays a stream if it broke off: whatever the rest would have said, a conflict for one, is not known.
        if response.body().bytes().is_none() {
            return no_answer(format!("HTTP {} broke off: {}", status.as_u16(), why()));
        }
        let code = error.code().map(str::to_owned);
        let message = match (&code, error.message()) {
            (_, Some(message)) => one_line(message),
            (Some(_), None) => String::new(),
            (None, None) => format!("HTTP {} with a body that is no error of ECS", status.as_u16()),
        };
        Unfulfilled::Refused { code, message, status: status.as_u16() }
    }

    /// The same, said of a role: without its credentials nothing was sent.
    pub(super) fn under_role(self, role_arn: Option<&str>) -> Unfulfilled {
        match (self, role_arn) {
            (Unfulfilled::NoAnswer { unconnected, message }, Some(role)) if message.contains("credentials") => {
                let message = format!("the role {role} could not be assumed: {message}");
                Unfulfilled::NoAnswer { unconnected, message }
            }
            (other, _) => other,
        }
    }

    /// How the call came to nothing.
    pub(super) fn fault(&self) -> CallFault {
        match self {
            Unfulfilled::Refused { code, message, status } => CallFault::of_answer(code.as_deref(), message, *status),
            Unfulfilled::NoAnswer { .. } => CallFault::NoAnswer,
        }
    }

    /// Whether ECS throttled.
    pub(super) fn is_throttled(&self) -> bool {
        self.fault() == CallFault::Throttled
    }

    /// The same for a person.
    pub(super) fn text(&self, operation: &str) -> String {
        match self {
            Unfulfilled::Refused { code: Some(code), message, .. } if message.is_empty() => {
                format!("{operation} was refused: {code}")
            }
            Unfulfilled::Refused { code: Some(code), message, .. } => {
                format!("{operation} was refused: {code}: {message}")
            }
            Unfulfilled::Refused { code: None, message, .. } => format!("{operation} was refused: {message}"),
            Unfulfilled::NoAnswer { message, .. } => format!("{operation} got no answer: {message}"),
        }
    }

    /// The same as the error of a call that can be asked again.
    pub(super) fn call_error(&self, operation: &str) -> CallError {
        CallError { fault: self.fault(), message: self.text(operation) }
    }
}

/// Notes that the SDK was about to send: until then, nothing has left.
#[derive(Debug, Clone, Default)]
pub(super) struct Witness(Arc<AtomicBool>);

impl Witness {
    /// Whether the SDK came to the point of sending.
    pub(super) fn saw_sending(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Witness {
    fn name(&self) -> &'static str {
        "Witness"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.store(true, Ordering::SeqCst);
        Ok(())
    }
}

fn is_connect_error(error: &(dyn Error + 'static)) -> bool {
    causes(error).filter_map(|cause| cause.downcast_ref::<HttpClientError>()).any(HttpClientError::is_connect)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The chain of causes in one line, without what an earlier level said already.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut told: Vec<String> = Vec::new();
    for cause in causes(error) {
        let text = cause.to_string();
        // The SDK's label for the kind of a connection's failure; the next level is the failure.
        if !cause.is::<ConnectorError>() && !told.iter().any(|earlier| earlier.contains(&text)) {
            told.push(text);
        }
    }
    one_line(&told.join(": "))
}

/// A message of limited length without line breaks.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(MESSAGE_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line_of_limited_length() {
        assert_eq!(one_line(" two\r\n  lines\t "), "two lines");
        let line = one_line(&"ö ".repeat(MESSAGE_MAX));
        assert_eq!(line.chars().count(), MESSAGE_MAX + 1);
        assert!(line.ends_with('…'));
    }
}
