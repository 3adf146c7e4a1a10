//! A tap on the wire between a daemon and its ECS endpoint: every call is seen before the endpoint sees it.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use serde_json::Value;

use super::harness::WITHIN;

/// One call of ECS.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Such as `RunTask`.
    pub(crate) operation: String,
    pub(crate) body: Value,
}

pub(crate) struct Tap {
    pub(crate) url: String,
    calls: Receiver<Call>,
    seen: RefCell<Vec<Call>>,
}

impl Tap {
    /// A tap in front of the endpoint at this URL.
    pub(crate) fn before(url: &str) -> Tap {
        let endpoint = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (sender, calls) = channel();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // An endpoint that has ended refuses; the client sees its connection closed.
                let Ok(server) = TcpStream::connect(&endpoint) else { continue };
                let (back_from, back_to) = (server.try_clone().expect("cloned"), client.try_clone().expect("cloned"));
                thread::spawn(move || copy(back_from, back_to));
                let sender = sender.clone();
                thread::spawn(move || listen(client, server, &sender));
            }
        });
        Tap { url, calls, seen: RefCell::default() }
    }

    /// The next call from now on that fits.
    pub(crate) fn wait_for(&self, what: &str, fits: impl Fn(&Call) -> bool) {
        self.drain();
        loop {
            let call = self.calls.recv_timeout(WITHIN).unwrap_or_else(|_| panic!("waited in vain for {what}"));
            self.seen.borrow_mut().push(call.clone());
            if fits(&call) {
                return;
            }
        }
    }

    /// The bodies of all launches so far, in order.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.drain();
        let seen = self.seen.borrow();
        seen.iter().filter(|call| call.operation == "RunTask").map(|call| call.body.clone()).collect()
    }

    /// The client tokens of all launches so far, in order.
    pub(crate) fn launches(&self) -> Vec<String> {
        let token = |body: &Value| body["clientToken"].as_str().expect("a token").to_owned();
        self.requests().iter().map(token).collect()
    }

    fn drain(&self) {
        self.seen.borrow_mut().extend(self.calls.try_iter());
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    // A connection that breaks is closed on both sides.
    drop(std::io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Both));
}

/// Hands on what the client sends, request by request.
fn listen(mut client: TcpStream, mut server: TcpStream, calls: &Sender<Call>) {
    let mut waiting = Vec::new();
    let mut piece = [0; 16_384];
    while let Ok(length) = client.read(&mut piece) {
        waiting.extend_from_slice(&piece[..length]);
        while let Some((call, end)) = first_call(&waiting) {
            // Whoever counts must have counted it before it can have an effect.
            let is_over = calls.send(call).is_err();
            let request: Vec<u8> = waiting.drain(..end).collect();
            if is_over || server.write_all(&request).is_err() {
                return;
            }
        }
        if length == 0 {
            break;
        }
    }
    drop(server.shutdown(Shutdown::Both));
}

/// The first request if it is there as a whole, and where it ends.
fn first_call(bytes: &[u8]) -> Option<(Call, usize)> {
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    let length: usize = header("content-length").map_or(0, |text| text.parse().expect("a length"));
    let body = bytes.get(head_end..head_end + length)?;
    let operation = header("x-amz-target").and_then(|target| target.rsplit('.').next().map(str::to_owned));
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    Some((Call { operation: operation.unwrap_or_default(), body }, head_end + length))
}
