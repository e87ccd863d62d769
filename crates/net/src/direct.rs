//! One connection between two parties for one run: mutual TLS 1.3 over TCP, messages in order, whole, both ways in turn.
//!
//! A frame is a length of four bytes, big-endian, and that many bytes. The node's standing stream carries everything of
//! joint sessions; this is for runs between two parties outside of any session.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use tally_crypto::transcript::Digest;
use tokio_rustls::rustls;

use crate::identity::{Tls, party_of, server_name};
use crate::link::Traffic;

/// Longest message.
pub const MESSAGE_BYTES: usize = 16 << 20;

/// Whose certificates are accepted.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those that the consortium's authority has issued, to the party of this name.
    Consortium {
        /// The peer's party name.
        peer: String,
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

/// An open connection.
pub struct Direct {
    stream: Stream,
    traffic: Arc<Counters>,
    fingerprint: Digest,
}

enum Stream {
    Server(Box<rustls::StreamOwned<rustls::ServerConnection, Counted>>),
    Client(Box<rustls::StreamOwned<rustls::ClientConnection, Counted>>),
}

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
    /// away with a word to `refused`, and the wait goes on. A peer that is silent for `patience` ends the connection.
    ///
    /// # Errors
    /// Names what cannot be used.
    pub fn listen(
        address: &str,
        tls: &Tls,
        trust: &Trust,
        patience: Duration,
        ready: impl FnOnce(std::net::SocketAddr),
        mut refused: impl FnMut(String),
    ) -> Result<Self, DirectError> {
        let cannot = |source| DirectError::Address { address: address.into(), source };
        let config = server_config(tls, trust)?;
        let listener = TcpListener::bind(address).map_err(cannot)?;
        ready(listener.local_addr().map_err(cannot)?);
        loop {
            let (tcp, from) = listener.accept().map_err(cannot)?;
            let accept = || -> Result<Self, DirectError> {
                let (stream, traffic) = Counted::new(tcp, patience)?;
                let connection = rustls::ServerConnection::new(config.clone()).map_err(refuse)?;
                let mut stream = rustls::StreamOwned::new(connection, stream);
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock).map_err(refuse)?;
                }
                let fingerprint = check_peer(stream.conn.peer_certificates(), trust)?;
                Ok(Self { stream: Stream::Server(Box::new(stream)), traffic, fingerprint })
            };
            match accept() {
                Ok(connection) => return Ok(connection),
                Err(error) => refused(format!("{from}: {error}")),
            }
        }
    }

    /// Dials `address` until somebody answers, for at most `patience`.
    ///
    /// # Errors
    /// Names what cannot be used, or the peer that was refused.
    pub fn connect(address: &str, tls: &Tls, trust: &Trust, patience: Duration) -> Result<Self, DirectError> {
        let config = client_config(tls, trust)?;
        let tcp = dial(address, patience)?;
        let (stream, traffic) = Counted::new(tcp, patience)?;
        let name = match trust {
            Trust::Consortium { peer } => server_name(peer),
            Trust::Trial { .. } => server_name("trial"),
        };
        let name = ServerName::try_from(name).map_err(own("the peer's name"))?;
        let connection = rustls::ClientConnection::new(config, name).map_err(refuse)?;
        let mut stream = rustls::StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(refuse)?;
        }
        let fingerprint = check_peer(stream.conn.peer_certificates(), trust)?;
        Ok(Self { stream: Stream::Client(Box::new(stream)), traffic, fingerprint })
    }

    /// Fingerprint of the peer's certificate.
    pub fn peer_fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// Sends a message; it may wait in a buffer until [`Direct::flush`] or [`Direct::receive`].
    ///
    /// # Errors
    /// Says why the connection broke.
    pub fn send(&mut self, message: &[u8]) -> Result<(), DirectError> {
        let length = u32::try_from(message.len()).map_err(|_| DirectError::TooLong(message.len()))?;
        let stream = self.stream();
        stream.write_all(&length.to_be_bytes())?;
        stream.write_all(message)?;
        Ok(())
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// Says why the connection broke.
    pub fn flush(&mut self) -> Result<(), DirectError> {
        Ok(self.stream().flush()?)
    }

    /// The next message.
    ///
    /// # Errors
    /// Says why the connection broke, or refuses a message that is too long.
    pub fn receive(&mut self) -> Result<Vec<u8>, DirectError> {
        self.flush()?;
        let mut length = [0; 4];
        self.stream().read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MESSAGE_BYTES {
            return Err(DirectError::TooLong(length));
        }
        let mut message = vec![0; length];
        self.stream().read_exact(&mut message)?;
        Ok(message)
    }

    /// Bytes on the wire so far, those of TLS included.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            sent: self.traffic.sent.load(Ordering::Relaxed),
            received: self.traffic.received.load(Ordering::Relaxed),
        }
    }

    fn stream(&mut self) -> &mut dyn ReadWrite {
        match &mut self.stream {
            Stream::Server(stream) => stream.as_mut(),
            Stream::Client(stream) => stream.as_mut(),
        }
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        match &mut self.stream {
            Stream::Server(stream) => stream.conn.send_close_notify(),
            Stream::Client(stream) => stream.conn.send_close_notify(),
        }
        // The peer may be gone; there is nobody left to tell.
        let _ = self.flush();
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// A TCP stream that counts its bytes.
struct Counted {
    tcp: TcpStream,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Counted {
    fn new(tcp: TcpStream, patience: Duration) -> io::Result<(Self, Arc<Counters>)> {
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(patience))?;
        tcp.set_write_timeout(Some(patience))?;
        let counters = Arc::new(Counters::default());
        Ok((Self { tcp, counters: counters.clone() }, counters))
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.tcp.read(buffer).map_err(silent)?;
        self.counters.received.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.tcp.write(bytes).map_err(silent)?;
        self.counters.sent.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

/// What a time-out means here.
fn silent(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, "the peer was silent for too long")
        }
        _ => error,
    }
}

