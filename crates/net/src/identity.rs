//! Who a peer is: the name in a certificate that the consortium has issued.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tally_crypto::transcript::Digest;
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
    /// Client side: TLS 1.3 only, a server certificate of the consortium only.
    pub(crate) fn client_config(&self) -> Result<rustls::ClientConfig, NetError> {
        let wrong = |what: &'static str| move |error: String| NetError::Certificate { what, reason: error };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (chain, key) = self.own()?;
        rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| wrong("TLS 1.3")(error.to_string()))?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(chain, key)
            .map_err(|error| wrong("this node's certificate")(error.to_string()))
    }

    fn roots(&self) -> Result<rustls::RootCertStore, NetError> {
        let wrong = |reason: String| NetError::Certificate { what: "the consortium's certificate", reason };
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.ca_pem.as_bytes()) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        Ok(roots)
    }

    /// This node's certificate and key.
    pub(crate) fn own(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), NetError> {
        let wrong = |what: &'static str| move |error: String| NetError::Certificate { what, reason: error };
        let chain = CertificateDer::pem_slice_iter(self.cert_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong("this node's certificate")(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .map_err(|error| wrong("this node's key")(error.to_string()))?;
        Ok((chain, key))
    }

    /// Server side: TLS 1.3 only, client certificates of the consortium only.
    pub(crate) fn server_config(&self) -> Result<Arc<rustls::ServerConfig>, NetError> {
        let wrong = |what: &'static str| move |error: String| NetError::Certificate { what, reason: error };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider.clone())
            .build()
            .map_err(|error| wrong("the consortium's certificate")(error.to_string()))?;
        let (chain, key) = self.own()?;
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

/// SHA-256 of a certificate's public key (SubjectPublicKeyInfo, DER).
pub(crate) fn key_of(certificate: &CertificateDer<'_>) -> Option<Digest> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(Digest::of_bytes(parsed.tbs_certificate.subject_pki.raw))
}

/// SHA-256 of the public key (SubjectPublicKeyInfo, DER) of a certificate, as the registry has it.
///
/// # Errors
/// Fails if `pem` holds no certificate.
pub fn tls_key(pem: &str) -> Result<Digest, NetError> {
    let wrong = |reason: String| NetError::Certificate { what: "this node's certificate", reason };
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    key_of(&certificate).ok_or_else(|| wrong("not an X.509 certificate".into()))
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
