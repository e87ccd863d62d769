//! The consortium's certificate authority for trials: issues node certificates, keeps and signs the registry.
//!
//! Its directory holds `ca.key` (sealed under a passphrase), `ca.crt` and `registry.json`. A consortium in production keeps
//! its authority in hardware; the formats stay the same.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
};
use serde::{Deserialize, Serialize};
use tally_audit::{NamedKey, Registry, RegistryParty};
use tally_crypto::seal;
use tally_crypto::seed::Seed;
use tally_crypto::sign::{SigningKey, VerifyKey};
use tally_crypto::transcript::Digest;

/// An open authority.
pub struct Authority {
    directory: PathBuf,
    signing: SigningKey,
    issuer: Issuer<'static, KeyPair>,
    registry: Registry,
}

/// Why the authority cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file cannot be read or written.
    #[error("{}: {source}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A certificate, key or request is malformed.
    #[error("{what}: {reason}")]
    Certificate {
        /// Which.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The passphrase is wrong or the file was changed.
    #[error("{}: the passphrase does not open the key, or the file was changed", .0.display())]
    Passphrase(PathBuf),
    /// The party is in the registry with other keys.
    #[error("party {0} is in the registry with other keys: choose another name, or remove it first")]
    Known(String),
}

#[derive(Serialize, Deserialize)]
struct Secrets {
    seed: [u8; 32],
    tls_key: String,
}

/// Day of issue: year, month, day.
pub type Day = (i32, u8, u8);

