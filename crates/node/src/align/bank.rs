//! The bank's side: learns which of its own identifiers the platform offers.

use rayon::prelude::*;
use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;
use tally_protocol::alignment::cardinality::{Count, CountBank};
use tally_protocol::alignment::{Announcement, Bank, CHUNK, Engine, Keyed, Misbehaved, Resume, Step, ToBank, rung};

use super::AlignArguments;
use super::contract::{Agreed, AlignContract};
use super::identity::Identity;
use super::input::Input;
use super::output::{Outcome, Voice, write_tags};
use super::platform::{check_input, own_set};
use super::wire::{Conversation, FromBank, FromPlatform, VERSION, attempt, broken, parse_envelope, unforeseen};
use super::work::Work;
use crate::cli::Printed;
use crate::failure::{self, Failure};

/// Runs the bank's side.
pub(super) fn run(
    arguments: &AlignArguments,
    identity: &Identity,
    input: Input,
    work: Option<Work>,
    voice: &Voice,
) -> Result<Printed, Failure> {
    let mut conversation = Conversation::open(arguments, identity, voice)?;
    let mut side = Side { arguments, identity, voice, conversation: &mut conversation };
    let outcome = side.align(&input, work);
    if let Err(failure) = &outcome {
        conversation.stop::<FromBank>(failure);
    }
    outcome
}

struct Side<'a> {
    arguments: &'a AlignArguments,
    identity: &'a Identity,
    voice: &'a Voice,
    conversation: &'a mut Conversation,
}

