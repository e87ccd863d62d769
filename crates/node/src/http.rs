//! What the node's HTTP services share: a listener, and a client that waits for nobody for long.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::runtime::Handle;

use crate::failure::{self, Failure};

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
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
    runtime.spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "an HTTP service stopped");
        }
    });
    Ok(local)
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
