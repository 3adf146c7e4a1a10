//! A loopback server that answers each request as a test says and keeps what it saw.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// One request as it came over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The request line and the headers.
    pub(crate) head: String,
    /// The operation of `X-Amz-Target`.
    pub(crate) operation: String,
    /// The body, byte for byte.
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What to do with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A whole answer.
    Http(u16, String),
    /// These bytes, then the end of the connection.
    Bytes(String),
    /// The end of the connection.
    Close,
    /// Nothing, with the connection left open.
    Silence,
}

pub(crate) fn ok(body: Value) -> Reply {
    Reply::Http(200, body.to_string())
}

pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Reply {
    Reply::Http(status, serde_json::json!({ "__type": code, "message": message }).to_string())
}

/// The server; it ends with the test's runtime.
#[derive(Debug, Clone)]
pub(crate) struct Stub {
    pub(crate) endpoint: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    pub(crate) async fn start(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let stub = Stub { endpoint, seen: Arc::default() };
        let (kept, reply) = (Arc::clone(&stub.seen), Arc::new(reply));
        tokio::spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                let (kept, reply) = (Arc::clone(&kept), Arc::clone(&reply));
                tokio::spawn(async move { serve(stream, &kept, reply.as_ref()).await });
            }
        });
        stub
    }

    /// Always the same reply.
    pub(crate) async fn always(reply: Reply) -> Stub {
        Stub::start(move |_seen| reply.clone()).await
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn operations(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.operation).collect()
    }
}

async fn serve(mut stream: TcpStream, kept: &Mutex<Vec<Seen>>, reply: &(impl Fn(&Seen) -> Reply + Sync)) {
    while let Some(seen) = read(&mut stream).await {
        kept.lock().unwrap().push(seen.clone());
        match reply(&seen) {
            Reply::Http(status, body) => {
                let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            }
            Reply::Bytes(bytes) => {
                stream.write_all(bytes.as_bytes()).await.unwrap();
                return;
            }
            Reply::Close => return,
            Reply::Silence => std::future::pending().await,
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let length: usize = header(&head, "content-length").map_or(0, |text| text.parse().unwrap());
    while bytes.len() < head_end + length {
        stream.read_buf(&mut bytes).await.ok()?;
    }
    let target = header(&head, "x-amz-target").unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    Some(Seen { operation, body: String::from_utf8(bytes[head_end..].to_vec()).unwrap(), head })
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}
