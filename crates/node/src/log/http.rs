//! The log's files over HTTP (C2SP tlog-tiles v0.1.0): the checkpoint to everybody, tiles and entries to auditors with a token.
//!
//! | path | who | media type | caching |
//! |---|---|---|---|
//! | `checkpoint` | everybody | `text/plain; charset=utf-8` | none |
//! | `tile/…` | holders of a token | `application/octet-stream` | immutable, private |
//!
//! Size and root of a log are what its witnesses see anyway. The entries name every party that its owner deals with: one bank
//! must not read another's, so without a token nothing but the checkpoint is served, and banks are given proofs of their own
//! entries instead (`audit bundle party`). Only the canonical spelling of a tile's path names a file, so no path leads out
//! of the folder. That an auditor reads is an entry of the log itself, durable before the first byte leaves: one for each auditor
//! and day, since one for each request would make the log grow by being read.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tally_audit::files::Tile;
use tally_net::door::Bounds;
use tokio::runtime::Handle;

use super::tokens;
use crate::failure::{self, Failure};
use crate::http::bearer;

/// Notes in the log that an auditor reads; the entry is durable when it returns.
type Record = Box<dyn Fn(&str) -> Result<(), Failure> + Send + Sync>;

/// A log to serve.
pub(crate) struct Service {
    folder: PathBuf,
    /// Hashes of tokens; without it nobody reads more than the checkpoint.
    tokens: Option<PathBuf>,
    record: Record,
    /// Of each auditor the day of the last entry, in days since 1970.
    noted: Mutex<BTreeMap<String, i64>>,
}

/// A file, as it is answered.
struct File {
    media_type: &'static str,
    caching: &'static str,
    bytes: Vec<u8>,
}

const TEXT: &str = "text/plain; charset=utf-8";
const OCTETS: &str = "application/octet-stream";

impl Service {
    /// The log in `folder`, with the file of its auditors' tokens.
    pub(crate) fn new(folder: PathBuf, tokens: Option<PathBuf>, record: Record) -> Self {
        Self { folder, tokens, record, noted: Mutex::default() }
    }

    /// Serves on `address`, within `bounds`, as long as `runtime` lives; where it listens.
    ///
    /// # Errors
    /// Names the address if it cannot be listened on.
    pub(crate) fn listen(self, runtime: &Handle, address: &str, bounds: Bounds) -> Result<SocketAddr, Failure> {
        let router = Router::new().route("/{*path}", get(answer)).with_state(Arc::new(self));
        crate::http::serve(runtime, address, ("log.http", bounds), router)
    }

    fn file(&self, path: &str, authorization: Option<&str>) -> Result<File, StatusCode> {
        if path == "checkpoint" {
            let bytes = self.read(Path::new(path))?;
            return Ok(File { media_type: TEXT, caching: "no-store", bytes });
        }
        self.admit(authorization)?;
        let tile = Tile::parse(Path::new(path)).ok_or(StatusCode::NOT_FOUND)?;
        let bytes = self.read(&tile.path())?;
        Ok(File { media_type: OCTETS, caching: "private, max-age=31536000, immutable", bytes })
    }

    /// Lets in who holds a token, and has it noted once a day.
    fn admit(&self, authorization: Option<&str>) -> Result<(), StatusCode> {
        let tokens = self.tokens.as_deref().ok_or(StatusCode::FORBIDDEN)?;
        let token = authorization.and_then(bearer).ok_or(StatusCode::UNAUTHORIZED)?;
        let auditor = tokens::holder(tokens, token).map_err(|failure| complain(&failure))?;
        let auditor = auditor.ok_or(StatusCode::UNAUTHORIZED)?;
        let day = crate::engine::now().div_euclid(86_400_000);
        // Held while the entry is written, so that nobody reads before it is durable.
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.get(&auditor) != Some(&day) {
            (self.record)(&auditor).map_err(|failure| complain(&failure))?;
            noted.insert(auditor, day);
        }
        Ok(())
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, StatusCode> {
        std::fs::read(self.folder.join(path)).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => StatusCode::NOT_FOUND,
            _ => complain(&failure::internal(format!("{}: {error}", path.display()))),
        })
    }
}

async fn answer(State(service): State<Arc<Service>>, headers: HeaderMap, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // Files and the engine are waited for.
    let file = tokio::task::spawn_blocking(move || service.file(&path, authorization.as_deref())).await;
    match file.unwrap_or(Err(StatusCode::INTERNAL_SERVER_ERROR)) {
        Ok(File { media_type, caching, bytes }) => {
            ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, caching)], bytes).into_response()
        }
        Err(StatusCode::UNAUTHORIZED) => {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response()
        }
        Err(status) => status.into_response(),
    }
}

fn complain(failure: &Failure) -> StatusCode {
    tracing::warn!(%failure, "the log could not be served");
    StatusCode::SERVICE_UNAVAILABLE
}
