//! The platform's side: offers its identifiers, learns how many the bank brings.

use rand_core::Rng as _;
use rayon::prelude::*;
use tally_crypto::oprf::OprfError;
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;
use tally_protocol::alignment::cardinality::CountPlatform;
use tally_protocol::alignment::{
    Announcement, Engine, Identifiers, Keyed, Misbehaved, Platform, Resume, Step, ToBank, rung,
};

use super::AlignArguments;
use super::cache::Cache;
use super::contract::{Agreed, AlignContract, Signer};
use super::identity::Identity;
use super::input::Input;
use super::output::{Outcome, Voice, write_tags};
use super::wire::{
    Conversation, FromBank, FromPlatform, TAGS_PER_MESSAGE, VERSION, attempt, broken, parse_envelope, unforeseen,
};
use super::work::{SavedRun, Work};
use crate::cli::Printed;
use crate::control::{self, Command};
use crate::failure::{self, Failure};

/// Runs the platform's side.
pub(super) fn run(
    arguments: &AlignArguments,
    identity: &Identity,
    input: Input,
    work: Option<Work>,
    voice: &Voice,
) -> Result<Printed, Failure> {
    // What can be done before anybody is there is done before.
    let cache = open_cache(arguments, identity, &input.identifiers, voice)?;
    let mut conversation = Conversation::open(arguments, identity, voice)?;
    let mut side = Side { arguments, identity, voice, conversation: &mut conversation };
    let outcome = side.align(&input, cache, work);
    if let Err(failure) = &outcome {
        conversation.stop::<FromPlatform>(failure);
    }
    outcome
}

fn open_cache(
    arguments: &AlignArguments,
    identity: &Identity,
    identifiers: &Identifiers,
    voice: &Voice,
) -> Result<Option<Cache>, Failure> {
    let Some(folder) = &arguments.cache else { return Ok(None) };
    let signer = (&identity.key, identity.peer.is_some());
    let cache = Cache::open(folder, &arguments.epoch, identity.passphrase(), signer, identifiers)?;
    voice.say(&format!("cache version {}: {} identifiers evaluated now", cache.version, cache.fresh));
    Ok(Some(cache))
}

struct Side<'a> {
    arguments: &'a AlignArguments,
    identity: &'a Identity,
    voice: &'a Voice,
    conversation: &'a mut Conversation,
}

