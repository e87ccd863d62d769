//! What the services of log and witness share: a listener and a client that wait for nobody for long. Plain HTTP: TLS is the
//! matter of a proxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::failure::{self, Failure};

/// Connections at once; more wait in the system's queue.
const CONNECTIONS: usize = 128;

/// How long a client may take for the headers of a request, between two requests, and for a body.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Serves `router` on `address` as long as `runtime` lives; where it listens. `key` is what to change if that fails.
///
/// # Errors
/// Names address and key.
pub(crate) fn serve(runtime: &Handle, address: &str, key: &str, router: Router) -> Result<SocketAddr, Failure> {
    let failed = |error: std::io::Error| {
        failure::misconfigured(format!("cannot listen on {address}: {error}: choose another port in {key}"))
    };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    let _guard = runtime.enter();
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    runtime.spawn(accept(listener, router));
    Ok(local)
}

async fn accept(listener: TcpListener, router: Router) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        let Ok((tcp, _)) = listener.accept().await else {
            // Out of descriptors, most likely: others may close some.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let router = router.clone();
        tokio::spawn(async move {
            converse(tcp, router).await;
            drop(permit);
        });
    }
}

async fn converse(tcp: TcpStream, router: Router) {
    let mut server = Builder::new(TokioExecutor::new()).http1_only();
    server.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let served = server.serve_connection(TokioIo::new(tcp), TowerToHyperService::new(router)).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended");
    }
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
