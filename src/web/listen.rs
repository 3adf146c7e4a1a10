//! Listening: on the control socket, and on a loopback port where `[http] listen` asks for it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use axum::Router;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::{api, socket};

/// Why nobody listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The control socket could not be made.
    #[error("failed to listen on the control socket {path}")]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody answers on the control socket.
    #[error("failed to listen on the control socket {path}: another daemon answers there")]
    SocketInUse {
        /// Where.
        path: PathBuf,
    },
    /// The port could not be had.
    #[error("failed to listen on {address} ([http] listen)")]
    Port {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The control socket; its file goes away with it.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Binds the socket for its owner only. A file that a crash left behind is replaced.
    ///
    /// # Errors
    /// The folder or the socket can't be made, or somebody answers there.
    pub async fn bind(path: &Path) -> Result<ControlSocket, ListenError> {
        let failed = |source| ListenError::Socket { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        let (short, _folder) = socket::reachable(path).map_err(failed)?;
        if UnixStream::connect(&short).await.is_ok() {
            return Err(ListenError::SocketInUse { path: path.to_owned() });
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&short).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(ControlSocket { listener, path: path.to_owned() })
    }

    /// Serves until `stop`.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let served = axum::serve(self.listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "control socket failed");
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "control socket file was gone already");
        }
    }
}

/// Binds a TCP port.
///
/// # Errors
/// The port can't be had, most often because it is in use.
pub async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError::Port { address, source })
}

/// Serves a TCP port until `stop`.
pub async fn serve_tcp(listener: TcpListener, router: Router, stop: CancellationToken) {
    let served = axum::serve(listener, api::for_tcp(router)).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "HTTP listener failed");
    }
}
