//! What the services over HTTP share: a listener and a client that wait for nobody for long. The services of log and witness
//! are plain HTTP, TLS is the matter of a proxy; the scoring service brings its own.

mod patient;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tally_net::door::{Bounds, Door, Guest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::failure::{self, Failure};

pub(crate) use patient::Patient;

/// Longest head of a request, and headers in it; hyper buffers no more of a body either. HTTP/2 goes by the length alone.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;

/// Requests at once in a connection over HTTP/2.
const STREAMS: u32 = 256;

/// Requests that a client may take back before the service has come to them; it is sent away then (CVE-2023-44487).
const RESETS: usize = 20;

/// How long a client may take for the headers of a request, between two requests, for a body, and to take in an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Silence after which a client over HTTP/2 is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Serves `router` on `address` as long as `runtime` lives; where it listens. `key` is what to change if that fails.
///
/// # Errors
/// Names address and key.
pub(crate) fn serve(
    runtime: &Handle,
    address: &str,
    (key, bounds): (&'static str, Bounds),
    router: Router,
) -> Result<SocketAddr, Failure> {
    listen(runtime, address, (key, bounds), move |guest| {
        let server = Builder::new(TokioExecutor::new()).http1_only();
        converse(Patient::new(guest, PATIENCE), server, router.clone(), PATIENCE)
    })
}

/// Listens on `address` as long as `runtime` lives, and has `attend` take care of each connection, within `bounds`; where it
/// listens. `key` is what to change if that fails.
///
/// # Errors
/// Names address and key.
pub(crate) fn listen<C: Future<Output = ()> + Send + 'static>(
    runtime: &Handle,
    address: &str,
    (key, bounds): (&'static str, Bounds),
    attend: impl Fn(Guest) -> C + Send + 'static,
) -> Result<SocketAddr, Failure> {
    let failed = |error: std::io::Error| {
        failure::misconfigured(format!("cannot listen on {address}: {error}: choose another port in {key}"))
    };
    let _guard = runtime.enter();
    let mut door = Door::bind(address, key, bounds).map_err(failed)?;
    let local = door.local_addr().map_err(failed)?;
    runtime.spawn(async move {
        loop {
            let guest = door.next().await;
            tokio::spawn(attend(guest));
        }
    });
    Ok(local)
}

/// Serves `router` on a connection until the client ends it, or takes longer than `patience` to begin, or for the headers of
/// a request.
pub(crate) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    mut server: Builder<TokioExecutor>,
    router: Router,
    patience: Duration,
) {
    let mut http1 = server.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(patience).max_headers(HEADERS).max_buf_size(HEAD_BYTES);
    let mut http2 = server.http2();
    http2.timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE).max_concurrent_streams(STREAMS);
    http2.max_pending_accept_reset_streams(RESETS).max_header_list_size(HEAD_BYTES as u32);
    let (asked, service) = (Notify::new(), TowerToHyperService::new(router));
    let service = service_fn(|request| {
        asked.notify_one();
        service.call(request)
    });
    let served = server.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = served => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke");
            }
        }
        () = silence(&asked, patience) => tracing::debug!("a connection without a request is closed"),
    }
}

/// Ends where no request begins in time. Later silence is the server's matter: it waits for headers, and pings over HTTP/2.
async fn silence(asked: &Notify, patience: Duration) {
    if tokio::time::timeout(patience, asked.notified()).await.is_ok() {
        std::future::pending().await
    }
}

/// The token of a header `Authorization: Bearer …`, whose scheme is written in either case (RFC 9110, 11.1).
pub(crate) fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A client for blocking use: every answer has its status, none is waited for longer than `patience`.
pub(crate) fn agent(patience: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(patience))
        .http_status_as_error(false)
        .max_redirects(0)
        .build()
        .into()
}
