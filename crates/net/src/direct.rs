//! One connection between two parties for one run: mutual TLS 1.3 over TCP, messages in order and whole.
//!
//! A frame is a length of four bytes, big-endian, and that many bytes. The node's standing stream carries everything of
//! joint sessions; this is for runs between two parties outside of any session.

mod self_signed;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tally_crypto::transcript::Digest;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, rustls};

use self::self_signed::SelfSigned;
use crate::door::{Bounds, Door, Guest};
use crate::identity::{Tls, key_of, party_of, server_name};
use crate::link::{Traffic, check_key};

/// Longest message.
pub const MESSAGE_BYTES: usize = 16 << 20;

/// Whose certificates are accepted.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those that the consortium's authority has issued, to the party of this name.
    Consortium {
        /// The peer's party name.
        peer: String,
        /// SHA-256 of the public key of its certificate, where the registry has one.
        tls_key: Option<Digest>,
    },
    /// Any self-signed one: a trial, where people compare fingerprints; this one alone, where it is known.
    Trial {
        /// Fingerprint of the peer's certificate.
        fingerprint: Option<Digest>,
    },
}

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum DirectError {
    /// The own certificate or key cannot be used.
    #[error("{what}: {reason}")]
    Certificate {
        /// Which.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The address cannot be used.
    #[error("{address}: {source}")]
    Address {
        /// The address.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// Nobody answered in time.
    #[error("{address}: nobody answered within {seconds} s: is the other side running?")]
    Nobody {
        /// The address.
        address: String,
        /// How long it was tried.
        seconds: u64,
    },
    /// The handshake failed or the peer is not the one that is trusted.
    #[error("the peer was refused: {0}")]
    Refused(String),
    /// The connection broke, or the peer was silent for too long.
    #[error("the connection with the peer ended: {0}")]
    Broken(#[from] io::Error),
    /// The peer announced a message that is too long.
    #[error("the peer sent a message of {0} bytes, more than {MESSAGE_BYTES}")]
    TooLong(usize),
}

/// An open connection. Reading and writing go on beside the caller, so that two sides that both send never wait for one
/// another; a few messages wait in each direction.
pub struct Direct {
    outgoing: Option<mpsc::Sender<Vec<u8>>>,
    incoming: mpsc::Receiver<Result<Vec<u8>, DirectError>>,
    writer: Option<JoinHandle<io::Result<()>>>,
    runtime: Runtime,
    counters: Arc<Counters>,
    fingerprint: Digest,
    patience: Duration,
}

/// Messages that wait in one direction. No protocol has both sides send more than this before either listens.
const QUEUE: usize = 32;

/// Connections at once while the peer is waited for.
const BOUNDS: Bounds = Bounds { total: 64, per_source: 16 };

/// How many are named that were turned away; the peer tries again, whoever else comes is no news.
const NAMED: usize = 16;

/// Time that a peer has for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Fingerprint of a certificate: SHA-256 of its DER form.
///
/// # Errors
/// Fails if `pem` holds no certificate.
pub fn fingerprint(pem: &str) -> Result<Digest, DirectError> {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(own("this node's certificate"))?;
    Ok(Digest::of_bytes(&certificate))
}

impl Direct {
    /// Waits on `address` for one peer; `ready` is told the address that is listened on. Whoever is not trusted is turned
    /// away with a word to `refused` (the first few of them), and the wait goes on: nobody holds up another. A peer that is silent
    /// for `patience` ends the connection.
    ///
    /// # Errors
    /// Names what cannot be used.
    pub fn listen(
        address: &str,
        tls: &Tls,
        trust: &Trust,
        patience: Duration,
        ready: impl FnOnce(std::net::SocketAddr),
        refused: impl FnMut(String),
    ) -> Result<Self, DirectError> {
        let cannot = |source| DirectError::Address { address: address.into(), source };
        let acceptor = TlsAcceptor::from(server_config(tls, trust)?);
        let runtime = runtime()?;
        let (stream, counters, fingerprint) = runtime.block_on(async {
            let mut door = Door::bind(address, "--listen", BOUNDS).map_err(cannot)?;
            ready(door.local_addr().map_err(cannot)?);
            Ok::<_, DirectError>(first_trusted(&mut door, &acceptor, trust, refused).await)
        })?;
        Ok(Self::start(runtime, stream, counters, fingerprint, patience))
    }

    /// Dials `address` until somebody answers, for at most `patience`.
    ///
    /// # Errors
    /// Names what cannot be used, or the peer that was refused.
    pub fn connect(address: &str, tls: &Tls, trust: &Trust, patience: Duration) -> Result<Self, DirectError> {
        let connector = TlsConnector::from(client_config(tls, trust)?);
        let name = match trust {
            Trust::Consortium { peer, .. } => server_name(peer),
            Trust::Trial { .. } => server_name("trial"),
        };
        let name = ServerName::try_from(name).map_err(own("the peer's name"))?;
        let runtime = runtime()?;
        let (stream, counters) = runtime.block_on(async {
            let tcp = dial(address, patience).await?;
            tcp.set_nodelay(true)?;
            let (stream, counters) = Counted::new(tcp);
            let stream = tokio::time::timeout(HANDSHAKE, connector.connect(name, stream)).await;
            Ok::<_, DirectError>((stream.map_err(refuse)?.map_err(refuse)?, counters))
        })?;
        let fingerprint = check_peer(stream.get_ref().1.peer_certificates(), trust)?;
        Ok(Self::start(runtime, stream, counters, fingerprint, patience))
    }

    fn start(
        runtime: Runtime,
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        counters: Arc<Counters>,
        fingerprint: Digest,
        patience: Duration,
    ) -> Self {
        let (read, write) = tokio::io::split(stream);
        let (outgoing, messages) = mpsc::channel(QUEUE);
        let (arrived, incoming) = mpsc::channel(QUEUE);
        let writer = runtime.spawn(write_all(write, messages));
        runtime.spawn(read_all(read, arrived));
        let (outgoing, writer) = (Some(outgoing), Some(writer));
        Self { outgoing, incoming, writer, runtime, counters, fingerprint, patience }
    }

    /// Fingerprint of the peer's certificate.
    pub fn peer_fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// Sends a message; waits while too many are under way.
    ///
    /// # Errors
    /// Says why the connection broke.
    pub fn send(&mut self, message: Vec<u8>) -> Result<(), DirectError> {
        let Some(outgoing) = &self.outgoing else { return Err(closed()) };
        let sent = self.runtime.block_on(async { tokio::time::timeout(self.patience, outgoing.send(message)).await });
        sent.map_err(|_| silent())?.map_err(|_| closed())
    }

    /// The next message.
    ///
    /// # Errors
    /// Says why the connection broke, or refuses a message that is too long.
    pub fn receive(&mut self) -> Result<Vec<u8>, DirectError> {
        let (patience, incoming) = (self.patience, &mut self.incoming);
        let next = self.runtime.block_on(async { tokio::time::timeout(patience, incoming.recv()).await });
        next.map_err(|_| silent())?.ok_or_else(closed)?
    }

    /// Closes this direction once everything has been sent; what the peer still says can be received.
    ///
    /// # Errors
    /// Says why the connection broke.
    pub fn finish(&mut self) -> Result<(), DirectError> {
        self.outgoing = None;
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let written = self.runtime.block_on(async { tokio::time::timeout(self.patience, writer).await });
        written.map_err(|_| silent())?.map_err(io::Error::other)??;
        Ok(())
    }

    /// Bytes on the wire so far, those of TLS included.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            sent: self.counters.sent.load(Ordering::Relaxed),
            received: self.counters.received.load(Ordering::Relaxed),
        }
    }
}

/// A connection that is trusted: its stream, what counts its bytes, the fingerprint of its certificate.
type Trusted = (TlsStream<Counted<Guest>>, Arc<Counters>, Digest);

/// The first of those who come that is trusted.
async fn first_trusted(
    door: &mut Door,
    acceptor: &TlsAcceptor,
    trust: &Trust,
    mut refused: impl FnMut(String),
) -> Trusted {
    let (mut handshakes, mut named) = (JoinSet::new(), 0);
    loop {
        tokio::select! {
            guest = door.next() => {
                handshakes.spawn(handshake(guest, acceptor.clone(), trust.clone()));
            }
            Some(shaken) = handshakes.join_next() => match shaken {
                Ok(Ok(trusted)) => return trusted,
                Ok(Err(reason)) if named < NAMED => {
                    named += 1;
                    refused(reason);
                }
                // None of these tasks is ended from outside.
                Ok(Err(_)) | Err(_) => {}
            },
        }
    }
}

async fn handshake(guest: Guest, acceptor: TlsAcceptor, trust: Trust) -> Result<Trusted, String> {
    let from = guest.address();
    let (stream, counters) = Counted::new(guest);
    let accepted = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
    let accepted = accepted.map_err(|_| refuse("no TLS handshake within 10 s"));
    let checked = accepted.and_then(|stream| stream.map_err(refuse)).and_then(|stream| {
        let fingerprint = check_peer(stream.get_ref().1.peer_certificates(), &trust)?;
        Ok((stream, fingerprint))
    });
    match checked {
        Ok((stream, fingerprint)) => {
            stream.get_ref().0.stream.pass().keep();
            Ok((stream, counters, fingerprint))
        }
        Err(error) => Err(format!("{from}: {error}")),
    }
}

fn runtime() -> Result<Runtime, DirectError> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

fn silent() -> DirectError {
    io::Error::new(io::ErrorKind::TimedOut, "the peer was silent for too long").into()
}

fn closed() -> DirectError {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed it").into()
}

async fn write_all(mut stream: impl AsyncWrite + Unpin, mut messages: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(message) = messages.recv().await {
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(&message).await?;
        if messages.is_empty() {
            stream.flush().await?;
        }
    }
    stream.shutdown().await
}

async fn read_all(mut stream: impl AsyncRead + Unpin, arrived: mpsc::Sender<Result<Vec<u8>, DirectError>>) {
    loop {
        let message = read_one(&mut stream).await;
        let last = message.is_err();
        if arrived.send(message).await.is_err() || last {
            return;
        }
    }
}

async fn read_one(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, DirectError> {
    let length = stream.read_u32().await.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => closed(),
        _ => error.into(),
    })? as usize;
    if length > MESSAGE_BYTES {
        return Err(DirectError::TooLong(length));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// A stream that counts its bytes.
struct Counted<S> {
    stream: S,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
}

impl<S> Counted<S> {
    fn new(stream: S) -> (Self, Arc<Counters>) {
        let counters = Arc::new(Counters::default());
        (Self { stream, counters: counters.clone() }, counters)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.counters.received.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.counters.sent.fetch_add(*written as u64, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

async fn dial(address: &str, patience: Duration) -> Result<TcpStream, DirectError> {
    let began = Instant::now();
    loop {
        let left = patience.saturating_sub(began.elapsed());
        match tokio::time::timeout(left, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(source)) if source.kind() == io::ErrorKind::InvalidInput => {
                return Err(DirectError::Address { address: address.into(), source });
            }
            _ => {}
        }
        if began.elapsed() >= patience {
            return Err(DirectError::Nobody { address: address.into(), seconds: patience.as_secs() });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn check_peer(certificates: Option<&[CertificateDer<'_>]>, trust: &Trust) -> Result<Digest, DirectError> {
    let certificate =
        certificates.and_then(<[_]>::first).ok_or_else(|| DirectError::Refused("it shows no certificate".into()))?;
    if let Trust::Consortium { peer, tls_key } = trust {
        let name = party_of(certificate).unwrap_or_default();
        if name != *peer {
            return Err(DirectError::Refused(format!("it is `{name}`, awaited was `{peer}`")));
        }
        check_key(*tls_key, key_of(certificate)).map_err(DirectError::Refused)?;
    }
    Ok(Digest::of_bytes(certificate))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn server_config(tls: &Tls, trust: &Trust) -> Result<Arc<rustls::ServerConfig>, DirectError> {
    let Trust::Trial { fingerprint } = trust else {
        let config = tls.server_config().map_err(own("this node's certificate"))?;
        let mut config = (*config).clone();
        config.alpn_protocols.clear();
        return Ok(Arc::new(config));
    };
    let (chain, key) = tls.own().map_err(own("this node's certificate"))?;
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(own("TLS 1.3"))?
        .with_client_cert_verifier(Arc::new(SelfSigned { fingerprint: *fingerprint, provider: provider() }))
        .with_single_cert(chain, key)
        .map_err(own("this node's certificate"))?;
    Ok(Arc::new(config))
}

fn client_config(tls: &Tls, trust: &Trust) -> Result<Arc<rustls::ClientConfig>, DirectError> {
    let Trust::Trial { fingerprint } = trust else {
        return Ok(Arc::new(tls.client_config().map_err(own("this node's certificate"))?));
    };
    let (chain, key) = tls.own().map_err(own("this node's certificate"))?;
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(own("TLS 1.3"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(SelfSigned { fingerprint: *fingerprint, provider: provider() }))
        .with_client_auth_cert(chain, key)
        .map_err(own("this node's certificate"))?;
    Ok(Arc::new(config))
}

fn own<E: ToString>(what: &'static str) -> impl Fn(E) -> DirectError {
    move |error| DirectError::Certificate { what, reason: error.to_string() }
}

fn refuse(error: impl ToString) -> DirectError {
    DirectError::Refused(error.to_string())
}
