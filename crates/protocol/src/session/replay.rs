//! A session again, from the transcripts of its rounds: what an auditor does, by the code that released the sums.
//!
//! Each sum is recomputed from what the banks signed, and answers the trainer of the contract, which must have asked for it;
//! so the model follows bit for bit, whichever algorithm the contract names, and with it the two statements that the parties
//! signed. No bank's vector is opened, unless the bank has disclosed its inputs; then it is made again from them.
//!
//! What this does not show: that the rows behind a vector are true, whom the platform kept out of a cohort, and how many bins its
//! fields really have; the last is what all parties were told, and is signed with the model.

use tally_crypto::sign::{Envelope, Predicate as _, STATEMENT_TYPE, Statement, predicate_type};
use tally_crypto::transcript::Digest;
use tally_model::{Ask, Fitted, Learner};

use super::attest::{Announced, ModelRelease, RoundResult, RoundResults, Statements, sums_digest};
use super::disclosed::{Disclosed, DisclosedBank};
use super::parts::{Asked, Reached};
use super::{Contract, Party, SealedContract};
use crate::aggregation::{Roster, Transcript};

/// A session on its way again.
pub struct Replay {
    contract: SealedContract,
    roster: Roster,
    rounds: Vec<RoundResult>,
    course: Option<Course>,
    disclosed: Vec<Disclosed>,
}

/// The trainer, where it is known how many bins the platform's fields have.
struct Course {
    announced: Announced,
    trainer: Learner,
    asked: Option<Asked>,
}

/// A round as its transcript shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Number of the round.
    pub round: u32,
    /// Digest of the sum request.
    pub request: Digest,
    /// Banks in the sum.
    pub cohort: Vec<String>,
    /// Digest of the sum, as logs carry it.
    pub sums: Digest,
    /// Length of the sum.
    pub words: usize,
    /// The banks that disclosed their inputs, and what differs in their vectors.
    pub compared: Vec<(String, Result<(), String>)>,
}

/// A model that follows from the sums.
#[derive(Clone, Debug)]
pub struct Derived {
    /// The fit.
    pub fit: Fitted,
    /// The parties who have signed both statements, in order of name.
    pub signers: Vec<String>,
}

impl Replay {
    /// A session that begins again; `statements` are what its parties signed at its end, nothing if it had none.
    ///
    /// # Errors
    /// Says what is wrong with the contract or with the statement of the model.
    pub fn new(contract: SealedContract, statements: &[Envelope]) -> Result<Self, String> {
        let roster = contract.roster().map_err(|fault| fault.to_string())?;
        let course =
            find(statements, ModelRelease::TYPE).map(|envelope| Course::new(&contract, envelope)).transpose()?;
        Ok(Self { contract, roster, rounds: Vec::new(), course, disclosed: Vec::new() })
    }

    /// Has the vectors of a bank made again from what it disclosed.
    ///
    /// # Errors
    /// Says why they cannot be: another session, noise, or no statement that tells what was asked.
    pub fn disclose(&mut self, given: DisclosedBank) -> Result<(), String> {
        if self.course.is_none() {
            return Err("without the statement of the model it is not known what was asked".into());
        }
        self.disclosed.push(Disclosed::new(given, &self.contract)?);
        Ok(())
    }

    /// Takes in the next round's transcript: checks every signature and commitment in it against the contract, recomputes the
    /// sum, and demands that the contract's trainer asks for it.
    ///
    /// # Errors
    /// Names the part that does not hold.
    pub fn take(&mut self, transcript: &[u8]) -> Result<Replayed, String> {
        let transcript = Transcript::decode(transcript).map_err(|error| error.to_string())?;
        let sums = transcript.recompute(&self.roster).map_err(|error| error.to_string())?;
        let (spec, cohort) = (&transcript.offer.spec, transcript.survivors());
        if self.rounds.last().is_some_and(|last| last.round >= spec.round) {
            return Err(format!("round {} does not follow the one before", spec.round));
        }
        let offered = &transcript.offer.cohort;
        if self.rounds.last().is_some_and(|last| offered.iter().any(|bank| !last.cohort.contains(bank))) {
            return Err(format!("round {} is asked of a bank that was not in the sum before", spec.round));
        }
        let (words, digest) = (sums.len(), sums_digest(&sums));
        let mut compared = Vec::new();
        if let Some(course) = &mut self.course {
            let out_of_turn = |error| format!("round {}: {error}", spec.round);
            let asked = course.asks(&transcript, self.contract.terms()).map_err(out_of_turn)?;
            for bank in self.disclosed.iter_mut().filter(|bank| cohort.iter().any(|name| name == bank.bank())) {
                let same = bank.compare(&transcript, asked, &self.contract, &self.roster);
                compared.push((bank.bank().to_owned(), same));
            }
            if course.go_on(&transcript, sums, &self.contract).map_err(out_of_turn)? {
                self.disclosed.iter_mut().for_each(Disclosed::next);
            }
        }
        let (round, request) = (spec.round, spec.request);
        self.rounds.push(RoundResult { round, request, sums: digest, cohort: cohort.clone() });
        Ok(Replayed { round, request, cohort, sums: digest, words, compared })
    }

