//! `POST /api/v1/backup`: a copy of the state, made while the daemon goes on, as the bytes of one file.
//!
//! Whoever has it has every definition with all values of the environment. So it is for the control socket, whose file
//! permissions say who is trusted with the state itself, and for whoever holds a full token.

use std::fs::File;
use std::io::{self, Read as _};

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::api::{Problem, Sources};
use super::hands::{Plain, Said, carry_out};
use super::peer::Peer;
use crate::daemon::driver::Command;
use crate::store::Store;

/// Where it is to be had.
pub const PATH: &str = "/api/v1/backup";
/// The header with the SHA-256 of the bytes, in hexadecimal digits.
pub const SHA256: &str = "tenacron-sha256";
/// How many bytes are read at once.
const CHUNK: usize = 256 << 10;

pub(super) async fn backup<S: Store>(
    State(sources): State<Sources<S>>,
    Extension(peer): Extension<Peer>,
    said: Said<Plain>,
) -> Result<Response, Problem> {
    if matches!(peer, Peer::Port { holder: None, .. }) {
        return Err(Problem(StatusCode::FORBIDDEN, "a backup is for the control socket, or for a full token".into()));
    }
    // On record first, and so in the copy too.
    carry_out(&sources, Command::Backup { asker: said.asker }).await?;
    let snapshot = sources.store.snapshot().await?;
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/vnd.sqlite3".to_owned()),
        (header::CONTENT_LENGTH.as_str(), snapshot.len.to_string()),
        (SHA256, snapshot.sha256),
    ];
    // Read as it is taken; a connection that takes nothing for long is cut off, and the file goes with it.
    let bytes = stream::unfold(snapshot.file, |file| async {
        let read = tokio::task::spawn_blocking(move || next_chunk(file)).await;
        let (chunk, file) = read.ok()?;
        Some((chunk?, file))
    });
    Ok((headers, Body::from_stream(bytes)).into_response())
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