fn dial(address: &str, patience: Duration) -> Result<TcpStream, DirectError> {
    let cannot = |source| DirectError::Address { address: address.into(), source };
    let began = Instant::now();
    loop {
        let addresses: Vec<_> = address.to_socket_addrs().map_err(cannot)?.collect();
        for one in addresses {
            if let Ok(tcp) = TcpStream::connect_timeout(&one, Duration::from_secs(5)) {
                return Ok(tcp);
            }
        }
        if began.elapsed() > patience {
            return Err(DirectError::Nobody { address: address.into(), seconds: patience.as_secs() });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn check_peer(certificates: Option<&[CertificateDer<'_>]>, trust: &Trust) -> Result<Digest, DirectError> {
    let certificate =
        certificates.and_then(<[_]>::first).ok_or_else(|| DirectError::Refused("it shows no certificate".into()))?;
    if let Trust::Consortium { peer } = trust {
        let name = party_of(certificate).unwrap_or_default();
        if name != *peer {
            return Err(DirectError::Refused(format!("it is `{name}`, awaited was `{peer}`")));
        }
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
    let (chain, key) = own_certificate(tls)?;
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(own("TLS 1.3"))?
        .with_client_cert_verifier(Arc::new(SelfSigned { fingerprint: *fingerprint, provider: provider() }))
        .with_single_cert(chain, key)
        .map_err(own("this node's certificate"))?;
    Ok(Arc::new(config))
}

fn client_config(tls: &Tls, trust: &Trust) -> Result<Arc<rustls::ClientConfig>, DirectError> {
    let (chain, key) = own_certificate(tls)?;
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(own("TLS 1.3"))?;
    let builder = match trust {
        Trust::Consortium { .. } => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(tls.ca_pem.as_bytes()) {
                let certificate = certificate.map_err(own("the consortium's certificate"))?;
                roots.add(certificate).map_err(own("the consortium's certificate"))?;
            }
            builder.with_root_certificates(roots)
        }
        Trust::Trial { fingerprint } => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(SelfSigned { fingerprint: *fingerprint, provider: provider() })),
    };
    Ok(Arc::new(builder.with_client_auth_cert(chain, key).map_err(own("this node's certificate"))?))
}

fn own_certificate(tls: &Tls) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), DirectError> {
    let chain = CertificateDer::pem_slice_iter(tls.cert_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(own("this node's certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(tls.key_pem.as_bytes()).map_err(own("this node's key"))?;
    Ok((chain, key))
}

fn own<E: ToString>(what: &'static str) -> impl Fn(E) -> DirectError {
    move |error| DirectError::Certificate { what, reason: error.to_string() }
}

fn refuse(error: impl ToString) -> DirectError {
    DirectError::Refused(error.to_string())
}

/// Accepts a self-signed certificate whose holder proves its key: whose key that is, people check by its fingerprint.
#[derive(Debug)]
struct SelfSigned {
    fingerprint: Option<Digest>,
    provider: Arc<CryptoProvider>,
}

impl SelfSigned {
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        match self.fingerprint {
            Some(expected) if Digest::of_bytes(certificate) != expected => {
                Err(rustls::Error::General("the certificate has another fingerprint than --peer".into()))
            }
            _ => Ok(()),
        }
    }

    fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }
}

const NO_TLS12: &str = "TLS 1.2 is not offered";

impl ServerCertVerifier for SelfSigned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(certificate).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General(NO_TLS12.into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for SelfSigned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(certificate).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General(NO_TLS12.into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
