//! A witness on its own: a regulator's, say. It holds a key and what it has cosigned last, and sees origin, size and root of the
//! logs that it knows; no entry.
//!
//! | request | answer |
//! |---|---|
//! | `POST /add-checkpoint` | as the standard has it; what is cosigned is durable before the answer |
//! | `GET /<SHA-256 of the origin, hex>/checkpoint` | the last checkpoint that was cosigned, for monitors |

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{self, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tally_audit::files::{Directory, Folder as _};
use tally_audit::note::{Cosigner, VerifierKey};
use tally_audit::witness::{Answer, LogKey, Refusal, Seen, SplitView, Witness};
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;
use tokio::runtime::Handle;

use crate::failure::{self, Failure};

/// Longest request that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// Folder of what was cosigned last: one file a log.
const SEEN: &str = "seen";

/// A witness with its state in a folder.
pub(crate) struct Public {
    folder: PathBuf,
    witness: Mutex<Witness>,
}

/// The witness called `name` in `folder`, for these logs.
///
/// # Errors
/// Names the key of a log that cannot be verified, or the file that cannot be read.
pub(crate) fn open(folder: &Path, name: &str, key: SigningKey, logs: &[VerifierKey]) -> Result<Public, Failure> {
    let cosigner = Cosigner::new(name, key).map_err(failure::misconfigured)?;
    let known = |key: &VerifierKey| LogKey::new(key).map_err(|error| failure::data(format!("{}: {error}", key.name())));
    let known = logs.iter().map(known).collect::<Result<_, _>>()?;
    let witness = Witness::new(vec![Box::new(cosigner)], known, read_seen(folder)?);
    Ok(Public { folder: folder.into(), witness: Mutex::new(witness) })
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
        crate::http::serve(runtime, address, "--listen", router)
    }

    /// Judges a request; `now` in seconds since 1970.
    fn judge(&self, body: &[u8], now: u64) -> Result<Answer, Failure> {
        match self.witness().add_checkpoint(body, now) {
            Ok(pending) => pending.persist(|seen| self.keep(seen)),
            Err(Refusal { answer, split_view }) => {
                split_view.map_or(Ok(()), |split| self.convict(&split))?;
                Ok(answer)
            }
        }
    }

    fn keep(&self, seen: &Seen) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(seen).map_err(failure::internal)?;
        let folder = Directory::new(&self.folder);
        let path = Path::new(SEEN).join(format!("{}.json", Digest::of_bytes(seen.origin.as_bytes())));
        let written = folder
            .stage(&path, text.as_bytes())
            .and_then(|()| folder.sync())
            .and_then(|()| folder.reveal(&path))
            .and_then(|()| folder.sync());
        written.map_err(|error| failure::unwritable(format!("{}: {error}", path.display())))
    }

    fn convict(&self, split: &SplitView) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(split).map_err(failure::internal)?;
        let path = self.folder.join(format!("split-view-{}.json", Digest::of_bytes(text.as_bytes()).short()));
        tracing::error!(proof = %path.display(), "a log has signed two histories");
        std::fs::write(&path, text).map_err(|error| failure::unwritable(format!("{}: {error}", path.display())))
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
