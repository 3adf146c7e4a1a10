//! HTTP by hand, over a port and over the control socket: what tests say is what is sent.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::Value;

use super::harness::WITHIN;

/// Where a daemon answers.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Port(String),
    Socket(PathBuf),
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }
}

trait Wire: Read + Write {
    fn end_sending(&self) -> io::Result<()>;
}

impl Wire for TcpStream {
    fn end_sending(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Wire for UnixStream {
    fn end_sending(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Place {
    fn connect(&self) -> Box<dyn Wire> {
        match self {
            Place::Port(address) => {
                let stream = TcpStream::connect(address).expect("it listens");
                stream.set_read_timeout(Some(WITHIN)).expect("a time limit");
                Box::new(stream)
            }
            Place::Socket(path) => {
                let stream = UnixStream::connect(path).expect("it listens");
                stream.set_read_timeout(Some(WITHIN)).expect("a time limit");
                Box::new(stream)
            }
        }
    }

    fn host(&self) -> &str {
        match self {
            Place::Port(address) => address,
            Place::Socket(_) => "localhost",
        }
    }

    /// Everything that comes back for these bytes until the connection is closed. A connection that is reset has no more.
    pub(crate) fn send(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // What is refused early is not read to its end.
        drop(stream.write_all(bytes));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The same from whoever says that it sends no more, as `nc -N` does.
    pub(crate) fn send_all(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("sent");
        stream.end_sending().expect("said");
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Asks, with further headers; a body is JSON.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[&str], body: Option<&str>) -> Answer {
        let json = body.map(|body| format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let (host, json, body) = (self.host(), json.unwrap_or_default(), body.unwrap_or_default());
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}{json}Connection: close\r\n\r\n{body}");
        let answer = self.send(request.as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: {answer}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(crate) fn get(&self, path: &str, headers: &[&str]) -> Answer {
        self.ask("GET", path, headers, None)
    }

    pub(crate) fn post(&self, path: &str, headers: &[&str], body: &str) -> Answer {
        self.ask("POST", path, headers, Some(body))
    }

    /// A stream of events that was begun.
    pub(crate) fn events(&self, path: &str, headers: &[&str]) -> Events {
        let mut stream = self.connect();
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.host());
        stream.write_all(request.as_bytes()).expect("sent");
        Events(BufReader::new(stream))
    }
}

/// A stream of events.
pub(crate) struct Events(BufReader<Box<dyn Wire>>);

/// An event: its kind, its id, its data.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: Value,
}

impl Events {
    /// The next event; none when the stream is over.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let (mut kind, mut id, mut data) = (None, None, None);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap_or_default() == 0 {
                return None;
            }
            // The head and the sizes of chunks are none of these.
            match line.trim_end().split_once(": ") {
                Some(("event", said)) => kind = Some(said.to_owned()),
                Some(("id", said)) => id = said.parse().ok(),
                Some(("data", said)) => data = Some(serde_json::from_str(said).expect("JSON")),
                _ => {}
            }
            if let (true, Some(kind), Some(data)) = (line.trim().is_empty(), &kind, &data) {
                return Some(Event { kind: kind.clone(), id, data: Value::clone(data) });
            }
        }
    }

    /// The next one that fits.
    pub(crate) fn find(&mut self, what: &str, fits: impl Fn(&Event) -> bool) -> Event {
        let mut seen = Vec::new();
        loop {
            match self.next() {
                Some(event) if fits(&event) => return event,
                Some(event) => seen.push(event),
                None => panic!("the stream ended before {what}; seen: {seen:?}"),
            }
        }
    }
}
