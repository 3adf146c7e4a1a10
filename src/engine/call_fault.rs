//! How a call of ECS came to nothing, in few enough kinds for a metric, and whether ECS answers when it does.

use super::failure::is_throttling;
use super::task::LaunchAnswer;

/// How a call of ECS came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallFault {
    /// Too many calls.
    Throttled,
    /// The credentials are refused, or may not do this.
    Denied,
    /// ECS said no to what was asked for.
    Refused,
    /// An answer that says nothing about what was asked for: a 5xx, or an error that is not of ECS.
    Server,
    /// No answer, or none that could be read.
    NoAnswer,
}

/// What the error codes begin with of credentials that are missing, over, wrong or not allowed to do it. Source: AWS, "Common
/// errors", and what STS and the signature check of AWS answer.
const DENIED: [&str; 10] = [
    "AccessDenied",
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignature",
    "MissingAuthenticationToken",
    "NotAuthorized",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClient",
];

impl CallFault {
    /// Every kind.
    pub const ALL: [CallFault; 5] =
        [CallFault::Throttled, CallFault::Denied, CallFault::Refused, CallFault::Server, CallFault::NoAnswer];

    /// That of an HTTP answer with an error; `code` is none if its body held none.
    pub fn of_answer(code: Option<&str>, message: &str, status: u16) -> CallFault {
        if is_throttling(code, message, status) {
            return CallFault::Throttled;
        }
        match code {
            Some(code) if DENIED.iter().any(|denied| code.starts_with(denied)) => CallFault::Denied,
            Some(_) if (400..500).contains(&status) => CallFault::Refused,
            Some(_) | None => CallFault::Server,
        }
    }

    /// That of an answer to RunTask; none if it launched something.
    pub fn of_launch(answer: &LaunchAnswer) -> Option<CallFault> {
        match answer {
            LaunchAnswer::Launched { .. } => None,
            LaunchAnswer::Refused { code, message, status } => {
                Some(CallFault::of_answer(code.as_deref(), message, *status))
            }
            LaunchAnswer::Conflict { .. } | LaunchAnswer::Failures(_) => Some(CallFault::Refused),
            LaunchAnswer::NoAnswer { .. } => Some(CallFault::NoAnswer),
        }
    }

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            CallFault::Throttled => "throttled",
            CallFault::Denied => "denied",
            CallFault::Refused => "refused",
            CallFault::Server => "server",
            CallFault::NoAnswer => "no_answer",
        }
    }

    /// Whether ECS is there and would serve this daemon, though not this call.
    pub fn is_answer(self) -> bool {
        match self {
            CallFault::Throttled | CallFault::Refused => true,
            CallFault::Denied | CallFault::Server | CallFault::NoAnswer => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_by_code_and_status() {
        let of = |code, message, status| CallFault::of_answer(code, message, status);
        for (code, message, status, fault) in [
            (Some("ThrottlingException"), "", 400, CallFault::Throttled),
            (Some("InvalidParameterException"), "Rate exceeded (ErrorCode: Throttling)", 400, CallFault::Throttled),
            (None, "", 429, CallFault::Throttled),
            (Some("AccessDeniedException"), "", 400, CallFault::Denied),
            (Some("ExpiredTokenException"), "", 400, CallFault::Denied),
            (Some("UnrecognizedClientException"), "", 400, CallFault::Denied),
            (Some("InvalidSignatureException"), "", 400, CallFault::Denied),
            (Some("InvalidClientTokenId"), "", 403, CallFault::Denied),
            (Some("ClusterNotFoundException"), "", 400, CallFault::Refused),
            (Some("InvalidParameterException"), "", 400, CallFault::Refused),
            (Some("ServerException"), "", 500, CallFault::Server),
            (None, "a page of a proxy", 403, CallFault::Server),
            (None, "", 502, CallFault::Server),
        ] {
            assert_eq!(of(code, message, status), fault, "{code:?} {message} {status}");
        }
    }

    #[test]
    fn a_daemon_that_is_refused_everything_is_not_answered() {
        let answers: Vec<CallFault> = CallFault::ALL.into_iter().filter(|fault| fault.is_answer()).collect();
        assert_eq!(answers, [CallFault::Throttled, CallFault::Refused]);
    }
}
