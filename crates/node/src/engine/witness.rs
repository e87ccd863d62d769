//! Nodes witness one another's logs, over the stream that they have anyway: nobody dials a bank.
//!
//! Every node cosigns what the logs of the registry's parties show it, each checkpoint only after a proof that it goes on from
//! the one before, and keeps what it has cosigned before it says so. A node whose configuration names a policy asks the
//! policy's witnesses after every publication, and puts their cosignatures under the checkpoint as they come.
//!
//! A witness that is no peer (a public one, over HTTP) is not asked by this node.

use std::collections::{BTreeMap, BTreeSet};

use tally_audit::Registry;
use tally_audit::note::{Cosigner, Note, VerifierKey};
use tally_audit::policy::Policy;
use tally_audit::witness::{Answer, Collector, LogKey, Progress, SplitView, Witness};
use tally_crypto::transcript::Digest;

use super::group::Outward;
use super::{Engine, book, now};
use crate::config::Config;
use crate::directory::Directory;
use crate::failure::{self, Failure};
use crate::keys::NodeKeys;
use crate::store::Store;

/// After a party's name: the name of its key as a witness.
const SUFFIX: &str = "/witness";

/// What a node is to other logs, and what others are to its own.
pub(super) struct Witnessing {
    witness: Witness,
    policy: Option<Policy>,
    /// The checkpoint that witnesses are asked about.
    note: Option<Note>,
    /// Sizes that they are known to have cosigned.
    known: BTreeMap<String, u64>,
    /// Those that were asked a second time about this checkpoint.
    again: BTreeSet<String>,
}

impl Witnessing {
    /// Reads the policy and what was cosigned so far; writes the witness's verifier key beside the log's.
    pub(super) fn open(
        directory: &Directory,
        config: &Config,
        keys: &NodeKeys,
        registry: &Registry,
        store: &Store,
    ) -> Result<Self, Failure> {
        let cosigner =
            Cosigner::new(&format!("{}{SUFFIX}", config.node.name), keys.witness()).map_err(failure::internal)?;
        let path = directory.witness_vkey();
        let vkey = format!("{}\n", cosigner.verifier_key());
        if std::fs::read_to_string(&path).ok().as_ref() != Some(&vkey) {
            std::fs::write(&path, vkey).map_err(|error| failure::unwritable(format!("{}: {error}", path.display())))?;
        }
        let logs = registry.parties.iter().filter_map(|party| {
            let key: VerifierKey = party.log_vkey.parse().ok()?;
            LogKey::new(&key).ok()
        });
        let witness = Witness::new(vec![Box::new(cosigner)], logs.collect(), store.witnessed()?);
        let policy = config.log.policy.as_ref().map(|path| {
            let path = directory.resolve(path);
            let wrong = |error: String| failure::misconfigured(format!("{}: {error}", path.display()));
            let text = std::fs::read(&path).map_err(|error| wrong(error.to_string()))?;
            Policy::parse(&text).map_err(|error| wrong(error.to_string()))
        });
        let (known, again) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { witness, policy: policy.transpose()?, note: None, known, again })
    }
}

impl Engine {
    /// Judges a checkpoint of another log; what is cosigned is durable before it is said.
    pub(super) fn judge_checkpoint(&mut self, peer: &str, body: &[u8]) -> Result<(), Failure> {
        let seconds = u64::try_from(now() / 1000).unwrap_or_default();
        let store = &self.store;
        let judged = match self.witnessing.witness.add_checkpoint(body, seconds) {
            Ok(pending) => Ok(pending.persist(|seen| store.put_witnessed(seen))?),
            Err(refusal) => Err(refusal),
        };
        let answer = match judged {
            Ok(answer) => answer,
            Err(refusal) => {
                refusal.split_view.map_or(Ok(()), |split| self.keep_split_view(peer, &split))?;
                refusal.answer
            }
        };
        self.group.hold(Outward::Cosignature { peer: peer.into(), answer });
        Ok(())
    }

    /// Two histories of one log: the proof is kept beside the log, and the fact in it.
    fn keep_split_view(&mut self, peer: &str, split: &SplitView) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(split).map_err(failure::internal)?;
        let name = Digest::of_bytes(text.as_bytes()).short();
        let path = self.directory.path().join(format!("split-view-{name}.json"));
        std::fs::write(&path, text).map_err(|error| failure::unwritable(format!("{}: {error}", path.display())))?;
        tracing::error!(peer, proof = %path.display(), "a log has signed two histories");
        self.step(|_, step| {
            step.record(None, peer, book::refused_message(peer, "its log has signed two histories"));
            Ok(())
        })
    }

    /// Asks the policy's witnesses that are here to cosign the published checkpoint.
    pub(super) fn ask_witnesses(&mut self) -> Result<(), Failure> {
        if self.witnessing.policy.is_none() {
            return Ok(());
        }
        self.witnessing.note = self.log.checkpoint()?;
        self.witnessing.again.clear();
        for peer in self.connected.keys().cloned().collect::<Vec<_>>() {
            self.ask_witness(&peer)?;
        }
        Ok(())
    }

    /// Asks one peer, if the policy names it as a witness.
    pub(super) fn ask_witness(&mut self, peer: &str) -> Result<(), Failure> {
        let Witnessing { policy: Some(policy), note: Some(note), known, .. } = &self.witnessing else { return Ok(()) };
        let Some(witness) = witness_of(policy, peer) else { return Ok(()) };
        let collector = Collector::new(policy, note.clone(), known.clone()).map_err(failure::internal)?;
        let request = collector.request(&witness, |old, new| self.log.consistency_proof(old, new))?;
        if let Some(link) = &self.link {
            link.ask_to_cosign(peer, request.to_string().into_bytes());
        }
        Ok(())
    }

    /// Puts a witness's cosignature under the checkpoint.
    pub(super) fn checkpoint_answer(
        &mut self,
        peer: &str,
        status: u16,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<(), Failure> {
        let state = &mut self.witnessing;
        let (Some(policy), Some(note)) = (&state.policy, &state.note) else { return Ok(()) };
        let Some(witness) = witness_of(policy, peer) else { return Ok(()) };
        let mut collector = Collector::new(policy, note.clone(), state.known.clone()).map_err(failure::internal)?;
        let answer = Answer::parse(status, content_type, body).map_err(|error| error.to_string());
        let progress = answer.and_then(|answer| collector.answer(&witness, answer).map_err(|error| error.to_string()));
        let (known, note) = (collector.known().clone(), collector.note().clone());
        state.known = known;
        match progress {
            Ok(Progress::Cosigned) => {
                // Cosignatures for a checkpoint that another has replaced by now are of no use any more.
                let _ = self.log.put_cosigned(&note);
                state.note = Some(note);
                Ok(())
            }
            // Told twice which size it knows, it is left alone until the next checkpoint.
            Ok(Progress::Again) if state.again.insert(witness) => self.ask_witness(peer),
            Ok(Progress::Again) => Ok(()),
            Err(reason) => {
                tracing::warn!(peer, reason, "not cosigned");
                Ok(())
            }
        }
    }
}

/// The policy's name of the witness that a peer is.
fn witness_of(policy: &Policy, peer: &str) -> Option<String> {
    let is_peer = |key: &VerifierKey| key.name().strip_suffix(SUFFIX) == Some(peer);
    policy.witnesses().find(|(_, key, _)| is_peer(key)).map(|(name, ..)| name)
}
