//! Who signs for this side, and whose certificates it accepts.

use tally_crypto::seed::Seed;
use tally_crypto::sign::{SigningKey, VerifyKey};
use tally_crypto::transcript::Digest;
use tally_net::Tls;
use tally_net::direct::{Trust, fingerprint};
use zeroize::Zeroizing;

use super::work::{SavedRun, Work};
use super::{AlignArguments, Role};
use crate::cli::today;
use crate::config::{self, Config};
use crate::directory::Directory;
use crate::failure::{self, Failure};
use crate::keys::NodeKeys;
use crate::secret;

/// What opens the node's keys and seals files, where the arguments ask for either; else empty.
pub(super) fn passphrase(arguments: &AlignArguments) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let seals = arguments.work.is_some() || arguments.cache.is_some();
    if seals || arguments.node.is_some() || arguments.secret_file.is_some() {
        secret::read(arguments.secret_file.as_deref(), "align")
    } else {
        Ok(Zeroizing::default())
    }
}

/// This side's identity.
pub(super) struct Identity {
    /// Party name.
    pub(super) name: String,
    /// Signs the contract and the receipt.
    pub(super) key: SigningKey,
    /// Certificate and key.
    pub(super) tls: Tls,
    /// Whose certificates are accepted.
    pub(super) trust: Trust,
    /// Fingerprint of the own certificate.
    pub(super) fingerprint: Digest,
    /// The peer's name and key, where a registry says them.
    pub(super) peer: Option<(String, VerifyKey)>,
    /// Seed of the signing key of a trial; zeros elsewhere.
    trial_seed: Seed,
    passphrase: Zeroizing<Vec<u8>>,
}

impl Identity {
    /// Makes or opens the identity that the arguments name; a trial that goes on has the one of its first attempt.
    pub(super) fn open(
        arguments: &AlignArguments,
        passphrase: Zeroizing<Vec<u8>>,
        work: Option<&Work>,
    ) -> Result<Self, Failure> {
        match &arguments.node {
            Some(directory) => Self::of_node(arguments, &Directory::new(directory), passphrase),
            None => Self::trial(arguments, passphrase, work),
        }
    }

    fn trial(arguments: &AlignArguments, passphrase: Zeroizing<Vec<u8>>, work: Option<&Work>) -> Result<Self, Failure> {
        let saved = work.map(Work::standing).transpose()?.flatten();
        let (cert_pem, key_pem) = match &saved {
            Some(run) => run.certificate.clone(),
            None => tally_city::ca::self_signed(today()).map_err(failure::internal)?,
        };
        let seed = saved.map_or_else(Seed::from_os, |run| Ok(Seed::new(run.signing))).map_err(failure::internal)?;
        let fingerprint = fingerprint(&cert_pem).map_err(failure::internal)?;
        let name = match arguments.role {
            Role::Platform => "platform",
            Role::Bank => "bank",
        };
        Ok(Self {
            name: name.into(),
            key: SigningKey::from_seed(&seed),
            trial_seed: seed,
            tls: Tls { ca_pem: String::new(), cert_pem, key_pem },
            trust: Trust::Trial { fingerprint: arguments.peer },
            fingerprint,
            peer: None,
            passphrase,
        })
    }

    fn of_node(
        arguments: &AlignArguments,
        directory: &Directory,
        passphrase: Zeroizing<Vec<u8>>,
    ) -> Result<Self, Failure> {
        let with = arguments.with.as_deref().ok_or_else(|| failure::usage("name the other party with --with"))?;
        let config = Config::read(&directory.config())?;
        let own_role = match arguments.role {
            Role::Platform => config::Role::Platform,
            Role::Bank => config::Role::Bank,
        };
        if config.node.role != own_role {
            return Err(failure::usage("--role is not the role of this node"));
        }
        let read = |path: &std::path::Path| {
            let path = directory.resolve(path);
            std::fs::read_to_string(&path).map_err(|error| {
                failure::misconfigured(format!("{}: {error}: put the consortium's file there", path.display()))
            })
        };
        let registry = crate::registry::read(directory, &config)?;
        let party = registry.party(with).ok_or_else(|| {
            failure::refused(format!("`{with}` is not in the registry: copy it from the consortium again"))
        })?;
        let peer_role = if arguments.role == Role::Platform { "bank" } else { "platform" };
        if party.role != peer_role {
            return Err(failure::refused(format!("`{with}` is a {} in the registry, not a {peer_role}", party.role)));
        }
        let peer = (party.name.clone(), party.node_key);
        let cert_pem = read(&config.files.certificate)?;
        let keys = NodeKeys::read(&directory.node_keys(), &passphrase)?;
        Ok(Self {
            name: config.node.name,
            key: keys.signing(),
            fingerprint: fingerprint(&cert_pem).map_err(failure::misconfigured)?,
            tls: Tls { ca_pem: read(&config.files.ca_certificate)?, cert_pem, key_pem: keys.tls_key.to_string() },
            trust: Trust::Consortium { peer: with.into(), tls_key: party.tls_key },
            peer: Some(peer),
            trial_seed: Seed::new([0; 32]),
            passphrase,
        })
    }

    /// What seals files of this side; empty where there is nothing to seal.
    pub(super) fn passphrase(&self) -> &[u8] {
        &self.passphrase
    }

    /// A run that begins under the contract in `envelope`; a trial's certificate and keys are kept in it.
    pub(super) fn begin(&self, envelope: String, seed: &Seed, set: Digest) -> SavedRun {
        let certificate = match self.peer {
            Some(_) => Default::default(),
            None => (self.tls.cert_pem.clone(), self.tls.key_pem.clone()),
        };
        let (seed, signing) = (*seed.expose(), *self.trial_seed.expose());
        SavedRun { envelope, seed, signing, certificate, set, attempts: 1, finished: 0 }
    }

    /// Checks a peer's name and key against the registry, where there is one.
    pub(super) fn check_peer(&self, name: &str, key: &VerifyKey) -> Result<(), Failure> {
        match &self.peer {
            Some((known, known_key)) if known != name || known_key != key => Err(failure::refused(format!(
                "the other side signs as `{name}` with a key that is not in the registry"
            ))),
            _ => Ok(()),
        }
    }
}
