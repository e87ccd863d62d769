//! Nodes witness one another's logs, over the stream that they have anyway: nobody dials a bank.
//!
//! Every node cosigns what the logs of the registry's parties show it, each checkpoint only after a proof that it goes on from
//! the one before, and keeps what it has cosigned before it says so. A node whose configuration names a policy asks the
//! policy's witnesses after every publication, and puts their cosignatures under the checkpoint as they come: peers over the
//! stream, those whose line in the policy names a URL over HTTP, each from a thread of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tally_audit::Registry;
use tally_audit::note::{Cosigner, VerifierKey};
use tally_audit::policy::Policy;
use tally_audit::witness::{Answer, Collector, LogKey, Progress, SplitView, Witness};

use super::group::Outward;
use super::{Engine, book, now};
use crate::config::Config;
use crate::directory::Directory;
use crate::failure::{self, Failure};
use crate::keys::NodeKeys;
use crate::store::Store;
use crate::witness::{Answered, ask, keep_proof};

/// After a party's name: the name of its key as a witness.
const SUFFIX: &str = "/witness";

/// What a node is to other logs, and what others are to its own.
pub(super) struct Witnessing {
    witness: Witness,
    policy: Option<Arc<Policy>>,
    /// The checkpoint that witnesses are asked about, with what they have answered.
    collector: Option<Collector>,
    /// Witnesses over HTTP, and where their answers come in.
    public: BTreeMap<String, Sender<Vec<u8>>>,
    answers: Receiver<Answered>,
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
            Policy::parse(&text).map(Arc::new).map_err(|error| wrong(error.to_string()))
        });
        let policy = policy.transpose()?;
        let (sender, answers) = channel();
        let witnesses = policy.iter().flat_map(|policy| policy.witnesses());
        let public = witnesses.filter_map(|(name, _, url)| Some((name.clone(), ask(&name, url?, sender.clone()))));
        Ok(Self { witness, public: public.collect(), policy, collector: None, answers })
    }
}

impl Engine {
    /// Judges a checkpoint of another log; what is cosigned is durable before it is said.
    pub(super) fn judge_checkpoint(&mut self, peer: &str, body: &[u8]) -> Result<(), Failure> {
        let seconds = u64::try_from(now() / 1000).unwrap_or_default();
        // A step, although it logs nothing: what is said rests on it.
        let judged = self.step(|engine, _| match engine.witnessing.witness.add_checkpoint(body, seconds) {
            Ok(pending) => pending.persist(|seen| engine.store.put_witnessed(seen)).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        })?;
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

    /// Two histories of one log: the first proof is kept beside the log, and the fact in it.
    fn keep_split_view(&mut self, peer: &str, split: &SplitView) -> Result<(), Failure> {
        if keep_proof(self.directory.path(), split)?.is_none() {
            return Ok(());
        }
        self.step(|_, step| {
            step.record(None, peer, book::refused_message(peer, "its log has signed two histories"));
            Ok(())
        })
    }

    /// Asks the policy's witnesses that are here to cosign the published checkpoint.
    pub(super) fn ask_witnesses(&mut self) -> Result<(), Failure> {
        let Witnessing { policy: Some(policy), collector, .. } = &mut self.witnessing else { return Ok(()) };
        let known = collector.as_ref().map(|collector| collector.known().clone()).unwrap_or_default();
        let note = self.log.checkpoint()?;
        let next = note.map(|note| Collector::new(policy, note, known)).transpose();
        *collector = next.map_err(failure::internal)?;
        for peer in self.connected.keys().cloned().collect::<Vec<_>>() {
            self.ask_witness(&peer)?;
        }
        for witness in self.witnessing.public.keys().cloned().collect::<Vec<_>>() {
            self.ask_public(&witness)?;
        }
        Ok(())
    }

    /// Asks one peer, if the policy names it as a witness.
    pub(super) fn ask_witness(&mut self, peer: &str) -> Result<(), Failure> {
        let witness = self.witnessing.policy.as_ref().and_then(|policy| witness_of(policy, peer));
        let request = witness.map(|witness| self.request_to_cosign(&witness)).transpose()?.flatten();
        if let (Some(request), Some(link)) = (request, &self.link) {
            link.ask_to_cosign(peer, request);
        }
        Ok(())
    }

    /// Asks one witness over HTTP.
    fn ask_public(&mut self, witness: &str) -> Result<(), Failure> {
        let request = self.request_to_cosign(witness)?;
        if let (Some(request), Some(thread)) = (request, self.witnessing.public.get(witness)) {
            // The thread lives as long as this end of its channel.
            let _ = thread.send(request);
        }
        Ok(())
    }

    /// The request to cosign the checkpoint, if there is one.
    fn request_to_cosign(&self, witness: &str) -> Result<Option<Vec<u8>>, Failure> {
        let Some(collector) = &self.witnessing.collector else { return Ok(None) };
        let request = collector.request(witness, |old, new| self.log.consistency_proof(old, new))?;
        Ok(Some(request.to_string().into_bytes()))
    }

    /// Takes the answer of a peer that was asked to cosign.
    pub(super) fn checkpoint_answer(
        &mut self,
        peer: &str,
        status: u16,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<(), Failure> {
        let witness = self.witnessing.policy.as_ref().and_then(|policy| witness_of(policy, peer));
        match witness {
            Some(witness) if self.cosigned(&witness, status, content_type, body)? => self.ask_witness(peer),
            _ => Ok(()),
        }
    }

    /// Takes the answers that have come over HTTP.
    pub(super) fn take_public_answers(&mut self) -> Result<(), Failure> {
        while let Ok(Answered { witness, status, content_type, body }) = self.witnessing.answers.try_recv() {
            if self.cosigned(&witness, status, content_type.as_deref(), &body)? {
                self.ask_public(&witness)?;
            }
        }
        Ok(())
    }

    /// Puts a witness's cosignature under the checkpoint; true if it has to be asked again.
    fn cosigned(
        &mut self,
        witness: &str,
        status: u16,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<bool, Failure> {
        let Some(collector) = &mut self.witnessing.collector else { return Ok(false) };
        let answer = Answer::parse(status, content_type, body).map_err(|error| error.to_string());
        let progress = answer.and_then(|answer| collector.answer(witness, answer).map_err(|error| error.to_string()));
        match progress {
            Ok(Progress::Cosigned) => {
                // Cosignatures for a checkpoint that another has replaced by now are of no use any more.
                let _ = self.log.put_cosigned(collector.note());
                Ok(false)
            }
            // Told twice which size it knows, it helps no more with this checkpoint.
            Ok(Progress::Again) => Ok(true),
            Err(reason) => {
                tracing::warn!(witness, reason, "not cosigned");
                Ok(false)
            }
        }
    }
}

/// The policy's name of the witness that a peer is; one with a URL is asked there.
fn witness_of(policy: &Policy, peer: &str) -> Option<String> {
    let is_peer = |key: &VerifierKey| key.name().strip_suffix(SUFFIX) == Some(peer);
    policy.witnesses().find(|(_, key, url)| is_peer(key) && url.is_none()).map(|(name, ..)| name)
}
