//! What the services over HTTP share: a listener and a client that wait for nobody for long. The services of log and witness
//! are plain HTTP, TLS is the matter of a proxy; the scoring service brings its own.

mod patient;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};

use crate::failure::{self, Failure};

pub(crate) use patient::Patient;

/// Connections at once; more wait in the system's queue.
const CONNECTIONS: usize = 128;

/// How long a client may take for the headers of a request, between two requests, for a body, and to take in an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Serves `router` on `address` as long as `runtime` lives; where it listens. `key` is what to change if that fails.
///
/// # Errors
/// Names address and key.
pub(crate) fn serve(runtime: &Handle, address: &str, key: &str, router: Router) -> Result<SocketAddr, Failure> {
    listen(runtime, (address, key), CONNECTIONS, move |tcp| {
        let server = Builder::new(TokioExecutor::new()).http1_only();
        converse(Patient::new(tcp, PATIENCE), server, router.clone(), PATIENCE)
    })
}

/// Listens on `address` as long as `runtime` lives, and has `attend` take care of each connection, `most` at once; where it
/// listens. `key` is what to change if that fails.
///
/// # Errors
/// Names address and key.
pub(crate) fn listen<C: Future<Output = ()> + Send + 'static>(
    runtime: &Handle,
    (address, key): (&str, &str),
    most: usize,
    attend: impl Fn(TcpStream) -> C + Send + 'static,
) -> Result<SocketAddr, Failure> {
    let failed = |error: std::io::Error| {
        failure::misconfigured(format!("cannot listen on {address}: {error}: choose another port in {key}"))
    };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    let _guard = runtime.enter();
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    runtime.spawn(accept(listener, most, attend));
    Ok(local)
}

async fn accept<C: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    most: usize,
    attend: impl Fn(TcpStream) -> C,
) {
    let connections = Arc::new(Semaphore::new(most));
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((tcp, _)) => {
                let attended = attend(tcp);
                tokio::spawn(async move {
                    attended.await;
                    drop(permit);
                });
            }
            // Out of descriptors, most likely: others may close some.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves `router` on a connection until the client ends it, or takes longer than `patience` to begin, or for the headers of
/// a request.
pub(crate) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    mut server: Builder<TokioExecutor>,
    router: Router,
    patience: Duration,
) {
    server.http1().timer(TokioTimer::new()).header_read_timeout(patience);
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