impl Authority {
    /// Makes an authority in `directory`, valid for ten years from `today`; an existing one is not overwritten.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn init(directory: &Path, passphrase: &[u8], today: Day) -> Result<Self, CaError> {
        std::fs::create_dir_all(directory).map_err(file(directory))?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Tallystick consortium");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = rcgen::date_time_ymd(today.0, today.1, 1);
        params.not_after = rcgen::date_time_ymd(today.0 + 10, today.1, 1);
        let tls_key = KeyPair::generate().map_err(certificate("authority's key"))?;
        let pem = tls_key.serialize_pem();
        let issuer = CertifiedIssuer::self_signed(params, tls_key).map_err(certificate("authority's certificate"))?;
        let seed = Seed::from_os().map_err(certificate("authority's key"))?;
        let secrets = Secrets { seed: *seed.expose(), tls_key: pem };
        write_sealed(&directory.join("ca.key"), passphrase, &secrets)?;
        let path = directory.join("ca.crt");
        std::fs::write(&path, issuer.pem()).map_err(file(&path))?;
        let registry = Registry::new(&SigningKey::from_seed(&seed));
        write_registry(directory, &registry)?;
        Self::open(directory, passphrase)
    }

    /// Opens the authority in `directory`.
    ///
    /// # Errors
    /// Names the file that cannot be read, or says that the passphrase is wrong.
    pub fn open(directory: &Path, passphrase: &[u8]) -> Result<Self, CaError> {
        let secrets = read_sealed(&directory.join("ca.key"), passphrase)?;
        let path = directory.join("ca.crt");
        let pem = std::fs::read_to_string(&path).map_err(file(&path))?;
        let key = KeyPair::from_pem(&secrets.tls_key).map_err(certificate("authority's key"))?;
        let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(certificate("authority's certificate"))?;
        let path = directory.join("registry.json");
        let text = std::fs::read_to_string(&path).map_err(file(&path))?;
        let registry = Registry::parse(&text).map_err(certificate("registry"))?;
        let signing = SigningKey::from_seed(&Seed::new(secrets.seed));
        Ok(Self { directory: directory.into(), signing, issuer, registry })
    }

    /// The consortium's key, to which its nodes are pinned.
    pub fn key(&self) -> VerifyKey {
        self.signing.verify_key()
    }

    /// Issues a certificate for `party` on its request, valid for two years, and enters the party in the registry with the key of
    /// that certificate, whatever it says of it itself; so does an entry of an older release get its key.
    ///
    /// # Errors
    /// Refuses a malformed request, and a party that is known with other keys.
    pub fn issue(&mut self, csr_pem: &str, mut party: RegistryParty, today: Day) -> Result<String, CaError> {
        let mut request =
            CertificateSigningRequestParams::from_pem(csr_pem).map_err(certificate("certificate request"))?;
        party.tls_key = Some(Digest::of_bytes(&request.public_key.subject_public_key_info()));
        let known = self.registry.party(&party.name).cloned();
        let same = |known: &RegistryParty| {
            let tls_key = known.tls_key.or(party.tls_key);
            RegistryParty { tls_key, ..known.clone() } == party
        };
        if known.as_ref().is_some_and(|known| !same(known)) {
            return Err(CaError::Known(party.name));
        }
        // Nothing of the request is taken over but its key.
        let mut params = CertificateParams::default();
        let name = format!("{}.tallystick", party.name);
        params.distinguished_name.push(DnType::CommonName, name.clone());
        let name = name.try_into().map_err(certificate("party name"))?;
        params.subject_alt_names = vec![SanType::DnsName(name)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = rcgen::date_time_ymd(today.0, today.1, 1);
        params.not_after = rcgen::date_time_ymd(today.0 + 2, today.1, 1);
        request.params = params;
        let issued = request.signed_by(&self.issuer).map_err(certificate("certificate"))?;
        if known.as_ref() != Some(&party) {
            self.registry.parties.retain(|known| known.name != party.name);
            self.registry.parties.push(party);
            self.registry.parties.sort_by(|a, b| a.name.cmp(&b.name));
            self.sign_registry()?;
        }
        Ok(issued.pem())
    }

    /// Enters a registrar: its countersignature makes consents valid.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn appoint_registrar(&mut self, registrar: NamedKey) -> Result<(), CaError> {
        self.registry.registrars.retain(|known| known.name != registrar.name);
        self.registry.registrars.push(registrar);
        self.sign_registry()
    }

    /// Enters a list authority: its signature makes sharing lists valid.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn appoint_list_authority(&mut self, authority: NamedKey) -> Result<(), CaError> {
        self.registry.list_authorities.retain(|known| known.name != authority.name);
        self.registry.list_authorities.push(authority);
        self.sign_registry()
    }

    /// Signs and writes it, unless no node would take it: one key under two names.
    fn sign_registry(&mut self) -> Result<(), CaError> {
        self.registry.sign(&self.signing);
        let text = serde_json::to_string(&self.registry).map_err(certificate("registry"))?;
        Registry::parse(&text).map_err(certificate("registry"))?;
        write_registry(&self.directory, &self.registry)
    }
}

/// A fresh key (PEM) and its certificate signing request (PEM) for `party`.
///
/// # Errors
/// Fails if the system gives no randomness.
pub fn csr(party: &str) -> Result<(String, String), CaError> {
    let key = KeyPair::generate().map_err(certificate("key"))?;
    let params = CertificateParams::new([format!("{party}.tallystick")]).map_err(certificate("party name"))?;
    let request = params.serialize_request(&key).map_err(certificate("certificate request"))?;
    Ok((key.serialize_pem(), request.pem().map_err(certificate("certificate request"))?))
}

/// A self-signed certificate (PEM) and its key (PEM), for a trial between two parties without an authority.
///
/// # Errors
/// Fails if the system gives no randomness.
pub fn self_signed(today: Day) -> Result<(String, String), CaError> {
    let key = KeyPair::generate().map_err(certificate("key"))?;
    let mut params = CertificateParams::new(["trial.tallystick".to_owned()]).map_err(certificate("name"))?;
    params.distinguished_name.push(DnType::CommonName, "Tallystick trial");
    params.not_before = rcgen::date_time_ymd(today.0, today.1, 1);
    params.not_after = rcgen::date_time_ymd(today.0 + 1, today.1, 1);
    let issued = params.self_signed(&key).map_err(certificate("certificate"))?;
    Ok((issued.pem(), key.serialize_pem()))
}

