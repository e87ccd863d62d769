//! A bank's side: dials the platform, and dials again whenever the connection is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::VERSION;
use crate::frames::FRAME_BYTES;
use crate::identity::{Tls, server_name};
use crate::link::{Event, Link, NetError, Party, Shared};
use crate::outbound::Outbound;
use crate::room::Room;
use crate::wire::link_client::LinkClient;
use crate::wire::{Hello, frame::Kind};

/// Shortest and longest wait before the next attempt.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Dials the platform.
pub struct Dialer;

impl Dialer {
    /// Dials `address` (host:port) until the runtime ends; the certificate there must name `platform`. Runs on `runtime`.
    ///
    /// # Errors
    /// Fails if address or certificates are malformed; a platform that is away is no error.
    pub fn start(
        runtime: &Handle,
        address: &str,
        me: Party,
        platform: &str,
        tls: Tls,
        sink: impl Fn(Event, Room) + Send + Sync + 'static,
    ) -> Result<Link, NetError> {
        // Checks certificate and key now, not at the first handshake.
        tls.server_config()?;
        let identity = Identity::from_pem(&tls.cert_pem, &tls.key_pem);
        let config = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&tls.ca_pem))
            .identity(identity)
            .domain_name(server_name(platform));
        let malformed = |_| NetError::Address(address.into());
        let endpoint = Endpoint::from_shared(format!("https://{address}"))
            .map_err(malformed)?
            .tls_config(config)
            .map_err(malformed)?
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(10))
            .http2_keep_alive_interval(Duration::from_secs(15))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true);
        let shared = Shared::new(me, sink);
        runtime.spawn(dial(endpoint, platform.into(), shared.clone()));
        Ok(Link { shared, address: None })
    }
}

async fn dial(endpoint: Endpoint, platform: String, shared: Arc<Shared>) {
    let mut wait = WAITS.0;
    let mut told = String::new();
    loop {
        let began = Instant::now();
        match converse(&endpoint, &platform, &shared).await {
            Ok(()) => {
                // Somebody who ends every connection at once is not worth ten attempts a second.
                if began.elapsed() > WAITS.1 {
                    wait = WAITS.0;
                }
                told.clear();
            }
            Err(reason) => {
                // The same reason over and over would fill the log and say nothing new.
                if reason != told {
                    shared.tell(Event::Down { peer: platform.clone(), reason: reason.clone() });
                    told = reason;
                }
            }
        }
        tokio::time::sleep(wait).await;
        wait = WAITS.1.min(wait * 2);
    }
}

/// One connection, until it ends; an error if it did not come about.
async fn converse(endpoint: &Endpoint, platform: &str, shared: &Arc<Shared>) -> Result<(), String> {
    let channel = endpoint.connect().await.map_err(|error| chain(&error))?;
    let (parcels, outbound) = Outbound::new(platform, shared);
    let mut client = LinkClient::new(channel).max_decoding_message_size(FRAME_BYTES);
    let frames = client.open(outbound).await;
    let mut frames = frames.map_err(|status| format!("refused: {}", status.message()))?.into_inner();
    match frames.message().await.map_err(|status| status.message().to_owned())?.and_then(|frame| frame.kind) {
        Some(Kind::Hello(Hello { name, version: VERSION })) if name == platform => {}
        _ => return Err("the other side is not a node of this version and name".into()),
    }
    shared.attend(platform, parcels, frames).await;
    Ok(())
}

/// An error with its causes: the outermost alone says only that transport failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
