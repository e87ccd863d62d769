//! The platform's side: listens, lets in parties of the consortium under their own name, reports everyone else.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tally_crypto::transcript::Digest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

use crate::VERSION;
use crate::frames::FRAME_BYTES;
use crate::identity::{Tls, key_of, party_of};
use crate::link::{Event, Link, NetError, Party, Shared};
use crate::outbound::Outbound;
use crate::room::Room;
use crate::wire::link_server::{self, LinkServer};
use crate::wire::{Frame, Hello, frame::Kind};

/// Time that a peer has for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Handshakes at the same time; whoever comes later waits in the system's queue.
const HANDSHAKES: usize = 256;

/// Listens for banks.
pub struct Listener;

impl Listener {
    /// Listens on `address`; only the peers of `me` are let in. Runs on `runtime`.
    ///
    /// # Errors
    /// Names the certificate or the address that cannot be used.
    pub fn bind(
        runtime: &Handle,
        address: &str,
        me: Party,
        tls: Tls,
        sink: impl Fn(Event, Room) + Send + Sync + 'static,
    ) -> Result<Link, NetError> {
        let acceptor = TlsAcceptor::from(tls.server_config()?);
        let failed = |error: io::Error| NetError::Listen { address: address.into(), reason: error.to_string() };
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let _guard = runtime.enter();
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let shared = Shared::new(me, sink);
        let (sender, connections) = mpsc::channel(64);
        runtime.spawn(accept(listener, acceptor, sender, shared.clone()));
        let service = LinkServer::new(Service { shared: shared.clone() }).max_decoding_message_size(FRAME_BYTES);
        let server = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(15)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .add_service(service);
        runtime.spawn(async move {
            if let Err(error) = server.serve_with_incoming(ReceiverStream::new(connections)).await {
                tracing::error!(%error, "the listener stopped");
            }
        });
        Ok(Link { shared, address: Some(local) })
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    connections: mpsc::Sender<io::Result<PeerStream>>,
    shared: Arc<Shared>,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    // It is never closed.
    while let Ok(place) = handshakes.clone().acquire_owned().await {
        let Ok((stream, address)) = listener.accept().await else {
            // Out of descriptors, most likely: others may close some.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (acceptor, connections, shared) = (acceptor.clone(), connections.clone(), shared.clone());
        tokio::spawn(async move {
            let shaken = handshake(acceptor, stream, address).await;
            drop(place);
            match shaken {
                // The server has stopped if nobody takes the connection.
                Ok(stream) => drop(connections.send(Ok(stream)).await),
                Err(reason) => {
                    shared.tell(Event::Refused { address: address.to_string(), claimed: None, reason });
                }
            }
        });
    }
}

async fn handshake(acceptor: TlsAcceptor, stream: TcpStream, address: SocketAddr) -> Result<PeerStream, String> {
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream))
        .await
        .map_err(|_| "no TLS handshake within 10 s".to_owned())?
        .map_err(|error| error.to_string())?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let party = certificate.and_then(party_of).ok_or("the certificate names no party")?;
    let tls_key = certificate.and_then(key_of);
    Ok(PeerStream { stream, peer: Peer { party, tls_key, address } })
}

/// Who is at the other end, from the certificate.
#[derive(Clone, Debug)]
struct Peer {
    party: String,
    /// SHA-256 of the certificate's key.
    tls_key: Option<Digest>,
    address: SocketAddr,
}

/// A TLS stream that knows its peer.
struct PeerStream {
    stream: TlsStream<TcpStream>,
    peer: Peer,
}

impl Connected for PeerStream {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

struct Service {
    shared: Arc<Shared>,
}

#[tonic::async_trait]
impl link_server::Link for Service {
    type OpenStream = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

    async fn open(&self, request: Request<Streaming<Frame>>) -> Result<Response<Self::OpenStream>, Status> {
        let peer = request.extensions().get::<Peer>().cloned().ok_or_else(|| Status::internal("no peer"))?;
        let mut frames = request.into_inner();
        let claimed = match frames.message().await?.and_then(|frame| frame.kind) {
            Some(Kind::Hello(Hello { name, version: VERSION })) => name,
            _ => return Err(self.refuse(&peer, None, &format!("the first frame is not a hello of version {VERSION}"))),
        };
        if claimed != peer.party {
            let reason = format!("the certificate names {}", peer.party);
            return Err(self.refuse(&peer, Some(claimed), &reason));
        }
        if let Err(reason) = self.shared.me.check_key(&claimed, peer.tls_key) {
            return Err(self.refuse(&peer, Some(claimed), &reason));
        }
        let (parcels, outbound) = Outbound::new(&claimed, &self.shared);
        let shared = self.shared.clone();
        tokio::spawn(async move {
            shared.attend(&claimed, parcels, frames).await;
        });
        Ok(Response::new(Box::pin(outbound.map(Ok))))
    }
}

impl Service {
    fn refuse(&self, peer: &Peer, claimed: Option<String>, reason: &str) -> Status {
        let address = peer.address.to_string();
        self.shared.tell(Event::Refused { address, claimed, reason: reason.into() });
        Status::permission_denied(reason)
    }
}
