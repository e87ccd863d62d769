//! A bank's side: dials the platform, and dials again whenever the connection is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsConnector, rustls};
use tonic::transport::{Channel, Endpoint};

use crate::VERSION;
use crate::frames::FRAME_BYTES;
use crate::identity::{Tls, key_of, server_name};
use crate::link::{Event, Link, NetError, Party, Shared};
use crate::outbound::Outbound;
use crate::room::Room;
use crate::wire::link_client::LinkClient;
use crate::wire::{Hello, frame::Kind};

/// Shortest and longest wait before the next attempt.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Time for connection and TLS handshake.
const PATIENCE: Duration = Duration::from_secs(10);

/// Dials the platform.
pub struct Dialer;

/// Where the platform is, and what it must show.
struct Target {
    endpoint: Endpoint,
    address: String,
    name: ServerName<'static>,
    tls: TlsConnector,
    platform: String,
}

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
        let malformed = || NetError::Address(address.into());
        // It speaks over a stream that is TLS already.
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|_| malformed())?
            .http2_keep_alive_interval(Duration::from_secs(15))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true);
        let mut config = tls.client_config()?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let target = Target {
            endpoint,
            address: address.into(),
            name: ServerName::try_from(server_name(platform)).map_err(|_| malformed())?,
            tls: TlsConnector::from(Arc::new(config)),
            platform: platform.into(),
        };
        let shared = Shared::new(me, sink);
        runtime.spawn(dial(target, shared.clone()));
        Ok(Link { shared, address: None })
    }
}

async fn dial(target: Target, shared: Arc<Shared>) {
    let mut wait = WAITS.0;
    let mut told = String::new();
    loop {
        let began = Instant::now();
        match target.converse(&shared).await {
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
                    shared.tell(Event::Down { peer: target.platform.clone(), reason: reason.clone() });
                    told = reason;
                }
            }
        }
        tokio::time::sleep(wait).await;
        wait = WAITS.1.min(wait * 2);
    }
}

impl Target {
    /// One connection, until it ends; an error if it did not come about.
    async fn converse(&self, shared: &Arc<Shared>) -> Result<(), String> {
        let platform = &self.platform;
        let reached = tokio::time::timeout(PATIENCE, self.reach()).await;
        let stream = reached.map_err(|_| "no TLS connection within 10 s".to_owned())?.map_err(|error| chain(&error))?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        if let Err(reason) = shared.me.check_key(platform, certificate.and_then(key_of)) {
            let (address, claimed) = (self.address.clone(), Some(platform.clone()));
            shared.tell(Event::Refused { address, claimed, reason: reason.clone() });
            return Err(reason);
        }
        let channel = self.over(stream).await.map_err(|error| chain(&error))?;
        let (parcels, outbound) = Outbound::new(platform, shared);
        let mut client = LinkClient::new(channel).max_decoding_message_size(FRAME_BYTES);
        let frames = client.open(outbound).await;
        let mut frames = frames.map_err(|status| format!("refused: {}", status.message()))?.into_inner();
        match frames.message().await.map_err(|status| status.message().to_owned())?.and_then(|frame| frame.kind) {
            Some(Kind::Hello(Hello { name, version: VERSION })) if name == *platform => {}
            _ => return Err("the other side is not a node of this version and name".into()),
        }
        shared.attend(platform, parcels, frames).await;
        Ok(())
    }

    async fn reach(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        self.tls.connect(self.name.clone(), stream).await
    }

    /// A channel over this very stream: one that is lost is dialled anew, and its certificate looked at.
    async fn over(&self, stream: TlsStream<TcpStream>) -> Result<Channel, tonic::transport::Error> {
        let mut stream = Some(TokioIo::new(stream));
        let once = tower::service_fn(move |_| {
            let stream = stream.take().ok_or_else(|| std::io::Error::other("the connection has ended"));
            std::future::ready(stream)
        });
        self.endpoint.connect_with_connector(once).await
    }
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
