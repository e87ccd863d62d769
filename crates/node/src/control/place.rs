//! The socket's place in the node's directory.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Binds in a folder that nobody else may enter, and moves the socket to its place once nobody else may write to it: between the
/// two steps of binding and of taking rights away, a name in the directory would be open to whoever may read that.
pub(super) fn bind_privately(socket: &Path) -> std::io::Result<UnixListener> {
    let folder = socket.with_extension("new");
    if folder.exists() {
        // Of a start that was cut off.
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let place = folder.join("s");
    let listener = UnixListener::bind(&place)?;
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&place, socket)?;
    std::fs::remove_dir(&folder)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Whoever looks at the name all the time never sees a socket that others may use.
    #[test]
    fn the_socket_is_its_owners_from_the_first_moment() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        let (done, open) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let mode = std::fs::metadata(&socket).map_or(0, |found| found.permissions().mode());
                    open.fetch_or(mode & 0o077 != 0, Ordering::Relaxed);
                }
            });
            for _ in 0..200 {
                drop(bind_privately(&socket).unwrap());
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(!open.into_inner());
        assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_start_that_was_cut_off_is_no_hindrance() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        std::fs::create_dir(folder.path().join("control.new")).unwrap();
        std::fs::write(folder.path().join("control.new/s"), "").unwrap();
        let _listener = bind_privately(&socket).unwrap();
        assert!(UnixStream::connect(&socket).is_ok() && !folder.path().join("control.new").exists());
    }
}