    /// The model, once every transcript was taken in: both statements must say what was replayed, and be signed by the
    /// platform and by enough banks.
    ///
    /// # Errors
    /// Says what is missing or differs.
    pub fn conclude(self, statements: &[Envelope]) -> Result<Derived, String> {
        let course =
            self.course.ok_or("no statement of a model is there: sums were recomputed, no model was derived")?;
        let Ask::Done(fit) = course.trainer.next() else {
            return Err("the trainer asks for more sums: transcripts are missing".into());
        };
        let expected = Statements::new(&self.contract, self.rounds, &course.announced, fit.digest());
        let mut signers = Vec::new();
        for (wanted, kind, what) in [
            (expected.results(), RoundResults::TYPE, "other sums than were replayed"),
            (expected.model(), ModelRelease::TYPE, "another model than follows from the sums"),
        ] {
            let signed = find(statements, kind).ok_or("the statement of the sums is missing")?;
            if signed.payload_digest() != wanted.payload_digest() {
                return Err(format!("the parties signed {what}"));
            }
            signers.push(signers_of(&self.contract, signed));
        }
        let [sums, model] = [&signers[0], &signers[1]];
        let both: Vec<_> = sums.iter().filter(|name| model.contains(name)).cloned().collect();
        enough(&self.contract, &both)?;
        Ok(Derived { fit, signers: both })
    }
}

impl Course {
    fn new(contract: &SealedContract, envelope: &Envelope) -> Result<Self, String> {
        let payload = envelope.unverified_payload().map_err(|error| error.to_string())?;
        let release = Statement::<ModelRelease>::read(&payload)?.predicate;
        let terms = contract.terms();
        if release.session != terms.session || release.contract != contract.digest() {
            return Err("the statement of the model is of another session".into());
        }
        let announced = Announced { bins: release.bins, tables: release.tables };
        announced.check(terms)?;
        let trainer = terms.course(&announced.bins).learner().map_err(|error| error.to_string())?;
        let Ask::Sum(request) = trainer.next() else { return Err("the trainer asks for nothing".into()) };
        let asked = Some(Asked::first(request, terms));
        Ok(Self { announced, trainer, asked })
    }

    /// The sum that is asked, if the transcript is of it.
    fn asks(&self, transcript: &Transcript, terms: &Contract) -> Result<&Asked, String> {
        let (spec, asked) = (&transcript.offer.spec, self.asked.as_ref().ok_or("follows the model")?);
        let same = spec.request == asked.request().digest() && spec.part == asked.part(&transcript.offer.cohort);
        if !asked.stands(spec.part, terms) {
            return Err("is a sum without cells over too few banks with rows enough".into());
        }
        if same { Ok(asked) } else { Err("is a sum that the contract's trainer does not ask next".into()) }
    }

    /// Takes in the sum; true if another one is asked now.
    fn go_on(&mut self, transcript: &Transcript, sums: Vec<i64>, contract: &SealedContract) -> Result<bool, String> {
        let asked = self.asked.as_mut().ok_or("follows the model")?;
        let reached = asked.release(transcript.offer.spec.part, &transcript.survivors(), sums, contract.terms());
        let Reached::Sums(sums) = reached.ok_or("the sum cannot be what was asked")? else { return Ok(false) };
        self.trainer.answer(sums).map_err(|error| error.to_string())?;
        self.asked = match self.trainer.next() {
            Ask::Sum(request) => Some(asked.then(request)),
            Ask::Done(_) => None,
        };
        Ok(true)
    }
}

fn find<'a>(statements: &'a [Envelope], kind: &str) -> Option<&'a Envelope> {
    statements.iter().find(|envelope| {
        envelope.unverified_payload().is_ok_and(|payload| predicate_type(&payload).as_deref() == Some(kind))
    })
}

/// The parties whose signatures hold.
fn signers_of(contract: &SealedContract, envelope: &Envelope) -> Vec<String> {
    let parties = contract.terms().parties.iter();
    let signed = parties.filter(|party| envelope.open(STATEMENT_TYPE, &[party.node_key]).is_ok());
    signed.map(|party| party.name.clone()).collect()
}

fn enough(contract: &SealedContract, signers: &[String]) -> Result<(), String> {
    let terms = contract.terms();
    let missing = |party: &&Party| !signers.contains(&party.name);
    let absent: Vec<_> = terms.parties.iter().filter(missing).map(|party| party.name.as_str()).collect();
    let banks = terms.banks().count() - terms.banks().filter(missing).count();
    let platform = terms.platform().is_some_and(|platform| signers.contains(&platform.name));
    let enough = platform && banks >= terms.limits.min_cohort as usize;
    if enough { Ok(()) } else { Err(format!("the statements are not signed by {}", absent.join(", "))) }
}
