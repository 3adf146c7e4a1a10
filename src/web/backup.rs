//! `POST /api/v1/backup`: a copy of the state, made while the daemon goes on, as the bytes of one file.
//!
//! Whoever has it has every definition with all values of the environment, so it is for the control socket only, whose file
//! permissions say who is trusted with the state itself.

use std::fs::File;
use std::io::{self, Read as _};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::mpsc;

use super::api::{Problem, Sources};
use super::hands::{Plain, Said, carry_out};
use super::peer::Peer;
use crate::daemon::driver::Command;
use crate::store::{Snapshot, Store};

/// The header with the SHA-256 of the bytes, in hexadecimal digits.
pub const SHA256: &str = "tenacron-sha256";
/// How many bytes are read at once.
const CHUNK: usize = 256 << 10;
/// How many chunks wait for somebody who reads slowly.
const CHUNKS_WAITING: usize = 2;
/// How long a reader may take for a chunk: as long as it lasts, the copy takes room on the disk.
const CHUNK_WITHIN: Duration = Duration::from_secs(60);

pub(super) async fn backup<S: Store>(
    State(sources): State<Sources<S>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    said: Said<Plain>,
) -> Result<Response, Problem> {
    if matches!(peer, Peer::Port) {
        return Err(Problem(StatusCode::FORBIDDEN, "a backup is to be had over the control socket only".into()));
    }
    // On record first, and so in the copy too.
    carry_out(&sources, Command::Backup { asker: said.asker }).await?;
    let snapshot = sources.store.snapshot().await?;
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/vnd.sqlite3".to_owned()),
        (header::CONTENT_LENGTH.as_str(), snapshot.len.to_string()),
        (SHA256, snapshot.sha256.clone()),
    ];
    Ok((headers, Body::from_stream(sent(snapshot))).into_response())
}

/// The bytes as they are taken. The file is read by a task of its own, which ends when nobody takes them.
fn sent(snapshot: Snapshot) -> impl stream::Stream<Item = io::Result<Bytes>> {
    let (sender, chunks) = mpsc::channel(CHUNKS_WAITING);
    tokio::spawn(send(snapshot, sender));
    stream::unfold(chunks, |mut chunks| async { chunks.recv().await.map(|chunk| (chunk, chunks)) })
}

async fn send(snapshot: Snapshot, sender: mpsc::Sender<io::Result<Bytes>>) {
    let mut file = snapshot.file;
    while let Ok((Some(chunk), rest)) = tokio::task::spawn_blocking(move || next_chunk(file)).await {
        file = rest;
        let is_last = chunk.is_err();
        match tokio::time::timeout(CHUNK_WITHIN, sender.send(chunk)).await {
            Ok(Ok(())) if !is_last => {}
            Ok(_) => return,
            Err(_elapsed) => return tracing::warn!("a backup was cut off: nobody took its bytes for a minute"),
        }
    }
}

/// None at the end of the file.
fn next_chunk(mut file: File) -> (Option<io::Result<Bytes>>, File) {
    let mut chunk = vec![0; CHUNK];
    let read = file.read(&mut chunk).map(|len| {
        chunk.truncate(len);
        Bytes::from(chunk)
    });
    (Some(read).filter(|read| !read.as_ref().is_ok_and(Bytes::is_empty)), file)
}