fn write_registry(directory: &Path, registry: &Registry) -> Result<(), CaError> {
    let path = directory.join("registry.json");
    let text = serde_json::to_string_pretty(registry).map_err(certificate("registry"))?;
    std::fs::write(&path, text).map_err(file(&path))
}

const CONTEXT: &[u8] = b"tallystick-ca-key-v1";

fn write_sealed(path: &Path, passphrase: &[u8], secrets: &Secrets) -> Result<(), CaError> {
    let text = serde_json::to_vec(secrets).map_err(certificate("authority's key"))?;
    // A fresh seed's bytes serve as the salt.
    let fresh = Seed::from_os().map_err(certificate("salt"))?;
    let mut salt = [0; 16];
    salt.copy_from_slice(&fresh.expose()[..16]);
    let key = seal::key_from_passphrase(passphrase, &salt).map_err(certificate("passphrase"))?;
    let sealed = seal::seal_at_rest(&key, CONTEXT, &text).map_err(certificate("authority's key"))?;
    let mut out =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(file(path))?;
    out.write_all(&salt).and_then(|()| out.write_all(&sealed)).map_err(file(path))
}

fn read_sealed(path: &Path, passphrase: &[u8]) -> Result<Secrets, CaError> {
    let bytes = std::fs::read(path).map_err(file(path))?;
    let wrong = || CaError::Passphrase(path.into());
    let (salt, sealed) = bytes.split_first_chunk().ok_or_else(wrong)?;
    let key = seal::key_from_passphrase(passphrase, salt).map_err(certificate("passphrase"))?;
    let text = seal::open_at_rest(&key, CONTEXT, sealed).map_err(|_| wrong())?;
    serde_json::from_slice(&text).map_err(|_| wrong())
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> CaError {
    let file = path.to_path_buf();
    move |source| CaError::File { file, source }
}

fn certificate<E: ToString>(what: &'static str) -> impl FnOnce(E) -> CaError {
    move |error| CaError::Certificate { what, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parties_are_entered_once_and_the_registry_is_signed() {
        let folder = tempfile::tempdir().unwrap();
        let today = (2026, 11, 23);
        Authority::init(folder.path(), b"passphrase", today).unwrap();
        assert!(matches!(Authority::open(folder.path(), b"wrong one"), Err(CaError::Passphrase(_))));
        let mut authority = Authority::open(folder.path(), b"passphrase").unwrap();
        let key = SigningKey::from_seed(&Seed::new([1; 32])).verify_key();
        let log_vkey = tally_audit::note::vkey("bank-1", &key);
        let party =
            RegistryParty { name: "bank-1".into(), role: "bank".into(), node_key: key, log_vkey, tls_key: None };
        let (_, request) = csr("bank-1").unwrap();
        let (_, other_key) = csr("bank-1").unwrap();
        assert!(authority.issue(&request, party.clone(), today).unwrap().contains("BEGIN CERTIFICATE"));
        let other = RegistryParty { role: "platform".into(), ..party.clone() };
        assert!(matches!(authority.issue(&request, other, today), Err(CaError::Known(_))));
        assert!(matches!(authority.issue(&other_key, party.clone(), today), Err(CaError::Known(_))));
        let twin = RegistryParty { name: "bank-2".into(), log_vkey: tally_audit::note::vkey("bank-2", &key), ..party };
        assert!(authority.issue(&csr("bank-2").unwrap().1, twin, today).unwrap_err().to_string().contains("bank-1"));
        let mut authority = Authority::open(folder.path(), b"passphrase").unwrap();
        assert!(authority.registry.parties[0].tls_key.is_some() && authority.registry.version == 2);
        assert!(authority.issue("nonsense", authority.registry.parties[0].clone(), today).is_err());
        let text = std::fs::read_to_string(folder.path().join("registry.json")).unwrap();
        assert_eq!(Registry::parse(&text).unwrap().parties.len(), 1);
        assert!(Registry::parse(&text.replace("\"bank\"", "\"bonk\"")).is_err());
        assert!(Authority::init(folder.path(), b"passphrase", today).is_err());
    }
}
