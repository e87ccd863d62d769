//! A bank's own authority for its systems, for trials: the loan system that calls the scoring service, and the service itself.
//!
//! It lives in memory and ends with the trial. A bank in production uses the authority that it has.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// The authority.
pub struct SystemsAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, PEM.
pub struct SystemsPair {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl SystemsAuthority {
    /// A new authority with a fresh key.
    ///
    /// # Errors
    /// Passes on the failure of the generator.
    pub fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Bank systems");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// Its own certificate, PEM.
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for the system called `name`, as a server on this machine and as a client.
    ///
    /// # Errors
    /// Passes on the failure of the generator.
    pub fn issue(&self, name: &str) -> Result<SystemsPair, rcgen::Error> {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(SystemsPair { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}
