//! Listening: on the control socket, and on a port where `[http] listen` asks for it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use axum::{Router, middleware};
use rustix::fs::Mode;
use rustix::process::umask;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::gate::{Access, Gate};
use super::serve::{Limits, serve};
use super::socket;

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
        remove_left_behind(path).map_err(failed)?;
        let listener = bind_for_owner(&short).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(ControlSocket { listener, path: path.to_owned() })
    }

    /// Serves until `stop`.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        serve(self.listener, router, Limits::default(), stop).await;
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "control socket file was gone already");
        }
    }
}

/// Removes the socket of a daemon that was killed. Anything else that stands there is somebody's file.
fn remove_left_behind(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "what stands there is no socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// A socket takes its first permissions from the umask, and whoever connects before a chmod stays connected. The umask is
/// the whole process's, so it is only ever made stricter, and at once put back.
fn bind_for_owner(path: &Path) -> io::Result<UnixListener> {
    let before = umask(Mode::RWXG | Mode::RWXO);
    let bound = UnixListener::bind(path);
    umask(before);
    bound
}

/// Binds a TCP port.
///
/// # Errors
/// The port can't be had, most often because it is in use.
pub async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError::Port { address, source })
}

/// Serves a TCP port until `stop`, to those whom `access` lets in.
pub async fn serve_tcp(listener: TcpListener, router: Router, access: Access, stop: CancellationToken) {
    match listener.local_addr() {
        Ok(address) => {
            let router = router.layer(middleware::from_fn_with_state(Gate::new(access, address), Gate::pass));
            serve(listener, router, Limits::default(), stop).await;
        }
        Err(error) => tracing::error!(%error, "HTTP listener failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_was_left_behind_is_replaced_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        drop(ControlSocket::bind(&path).await.unwrap());
        let bound = ControlSocket::bind(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = ControlSocket::bind(&path).await.unwrap_err();
        assert!(matches!(second, ListenError::SocketInUse { .. }), "{second}");
        drop(bound);
    }

    #[tokio::test]
    async fn nobody_but_the_owner_may_connect_even_before_the_permissions_are_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let _bound = bind_for_owner(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
    }

    #[tokio::test]
    async fn a_file_in_the_place_of_the_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        fs::write(&path, "precious").unwrap();
        let refused = ControlSocket::bind(&path).await.unwrap_err();
        assert!(matches!(refused, ListenError::Socket { .. }), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
