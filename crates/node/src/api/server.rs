//! HTTPS: TLS 1.3, client certificates where an authority is configured, HTTP/1.1 and HTTP/2 on one port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto::Builder;
use tally_net::door::{Bounds, Guest, Pass};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use crate::failure::{self, Failure};
use crate::http::{self, Patient};

/// How long a client may take for its handshake, to begin, for the headers of a request, for its body, and to take in an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Who is at the other end of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    /// Subject name (CN) of the verified client certificate.
    pub(crate) certificate: Option<Arc<str>>,
    /// What keeps the place of the connection, once a caller is known.
    pub(crate) pass: Option<Pass>,
}

/// PEM texts of a server.
pub(crate) struct ServerTls {
    /// Its chain.
    pub(crate) certificate: String,
    /// Its private key.
    pub(crate) key: String,
    /// Authority of clients' certificates.
    pub(crate) client_ca: Option<String>,
}

impl ServerTls {
    /// The configuration for a listener.
    pub(crate) fn config(&self) -> Result<Arc<ServerConfig>, Failure> {
        let wrong = |what: &'static str| move |error: String| failure::misconfigured(format!("[api] {what}: {error}"));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| wrong("TLS 1.3")(error.to_string()))?;
        let clients = match &self.client_ca {
            None => versions.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in chain(pem).map_err(wrong("client_ca"))? {
                    roots.add(certificate).map_err(|error| wrong("client_ca")(error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                versions.with_client_cert_verifier(verifier.map_err(|error| wrong("client_ca")(error.to_string()))?)
            }
        };
        let certificate = chain(&self.certificate).map_err(wrong("certificate"))?;
        let key =
            PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|error| wrong("key")(error.to_string()))?;
        let mut config =
            clients.with_single_cert(certificate, key).map_err(|error| wrong("certificate")(error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if chain.is_empty() { Err("there is no certificate in the file".into()) } else { Ok(chain) }
}

/// Listens on `address` within `bounds` and serves; where it listens.
///
/// # Errors
/// Names the address.
pub(crate) fn listen(
    runtime: &tokio::runtime::Handle,
    (address, bounds): (&str, Bounds),
    config: Arc<ServerConfig>,
    router: Router,
) -> Result<SocketAddr, Failure> {
    let acceptor = TlsAcceptor::from(config);
    http::listen(runtime, address, ("api.listen", bounds), move |guest| {
        let (acceptor, router) = (acceptor.clone(), router.clone());
        async move { serve(guest, &acceptor, router).await }
    })
}

async fn serve(guest: Guest, acceptor: &TlsAcceptor, router: Router) {
    let pass = guest.pass();
    let accepted = acceptor.accept(Patient::new(guest, PATIENCE));
    let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, accepted).await else {
        tracing::debug!("scoring service: a handshake failed");
        return;
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).and_then(subject_name);
    if certificate.is_some() {
        // The authority vouches for it.
        pass.keep();
    }
    let router = router.layer(Extension(Identity { certificate, pass: Some(pass) }));
    http::converse(stream, Builder::new(TokioExecutor::new()), router, PATIENCE).await;
}

fn subject_name(certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?;
    name.as_str().ok().map(Into::into)
}
