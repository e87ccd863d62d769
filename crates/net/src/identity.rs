//! Who a peer is: the name in a certificate that the consortium has issued.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls;

use crate::link::NetError;

/// A node's certificate, its key, and the consortium's authority; all PEM.
#[derive(Clone)]
pub struct Tls {
    /// Certificate of the consortium's authority.
    pub ca_pem: String,
    /// Certificate of this node.
    pub cert_pem: String,
    /// Its private key.
    pub key_pem: String,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(redacted)")
    }
}

/// DNS name that certificates carry for a party.
pub(crate) fn server_name(party: &str) -> String {
    format!("{party}.tallystick")
}

impl Tls {
    /// Server side: TLS 1.3 only, client certificates of the consortium only.
    pub(crate) fn server_config(&self) -> Result<Arc<rustls::ServerConfig>, NetError> {
        let wrong = |what: &'static str| move |error: String| NetError::Certificate { what, reason: error };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.ca_pem.as_bytes()) {
            let certificate = certificate.map_err(|error| wrong("the consortium's certificate")(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong("the consortium's certificate")(error.to_string()))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| wrong("the consortium's certificate")(error.to_string()))?;
        let chain = CertificateDer::pem_slice_iter(self.cert_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong("this node's certificate")(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .map_err(|error| wrong("this node's key")(error.to_string()))?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| wrong("TLS 1.3")(error.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| wrong("this node's certificate")(error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

/// The party that a verified certificate names.
pub(crate) fn party_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        x509_parser::extensions::GeneralName::DNSName(name) => name.strip_suffix(".tallystick").map(Into::into),
        _ => None,
    })
}
