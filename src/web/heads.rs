//! Requests that say their length twice, by `Content-Length` and by `Transfer-Encoding`: made to be read in one way by a proxy and
//! in another one behind it. hyper goes by the second, drops the first and tells nobody, so the bytes are looked at on their way.
//! Sources: RFC 9112, 6.1 and 6.3.
//!
//! Nothing else goes by what is found here: where it begins and ends, a request is hyper's.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// As much of a line as is looked at: hyper takes no longer head.
const LINE_MAX: usize = super::serve::HEAD_BYTES_MAX;

/// A request that says its length twice.
#[derive(Debug, Clone, Copy)]
pub(super) struct TwoLengths;

/// The heads of one connection; clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Heads(Arc<Mutex<Scan>>);

#[derive(Debug, Default)]
struct Scan {
    place: Place,
    line: Vec<u8>,
    length: Option<u64>,
    is_encoded: bool,
    /// Of each head that came to its end and was not asked about: whether it says its length twice.
    ended: VecDeque<bool>,
}

/// Where the next byte stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a request, where empty lines may be.
    #[default]
    Before,
    Head,
    /// In a body of so many bytes more.
    Body(u64),
    /// After a request that is the last one of its connection.
    Over,
}

impl Heads {
    /// These bytes came.
    pub(super) fn see(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).see(bytes);
    }

    /// Whether the next request, in their order, says its length twice.
    pub(super) fn next(&self) -> Option<TwoLengths> {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner).ended.pop_front();
        ended.filter(|is_twice| *is_twice).map(|_| TwoLengths)
    }
}

impl Scan {
    fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.place != Place::Over {
            if let Place::Body(left) = self.place {
                let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                bytes = bytes.get(skipped..).unwrap_or_default();
                let left = left - skipped as u64;
                self.place = if left == 0 { Place::Before } else { Place::Body(left) };
                continue;
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (some, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
            bytes = rest;
            self.line.extend_from_slice(some);
            if self.line.len() > LINE_MAX {
                self.place = Place::Over;
            } else if end.is_some() {
                let line = std::mem::take(&mut self.line);
                self.take(line.trim_ascii_end());
            }
        }
    }

    fn take(&mut self, line: &[u8]) {
        match (self.place, line.is_empty()) {
            (Place::Before, true) => {}
            // The line that says what is asked for.
            (Place::Before, false) => self.place = Place::Head,
            (_, false) => self.header(line),
            (_, true) => {
                let (length, is_encoded) = (self.length.take(), std::mem::take(&mut self.is_encoded));
                self.ended.push_back(length.is_some() && is_encoded);
                self.place = match length {
                    // The connection is closed after its answer (`serve.rs`), so nobody needs to know where it ends.
                    _ if is_encoded => Place::Over,
                    None | Some(0) => Place::Before,
                    Some(length) => Place::Body(length),
                };
            }
        }
    }

    fn header(&mut self, line: &[u8]) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.is_encoded = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            // hyper refuses what is no number.
            self.length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok()).or(Some(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found of each request, whichever way the bytes are cut.
    fn found(text: &str) -> Vec<bool> {
        let whole = Heads::default();
        whole.see(text.as_bytes());
        let drained = |heads: &Heads| Vec::from(std::mem::take(&mut heads.0.lock().unwrap().ended));
        let found = drained(&whole);
        for size in [1, 2, 7, 30] {
            let heads = Heads::default();
            text.as_bytes().chunks(size).for_each(|some| heads.see(some));
            assert_eq!(drained(&heads), found, "{size}: {text}");
        }
        found
    }

    #[test]
    fn a_request_that_says_its_length_twice_is_found_wherever_it_stands() {
        let both = "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        let other_way = "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nX: y\r\nCONTENT-LENGTH:  3 \r\n\r\n0\r\n\r\n";
        let bare = "POST / HTTP/1.1\nTransfer-Encoding: chunked\nContent-Length: x\n\n";
        let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let post = "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n\n\r\n.";
        let empty = "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        for both in [both, other_way, bare] {
            assert_eq!(found(both), [true], "{both}");
            let sequence = format!("\r\n{get}{post}\r\n{empty}{get}{both}");
            assert_eq!(found(&sequence), [false, false, false, false, true], "{sequence}");
        }
        assert_eq!(found(chunked), [false]);
        // What only looks like one.
        let inside = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{both}{get}", both.len());
        assert_eq!(found(&inside), [false, false]);
        let named = "GET /?Content-Length:1 HTTP/1.1\r\nX: Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(found(named), [false]);
        assert_eq!(found(&both[..20]), [false; 0]);
    }

    #[test]
    fn a_line_without_an_end_is_not_kept() {
        let heads = Heads::default();
        for _ in 0..100 {
            heads.see(&[b'x'; 1 << 10]);
        }
        let scan = heads.0.lock().unwrap();
        assert!(scan.place == Place::Over && scan.line.len() <= LINE_MAX + (1 << 10));
    }
}