impl Side<'_> {
    fn align(&mut self, input: &Input, cache: Option<Cache>, work: Option<Work>) -> Result<Printed, Failure> {
        let mut agreed = self.agree(input, work.as_ref())?;
        self.voice.say(&agreed.contract.in_words());
        let mut platform_set = None;
        if agreed.contract.cardinality {
            self.count(input, &agreed)?;
        } else {
            let (tags, announced) = self.tags(input, cache, &mut agreed, work.as_ref())?;
            platform_set = announced;
            self.send_tags(&tags, &agreed)?;
            if let Some(output) = &self.arguments.output {
                write_tags(output, &self.arguments.key, &input.identifiers, &tags, None)?;
            }
        }
        let seen = self.conversation.seen(false);
        match self.conversation.hear::<FromBank>()? {
            FromBank::Seen(theirs) if theirs == seen => {}
            FromBank::Seen(_) => return Err(broken("it has seen another conversation than this side")),
            _ => return Err(unforeseen()),
        }
        self.conversation.say(&FromPlatform::Seen(seen))?;
        self.conversation.finish()?;
        work.map(Work::remove).transpose()?;
        let Agreed { contract, envelope, .. } = &agreed;
        let bytes = self.conversation.bytes();
        let outcome = Outcome { contract, envelope, platform_set, seen, report: &input.report, bytes, shared: None };
        let output = self.arguments.output.as_deref().filter(|_| !contract.cardinality);
        outcome.finish(output, &self.identity.key, self.voice)
    }

    /// Greets the bank, draws up the contract and waits for its signature; or goes on with the one that stands.
    fn agree(&mut self, input: &Input, work: Option<&Work>) -> Result<Agreed, Failure> {
        let hello = self.conversation.hear::<FromBank>()?;
        let FromBank::Hello { version, name, key, identifiers, set, spelling, cardinality, nonce: bank_nonce, resume } =
            hello
        else {
            return Err(unforeseen());
        };
        if version != VERSION {
            return Err(failure::refused(format!("the other side speaks version {version}, this one {VERSION}")));
        }
        self.identity.check_peer(&name, &key)?;
        self.arguments.spelling().check(&self.identity.name, spelling, &name)?;
        let nonce = *Seed::from_os().map_err(failure::internal)?.expose();
        let saved = work.map(Work::resume).transpose()?.flatten();
        if let Some(mut run) = saved {
            let envelope = parse_envelope(&run.envelope)?;
            let (contract, digest) = AlignContract::open(&envelope, &[])?;
            let seed = Seed::new(run.seed);
            check_input(&run, own_set(input, &seed))?;
            if resume.is_none_or(|(theirs, _)| theirs != digest) || contract.bank.key != key {
                return Err(failure::refused(
                    "the other side does not go on with this run: remove --work on both sides to start anew",
                ));
            }
            run.finished = run.finished.min(resume.map_or(0, |(_, finished)| finished));
            let finished = run.finished;
            self.conversation.say(&FromPlatform::Contract { envelope: run.envelope.clone(), nonce, finished })?;
            let terms = contract.terms(digest, Resume { attempt: attempt(&nonce, &bank_nonce), finished });
            self.voice.say(&format!("attempt {}: {finished} parts stand", run.attempts));
            return Ok(Agreed { contract, envelope, terms, seed, run });
        }
        if identifiers > self.arguments.cap {
            let cap = self.arguments.cap;
            return Err(failure::refused(format!("{name} brings up to {identifiers} identifiers, --cap allows {cap}")));
        }
        let floor = self.arguments.floor;
        if cardinality.is_some() != self.arguments.cardinality || cardinality.is_some_and(|theirs| theirs != floor) {
            return Err(failure::refused("one side asks for a count and the other does not, or with another --floor"));
        }
        let bank = Signer { name, key, certificate: self.conversation.peer_fingerprint() };
        let contract = self.draw_up(bank, identifiers, set, input.identifiers.len() as u64)?;
        let mut envelope = contract.envelope()?;
        envelope.sign(&self.identity.key).map_err(failure::internal)?;
        let text = serde_json::to_string(&envelope).map_err(failure::internal)?;
        self.conversation.say(&FromPlatform::Contract { envelope: text, nonce, finished: 0 })?;
        let FromBank::Signed(text) = self.conversation.hear::<FromBank>()? else { return Err(unforeseen()) };
        let envelope = parse_envelope(&text)?;
        let (signed, digest) = AlignContract::open(&envelope, &[contract.platform.key, contract.bank.key])?;
        if signed != contract {
            return Err(broken("it signed another contract than it was given"));
        }
        let seed = Seed::from_os().map_err(failure::internal)?;
        let run = self.identity.begin(text, &seed, work.map(|_| own_set(input, &seed)).unwrap_or_default());
        work.map(|work| work.save(&run)).transpose()?;
        let terms = contract.terms(digest, Resume { attempt: attempt(&nonce, &bank_nonce), finished: 0 });
        Ok(Agreed { contract, envelope, terms, seed, run })
    }

    fn draw_up(&self, bank: Signer, identifiers: u64, bank_set: Digest, own: u64) -> Result<AlignContract, Failure> {
        let run = *Seed::from_os().map_err(failure::internal)?.expose();
        let cardinality = self.arguments.cardinality;
        let kept = self.arguments.cache.is_some();
        let by_size = if kept { Engine::Voprf } else { Engine::by_size(identifiers) };
        let engine = if cardinality { Engine::Oprf } else { self.arguments.engine.map_or(by_size, Engine::from) };
        let identity = self.identity;
        Ok(AlignContract {
            version: 1,
            run: hex::encode(&run[..16]),
            purpose: if cardinality { "feasibility" } else { "alignment" }.into(),
            platform: Signer {
                name: identity.name.clone(),
                key: identity.key.verify_key(),
                certificate: identity.fingerprint,
            },
            bank,
            engine,
            cardinality,
            floor: if cardinality { self.arguments.floor } else { 0 },
            evaluations: identifiers.max(1),
            rows: if self.arguments.exact { own } else { rung(own) },
            bank_set,
            identifiers: Some(self.arguments.spelling()),
        })
    }

    /// Runs the machine; the tags of all identifiers, in their order, and the announced commitment.
    fn tags(
        &mut self,
        input: &Input,
        cache: Option<Cache>,
        agreed: &mut Agreed,
        work: Option<&Work>,
    ) -> Result<(Vec<[u8; 16]>, Option<Digest>), Failure> {
        let total = input.identifiers.len();
        let mut tags = vec![[0; 16]; total];
        // With 2HashDH the platform's own tags come from its key, which is the same in every attempt.
        let standing = if agreed.terms.engine == Engine::Vole { agreed.run.finished } else { 0 };
        let mut keyed_rows = work.map_or(Ok(0), |work| work.restore(standing, &mut tags))?;
        let (terms, rows) = (&agreed.terms, agreed.contract.rows);
        let started = match cache {
            Some(Cache { key, evaluations, .. }) if terms.engine == Engine::Voprf => {
                Platform::start_kept(terms, &input.identifiers, rows, (key, &evaluations), &agreed.seed)
            }
            _ => Platform::start(terms, input.identifiers.clone(), rows, &agreed.seed),
        };
        let (mut machine, mut step) = started.map_err(of_ours)?;
        let set = step.send.iter().find_map(|message| match message {
            ToBank::Announce(Announcement { set, .. }) => Some(*set),
            _ => None,
        });
        loop {
            let Step { send, keyed, done } = step;
            keyed_rows += keyed.len();
            self.voice.progress(keyed_rows, total);
            keyed.iter().for_each(|Keyed { row, secret }| tags[*row as usize] = secret.tag);
            if let Some(work) = work {
                let unit_done = match terms.engine {
                    Engine::Vole => !keyed.is_empty(),
                    _ => send.iter().any(|message| matches!(message, ToBank::Evaluated { .. })),
                };
                if unit_done {
                    if terms.engine == Engine::Vole {
                        work.save_unit(agreed.run.finished, &keyed)?;
                    }
                    agreed.run.finished += 1;
                    work.save(&agreed.run)?;
                }
            }
            for message in send {
                self.conversation.say(&FromPlatform::Step(message))?;
            }
            if done {
                return Ok((tags, set));
            }
            let FromBank::Step(message) = self.conversation.hear()? else { return Err(unforeseen()) };
            step = machine.receive(message).map_err(broken)?;
        }
    }

    /// All tags in one order, with random ones among them where the exact number is hidden.
    fn send_tags(&mut self, tags: &[[u8; 16]], agreed: &Agreed) -> Result<(), Failure> {
        let mut sorted: Vec<_> = tags.iter().map(|tag| u128::from_be_bytes(*tag)).collect();
        let mut rng = agreed.seed.rng("tallystick/padding", &[agreed.terms.resume.attempt.as_bytes()]);
        while (sorted.len() as u64) < agreed.contract.rows {
            let mut tag = [0; 16];
            rng.fill_bytes(&mut tag);
            sorted.push(u128::from_be_bytes(tag));
        }
        sorted.par_sort_unstable();
        if !sorted.is_sorted_by(|a, b| a < b) {
            return Err(of_ours(Misbehaved::Duplicate));
        }
        for part in sorted.chunks(TAGS_PER_MESSAGE) {
            let bytes = part.iter().flat_map(|tag| tag.to_be_bytes()).collect();
            self.conversation.say(&FromPlatform::Tags(bytes))?;
        }
        Ok(())
    }

    fn count(&mut self, input: &Input, agreed: &Agreed) -> Result<(), Failure> {
        let floor = agreed.contract.floor;
        let machine = CountPlatform::new(&agreed.terms, &input.identifiers, floor, &agreed.seed).map_err(of_ours)?;
        let mut points = Vec::new();
        loop {
            match self.conversation.hear::<FromBank>()? {
                FromBank::Points(part) if part.is_empty() => break,
                FromBank::Points(part) if (points.len() + part.len()) as u64 <= agreed.contract.evaluations => {
                    points.extend(part);
                }
                FromBank::Points(_) => return Err(broken("it brings more identifiers than the contract allows")),
                _ => return Err(unforeseen()),
            }
        }
        let (raised, tags) = machine.answer(&points).map_err(broken)?;
        self.enter(agreed)?;
        for part in raised.chunks(tally_protocol::alignment::CHUNK) {
            self.conversation.say(&FromPlatform::Points(part.to_vec()))?;
        }
        self.send_tags(&tags, agreed)
    }

    /// Enters the count into the node's log before anything is answered; a trial has no log.
    fn enter(&self, agreed: &Agreed) -> Result<(), Failure> {
        let Some(node) = &self.arguments.node else { return Ok(()) };
        let command = Command::AlignCount { bank: agreed.contract.bank.name.clone(), contract: agreed.terms.session };
        control::tell(node, &command).map(drop).map_err(|failure| Failure {
            message: format!("a count is entered in the log before it is told: {failure}"),
            ..failure
        })
    }
}

/// The saved run must be of the same identifiers.
pub(super) fn check_input(run: &SavedRun, set: Digest) -> Result<(), Failure> {
    if set == run.set {
        Ok(())
    } else {
        Err(failure::data("the input has changed since the run began: bring the old one, or remove --work"))
    }
}

/// Salted commitment to the own identifiers.
pub(super) fn own_set(input: &Input, seed: &Seed) -> Digest {
    input.identifiers.commitment("tallystick/own-set/v2", seed)
}

fn of_ours(error: Misbehaved) -> Failure {
    match error {
        Misbehaved::Evaluation { reason: OprfError::Input, .. } => failure::data("an identifier cannot be hashed"),
        other => failure::internal(other),
    }
}