impl Side<'_> {
    fn align(&mut self, input: &Input, work: Option<Work>) -> Result<Printed, Failure> {
        let mut agreed = self.agree(input, work.as_ref())?;
        self.voice.say(&agreed.contract.in_words());
        let mut platform_set = None;
        let shared = if agreed.contract.cardinality {
            match self.count(input, &agreed)? {
                Count::Exact(count) => Some(count),
                Count::Below(_) => None,
            }
        } else {
            let (tags, announced) = self.tags(input, &mut agreed, work.as_ref())?;
            platform_set = Some(announced.set);
            if announced.rows != agreed.contract.rows {
                return Err(broken("it announced another number of rows than the contract has"));
            }
            let shared = self.hear_tags(&tags, announced.rows)?;
            if let Some(output) = &self.arguments.output {
                write_tags(output, &self.arguments.key, &input.identifiers, &tags, Some(&shared))?;
            }
            Some(shared.iter().filter(|shared| **shared).count() as u64)
        };
        let seen = self.conversation.seen(true);
        self.conversation.say(&FromBank::Seen(seen))?;
        match self.conversation.hear::<FromPlatform>()? {
            FromPlatform::Seen(theirs) if theirs == seen => {}
            _ => return Err(unforeseen()),
        }
        self.conversation.finish()?;
        work.map(Work::remove).transpose()?;
        let Agreed { contract, envelope, .. } = &agreed;
        let (bytes, report, shared) = (self.conversation.bytes(), &input.report, Some(shared));
        let outcome = Outcome { contract, envelope, platform_set, seen, report, bytes, shared };
        let output = self.arguments.output.as_deref().filter(|_| !contract.cardinality);
        outcome.finish(output, &self.identity.key, self.voice)
    }

    /// Greets the platform, checks its contract and signs it; or goes on with the one that stands.
    fn agree(&mut self, input: &Input, work: Option<&Work>) -> Result<Agreed, Failure> {
        let nonce = *Seed::from_os().map_err(failure::internal)?.expose();
        let saved = work.map(Work::resume).transpose()?.flatten();
        let seed = match &saved {
            Some(run) => Seed::new(run.seed),
            None => Seed::from_os().map_err(failure::internal)?,
        };
        let standing =
            saved.as_ref().map(|run| AlignContract::open(&parse_envelope(&run.envelope)?, &[])).transpose()?;
        let set = own_set(input, &seed);
        let identifiers = rung(input.identifiers.len() as u64).max(1);
        self.conversation.say(&FromBank::Hello {
            version: VERSION,
            name: self.identity.name.clone(),
            key: self.identity.key.verify_key(),
            identifiers,
            set,
            spelling: self.arguments.spelling(),
            cardinality: self.arguments.cardinality.then_some(self.arguments.floor),
            nonce,
            resume: standing.as_ref().zip(saved.as_ref()).map(|((_, digest), run)| (*digest, run.finished)),
        })?;
        let FromPlatform::Contract { envelope: text, nonce: platform_nonce, finished } = self.conversation.hear()?
        else {
            return Err(unforeseen());
        };
        let mut envelope = parse_envelope(&text)?;
        let attempt = attempt(&platform_nonce, &nonce);
        if let (Some((contract, digest)), Some(mut run)) = (standing, saved) {
            check_input(&run, set)?;
            let (_, theirs) = AlignContract::open(&envelope, &[contract.platform.key])?;
            if theirs != digest || finished > run.finished {
                return Err(failure::refused("the other side goes on with another run: remove --work on both sides"));
            }
            run.finished = finished;
            self.voice.say(&format!("attempt {}: {finished} parts stand", run.attempts));
            let terms = contract.terms(digest, Resume { attempt, finished });
            return Ok(Agreed { contract, envelope, terms, seed, run });
        }
        let (contract, digest) = AlignContract::open(&envelope, &[])?;
        self.check(&contract, identifiers, set, finished)?;
        AlignContract::open(&envelope, &[contract.platform.key])?;
        envelope.sign(&self.identity.key).map_err(failure::internal)?;
        let text = serde_json::to_string(&envelope).map_err(failure::internal)?;
        let run = self.identity.begin(text.clone(), &seed, set);
        // Before the platform can have it, so that both or neither know of the run.
        work.map(|work| work.save(&run)).transpose()?;
        self.conversation.say(&FromBank::Signed(text))?;
        let terms = contract.terms(digest, Resume { attempt, finished: 0 });
        Ok(Agreed { contract, envelope, terms, seed, run })
    }

    /// What this side does not accept it does not sign.
    fn check(&self, contract: &AlignContract, identifiers: u64, set: Digest, finished: u32) -> Result<(), Failure> {
        self.identity.check_peer(&contract.platform.name, &contract.platform.key)?;
        let own = &contract.bank;
        let refuse = |what: &str| Err(failure::refused(format!("the contract is refused: {what}")));
        if let Some(theirs) = contract.identifiers {
            self.arguments.spelling().check(&self.identity.name, theirs, &contract.platform.name)?;
        } else {
            return refuse("it does not say what identifiers are");
        }
        if contract.version != 1 || finished != 0 {
            return refuse("it is not of version 1, or goes on with a run that this side does not know");
        }
        if own.name != self.identity.name || own.key != self.identity.key.verify_key() || contract.bank_set != set {
            return refuse("it names another bank, key or set than this side's");
        }
        if own.certificate != self.identity.fingerprint
            || contract.platform.certificate != self.conversation.peer_fingerprint()
        {
            return refuse("it names other certificates than those of this connection: somebody stands between");
        }
        if contract.evaluations < identifiers {
            return refuse("it allows fewer identifiers than this side brings");
        }
        if contract.cardinality != self.arguments.cardinality {
            return refuse("one side asks for a count and the other does not");
        }
        if let Err(withdrawn) = contract.engine.check() {
            return refuse(&withdrawn.to_string());
        }
        match self.arguments.engine {
            Some(engine) if Engine::from(engine) != contract.engine && !contract.cardinality => {
                refuse(&format!("its engine is {}, this side asks for {}", contract.engine, Engine::from(engine)))
            }
            _ => Ok(()),
        }
    }

    /// Runs the machine; the tags of all identifiers, in their order, and the platform's announcement.
    fn tags(
        &mut self,
        input: &Input,
        agreed: &mut Agreed,
        work: Option<&Work>,
    ) -> Result<(Vec<[u8; 16]>, Announcement), Failure> {
        let total = input.identifiers.len();
        let mut tags = vec![[0; 16]; total];
        let mut keyed_rows = work.map_or(Ok(0), |work| work.restore(agreed.run.finished, &mut tags))?;
        let mut machine =
            Bank::new(&agreed.terms, input.identifiers.clone(), &agreed.seed).map_err(failure::refused)?;
        let mut announcement = None;
        loop {
            let FromPlatform::Step(message) = self.conversation.hear()? else { return Err(unforeseen()) };
            if let ToBank::Announce(announced) = &message {
                announcement = Some(announced.clone());
            }
            let Step { send, keyed, done } = machine.receive(message).map_err(of_either)?;
            for message in send {
                self.conversation.say(&FromBank::Step(message))?;
            }
            keyed_rows += keyed.len();
            self.voice.progress(keyed_rows, total);
            keyed.iter().for_each(|Keyed { row, secret }| tags[*row as usize] = secret.tag);
            if let Some(work) = work.filter(|_| !keyed.is_empty()) {
                work.save_unit(agreed.run.finished, &keyed)?;
                agreed.run.finished += 1;
                work.save(&agreed.run)?;
            }
            if done {
                return Ok((tags, announcement.ok_or_else(unforeseen)?));
            }
        }
    }

    /// Hears the platform's tags in their order and marks the own ones among them. They are merged as they come, so that
    /// the other side's set is never in memory; nothing that is sent depends on what matches.
    fn hear_tags(&mut self, tags: &[[u8; 16]], announced: u64) -> Result<Vec<bool>, Failure> {
        let prefix = |tag: &[u8; 16]| u64::from_be_bytes(tag.first_chunk().copied().unwrap_or_default());
        let mut own: Vec<(u64, u32)> =
            tags.par_iter().enumerate().map(|(row, tag)| (prefix(tag), row as u32)).collect();
        own.par_sort_unstable();
        let mut shared = vec![false; tags.len()];
        let (mut at, mut heard, mut last) = (0, 0u64, None);
        while heard < announced {
            let FromPlatform::Tags(part) = self.conversation.hear()? else { return Err(unforeseen()) };
            let (part, rest) = part.as_chunks::<16>();
            if part.is_empty() || !rest.is_empty() || heard + part.len() as u64 > announced {
                return Err(broken("its tags are not as many as it announced"));
            }
            for tag in part {
                if last.is_some_and(|last| last >= *tag) {
                    return Err(broken(Misbehaved::RowOrder(heard as usize)));
                }
                last = Some(*tag);
                heard += 1;
                at += own[at..].iter().take_while(|(own, _)| *own < prefix(tag)).count();
                let alike = own[at..].iter().take_while(|(own, _)| *own == prefix(tag));
                if let Some((_, row)) = alike.into_iter().find(|(_, row)| tags[*row as usize] == *tag) {
                    shared[*row as usize] = true;
                }
            }
        }
        Ok(shared)
    }

    fn count(&mut self, input: &Input, agreed: &Agreed) -> Result<Count, Failure> {
        let floor = agreed.contract.floor;
        let (machine, points) =
            CountBank::new(&agreed.terms, &input.identifiers, floor, &agreed.seed).map_err(failure::refused)?;
        for part in points.chunks(CHUNK) {
            self.conversation.say(&FromBank::Points(part.to_vec()))?;
        }
        self.conversation.say(&FromBank::Points(Vec::new()))?;
        let (mut raised, mut tags) = (Vec::new(), Vec::new());
        while raised.len() < points.len() || (tags.len() as u64) < agreed.contract.rows {
            match self.conversation.hear::<FromPlatform>()? {
                FromPlatform::Points(part) if !part.is_empty() => raised.extend(part),
                FromPlatform::Tags(part) if !part.is_empty() && part.len() % 16 == 0 => {
                    tags.extend_from_slice(part.as_chunks::<16>().0);
                }
                _ => return Err(unforeseen()),
            }
        }
        machine.count(&raised, &tags, agreed.contract.rows).map_err(broken)
    }
}

/// A set that cannot be encoded is this side's, anything else the platform's.
fn of_either(error: Misbehaved) -> Failure {
    match error {
        Misbehaved::Encoding(_) | Misbehaved::Duplicate => failure::internal(error),
        other => broken(other),
    }
}
