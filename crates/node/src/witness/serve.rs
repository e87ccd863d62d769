//! A witness on its own: a regulator's, say. It holds a key and what it has cosigned last, and sees origin, size and root of the
//! logs that it knows; no entry.
//!
//! | request | answer |
//! |---|---|
//! | `POST /add-checkpoint` | as the standard has it; what is cosigned is durable before the answer |
//! | `GET /<SHA-256 of the origin, hex>/checkpoint` | the last checkpoint that was cosigned, for monitors |

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{self, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tally_audit::files::{Directory, replace};
use tally_audit::note::{Cosigner, VerifierKey};
use tally_audit::witness::{Answer, LogKey, Refusal, Seen, Witness};
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;
use tally_net::door::Bounds;
use tokio::runtime::Handle;

use super::keep_proof;
use crate::failure::{self, Failure};

/// Longest request that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// Connections at once; a proxy has one address.
const BOUNDS: Bounds = Bounds { total: 128, per_source: 64 };

/// Folder of what was cosigned last: one file a log.
const SEEN: &str = "seen";

/// File that the witness of the folder holds locked.
const LOCK: &str = "lock";

/// A witness with its state in a folder.
pub(crate) struct Public {
    folder: PathBuf,
    /// Held as long as this witness serves: two with one key could cosign two histories.
    _lock: File,
    witness: Mutex<Witness>,
}

/// The witness called `name` in `folder`, for these logs.
///
/// # Errors
/// Names the key of a log that cannot be verified, the file that cannot be read, or the folder that another witness serves.
pub(crate) fn open(folder: &Path, name: &str, key: SigningKey, logs: &[VerifierKey]) -> Result<Public, Failure> {
    let lock = lock(folder)?;
    let cosigner = Cosigner::new(name, key).map_err(failure::misconfigured)?;
    let known = |key: &VerifierKey| LogKey::new(key).map_err(|error| failure::data(format!("{}: {error}", key.name())));
    let known = logs.iter().map(known).collect::<Result<_, _>>()?;
    let witness = Witness::new(vec![Box::new(cosigner)], known, read_seen(folder)?);
    Ok(Public { folder: folder.into(), _lock: lock, witness: Mutex::new(witness) })
}

fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.join(LOCK);
    let cannot = |error: std::io::Error| failure::unwritable(format!("{}: {error}", path.display()));
    let file = File::options().create(true).append(true).open(&path).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let text = format!("{}: another witness serves this folder: stop it first", folder.display());
            Err(failure::unavailable(text))
        }
        Err(TryLockError::Error(error)) => Err(cannot(error)),
    }
}

/// All that was cosigned; a file that cannot be read stops the witness, which would otherwise forget it.
fn read_seen(folder: &Path) -> Result<Vec<Seen>, Failure> {
    let folder = folder.join(SEEN);
    let files = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files.map_err(|error| failure::misconfigured(format!("{}: {error}", folder.display())))?,
    };
    let files = files.flatten().filter(|file| file.path().extension().is_some_and(|kind| kind == "json"));
    let read = |file: std::fs::DirEntry| {
        let wrong = |error: String| failure::misconfigured(format!("{}: {error}", file.path().display()));
        let text = std::fs::read_to_string(file.path()).map_err(|error| wrong(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
    };
    files.map(read).collect()
}

impl Public {
    /// Serves on `address` as long as `runtime` lives; where it listens.
    ///
    /// # Errors
    /// Names the address if it cannot be listened on.
    pub(crate) fn listen(self, runtime: &Handle, address: &str) -> Result<SocketAddr, Failure> {
        let router = Router::new()
            .route("/add-checkpoint", post(add_checkpoint))
            .route("/{origin}/checkpoint", get(checkpoint))
            .with_state(Arc::new(self));
        crate::http::serve(runtime, address, ("--listen", BOUNDS), router)
    }

    /// Judges a request; `now` in seconds since 1970.
    fn judge(&self, body: &[u8], now: u64) -> Result<Answer, Failure> {
        match self.witness().add_checkpoint(body, now) {
            Ok(pending) => pending.persist(|seen| self.keep(seen)),
            Err(Refusal { answer, split_view }) => {
                split_view.map(|split| keep_proof(&self.folder, &split)).transpose()?;
                Ok(answer)
            }
        }
    }

    fn keep(&self, seen: &Seen) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(seen).map_err(failure::internal)?;
        let path = Path::new(SEEN).join(format!("{}.json", Digest::of_bytes(seen.origin.as_bytes())));
        replace(&Directory::new(&self.folder), &path, text.as_bytes())
            .map_err(|error| failure::unwritable(format!("{}: {error}", self.folder.display())))
    }

    fn witness(&self) -> MutexGuard<'_, Witness> {
        // It changes only after its state was written, in one statement.
        self.witness.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn add_checkpoint(State(public): State<Arc<Public>>, body: Body) -> Response {
    let body = match tokio::time::timeout(crate::http::PATIENCE, to_bytes(body, LONGEST)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let now = u64::try_from(crate::engine::now() / 1000).unwrap_or_default();
    let judged = tokio::task::spawn_blocking(move || public.judge(&body, now)).await;
    match judged {
        Ok(Ok(answer)) => {
            let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let content_type = answer.content_type().unwrap_or("text/plain; charset=utf-8");
            (status, [(header::CONTENT_TYPE, content_type)], answer.body()).into_response()
        }
        Ok(Err(failure)) => {
            tracing::error!(%failure, "nothing was cosigned");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn checkpoint(State(public): State<Arc<Public>>, extract::Path(origin): extract::Path<String>) -> Response {
    let text = origin.parse().ok().and_then(|hash| public.witness().checkpoint(&hash).map(str::to_owned));
    match text {
        Some(text) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
