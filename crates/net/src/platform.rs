//! The platform's side: listens, lets in parties of the consortium under their own name, reports everyone else.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tally_crypto::transcript::Digest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

use crate::VERSION;
use crate::door::{Bounds, Door, Guest};
use crate::frames::FRAME_BYTES;
use crate::identity::{Tls, key_of, party_of};
use crate::link::{Event, Link, NetError, Party, Shared};
use crate::outbound::Outbound;
use crate::room::Room;
use crate::wire::link_server::{self, LinkServer};
use crate::wire::{Frame, Hello, frame::Kind};

/// Time that a peer has for its TLS handshake, and then for its hello.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Connections of one party; an earlier one ends when there are more. One is in use, others have not noticed yet that they are not.
const OF_A_PARTY: usize = 4;

/// Streams at once in a connection: one is in use.
const STREAMS: u32 = 4;

/// Longest head of a request, in bytes.
const HEAD_BYTES: u32 = 16 * 1024;

/// Listens for banks.
pub struct Listener;

impl Listener {
    /// Listens on `address`; only the peers of `me` are let in, and no more connections than `bounds` says. Runs on `runtime`.
    ///
    /// # Errors
    /// Names the certificate or the address that cannot be used.
    pub fn bind(
        runtime: &Handle,
        (address, bounds): (&str, Bounds),
        me: Party,
        tls: Tls,
        sink: impl Fn(Event, Room) + Send + Sync + 'static,
    ) -> Result<Link, NetError> {
        let acceptor = TlsAcceptor::from(tls.server_config()?);
        let failed = |error: io::Error| NetError::Listen { address: address.into(), reason: error.to_string() };
        let _guard = runtime.enter();
        let door = Door::bind(address, "link.listen", bounds).map_err(failed)?;
        let local = door.local_addr().map_err(failed)?;
        let shared = Shared::new(me, sink);
        let (sender, connections) = mpsc::channel(64);
        runtime.spawn(accept(door, acceptor, sender, shared.clone()));
        let service = LinkServer::new(Service { shared: shared.clone() }).max_decoding_message_size(FRAME_BYTES);
        let server = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(15)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .max_concurrent_streams(STREAMS)
            .http2_max_header_list_size(HEAD_BYTES)
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
    mut door: Door,
    acceptor: TlsAcceptor,
    connections: mpsc::Sender<io::Result<PeerStream>>,
    shared: Arc<Shared>,
) {
    loop {
        let guest = door.next().await;
        let address = guest.address();
        let (acceptor, connections, shared) = (acceptor.clone(), connections.clone(), shared.clone());
        tokio::spawn(async move {
            match handshake(acceptor, guest).await {
                // The server has stopped if nobody takes the connection.
                Ok(stream) => drop(connections.send(Ok(stream)).await),
                Err(Stranger::Left) => {}
                Err(Stranger::Refused(reason)) => {
                    shared.tell_of_stranger(Event::Refused { address: address.to_string(), claimed: None, reason });
                }
            }
        });
    }
}

/// Why a connection did not become that of a party.
enum Stranger {
    /// Another one got its place, of which the door tells.
    Left,
    /// It failed by itself.
    Refused(String),
}

async fn handshake(acceptor: TlsAcceptor, guest: Guest) -> Result<PeerStream, Stranger> {
    let refused = |reason: &str| Stranger::Refused(reason.to_owned());
    let (address, pass) = (guest.address(), guest.pass());
    let accepted = tokio::time::timeout(HANDSHAKE, acceptor.accept(guest)).await;
    let stream =
        accepted.map_err(|_| refused("no TLS handshake within 10 s"))?.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionAborted => Stranger::Left,
            _ => refused(&error.to_string()),
        })?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let party = certificate.and_then(party_of).ok_or_else(|| refused("the certificate names no party"))?;
    let tls_key = certificate.and_then(key_of);
    // By the key: another certificate in the name of a party takes none of its places.
    pass.keep_few(&tls_key.map_or_else(|| party.clone(), |key| key.to_string()), OF_A_PARTY);
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
    stream: TlsStream<Guest>,
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
        let first = tokio::time::timeout(HANDSHAKE, frames.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no hello within 10 s"))?;
        let claimed = match first?.and_then(|frame| frame.kind) {
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
        self.shared.tell_of_stranger(Event::Refused { address, claimed, reason: reason.into() });
        Status::permission_denied(reason)
    }
}
