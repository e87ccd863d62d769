//! What a bank gives to a sum, and when it gives nothing.

use tally_crypto::transcript::Digest;
use tally_model::{Ask, RowSet};

use super::super::attest::{RoundResult, Statements};
use super::super::guard::few_rows;
use super::super::messages::FromBank;
use super::super::parts::Reached;
use super::super::{DisclosedBank, Fact, Fault, Otherwise, Output, Stage, WithdrawalTerms};
use super::{BankSession, Outputs, Phase};
use crate::aggregation::{Offer, Part, Transcript};

impl BankSession {
    pub(super) fn contribute(&mut self, offer: &Offer) -> Result<Outputs, Fault> {
        let mut outputs = self.admit(offer)?;
        let Phase::Training(training) = &mut self.phase else { return Ok(Vec::new()) };
        let (spec, limits) = (&offer.spec, &self.contract.terms().limits);
        let blame = |reason: &str| Err(Fault::new(&self.platform, format!("round {}: {reason}", spec.round)));
        let values = match training.answering.values(&training.asked, spec.part, &offer.cohort, limits) {
            Ok(Some(values)) => values,
            Ok(None) => return blame("asked banks for cells whose indicators they did not give"),
            Err(error) => return Err(Fault::new(&self.me, error)),
        };
        let values =
            training.noisy(offer, limits.min_cell, &self.seed, values).map_err(|error| Fault::new(&self.me, error))?;
        let message =
            training.contributor.contribute(spec, values).map_err(|error| Fault::new(&self.platform, error))?;
        if let Some(disclosed) = &mut self.disclosed {
            disclosed.gave(training.contributor.disclose(spec));
        }
        let message = FromBank::Aggregation(message);
        let masked = Digest::of_bytes(&message.encode());
        let fact = Fact::Contributed { round: spec.round, request: spec.request, masked };
        training.offered = Some((spec.round, spec.part));
        outputs.extend([Output::Record(fact), Output::Send { to: self.platform.clone(), message }]);
        Ok(outputs)
    }

    /// Whether this bank gives anything to the offered round; rows that may leave before it have left then.
    fn admit(&mut self, offer: &Offer) -> Result<Outputs, Fault> {
        let Phase::Training(training) = &self.phase else { return Ok(Vec::new()) };
        let (spec, terms) = (&offer.spec, self.contract.terms());
        let blame = |reason: String| Err(Fault::new(&self.platform, format!("round {}: {reason}", spec.round)));
        let asked = &training.asked;
        if spec.request != asked.request().digest() || spec.part != asked.part(&offer.cohort) {
            return blame("asked for a sum that the contract's trainer does not ask next".into());
        }
        if training.out {
            return blame("asked this bank again after a sum was released without it".into());
        }
        if spec.round >= terms.limits.rounds {
            return blame(format!("asked for more rounds than the contract's {}", terms.limits.rounds));
        }
        if !asked.stands(spec.part, terms) {
            return Err(few_rows(terms));
        }
        let set = asked.request().rows;
        let outputs = self.close(set)?;
        self.bear()?;
        self.demand_floor(set)?;
        Ok(outputs)
    }

    /// Whether others have their part of the rows that were counted.
    fn weigh(&self, cohort: &[String], rows: u64) -> Result<(), Fault> {
        let Phase::Training(training) = &self.phase else { return Ok(()) };
        let own = training.answering.count(training.asked.request().rows);
        let Some(balance) = self.contract.terms().balance.filter(|_| cohort.contains(&self.me)) else { return Ok(()) };
        if balance.tips(own, rows) {
            let reason = format!(
                "has more than {} of the rows of this sum, which would show its own: propose a session with more rows of other \
                 banks, or with a larger `balance.share`",
                balance.share
            );
            return Err(Fault::new(&self.me, reason));
        }
        Ok(())
    }

    pub(super) fn released(
        &mut self,
        (round, part): (u32, Part),
        cohort: Vec<String>,
        sums: Vec<i64>,
        transcript: Option<Transcript>,
    ) -> Result<Outputs, Fault> {
        let Phase::Training(training) = &mut self.phase else { return Ok(Vec::new()) };
        training
            .check(&self.me, &self.contract, (round, part, &cohort, &sums), transcript)
            .map_err(|reason| Fault::new(&self.platform, format!("round {round}: {reason}")))?;
        let unasked = || Fault::new(&self.platform, format!("released a sum that round {round} did not ask"));
        if round < training.next_round() {
            return Err(unasked());
        }
        let request = training.asked.request();
        let result = RoundResult::new(round, request, &cohort, &sums);
        let mut outputs = vec![Output::Record(result.fact())];
        let evaluated = request.evaluates();
        training.results.push(result);
        let sums = match training.asked.release(part, &cohort, sums, self.contract.terms()).ok_or_else(unasked)? {
            Reached::Rows(rows) => return self.weigh(&cohort, rows).map(|()| outputs),
            Reached::Part => return Ok(outputs),
            Reached::Sums(sums) => sums,
        };
        training.trainer.answer(sums).map_err(|error| Fault::new(&self.platform, format!("round {round}: {error}")))?;
        match training.trainer.next() {
            Ask::Sum(request) => {
                if request.evaluates() && !evaluated {
                    outputs.push(Output::Stage(Stage::Trained));
                }
                training.asked = training.asked.then(request);
                training.answering.next();
            }
            Ask::Done(fit) => {
                outputs.extend(self.close(RowSet::Holdout)?);
                let Phase::Training(training) = &mut self.phase else { return Ok(outputs) };
                let model = fit.digest();
                let rounds = u32::try_from(fit.rounds().len()).unwrap_or(u32::MAX);
                let results = std::mem::take(&mut training.results);
                let statements = Statements::new(&self.contract, results, &self.announced, model);
                let signatures = statements.sign(&self.key);
                outputs.extend([
                    Output::Stage(Stage::Evaluated),
                    Output::Record(Fact::Model { model, rounds }),
                    Output::Table(Box::new(training.answering.table().clone())),
                    Output::Model(Box::new(fit)),
                    Output::Send { to: self.platform.clone(), message: FromBank::Fitted { model, signatures } },
                ]);
                self.phase = Phase::Fitted { model, statements: Box::new(statements) };
            }
        }
        Ok(outputs)
    }

    /// Closes the sets of rows up to this one, training rows first: rows whose consents have ended leave together, and none
    /// leaves later.
    fn close(&mut self, set: RowSet) -> Result<Outputs, Fault> {
        let mut outputs = Vec::new();
        for set in [RowSet::Train, RowSet::Holdout].into_iter().take(set as usize + 1) {
            let Phase::Training(training) = &mut self.phase else { return Ok(outputs) };
            if training.origins.is_closed(set) {
                continue;
            }
            let left = training.origins.close(set, training.answering.table());
            let places = left.map(|(table, places)| {
                training.answering.replace(table);
                places
            });
            // Also where none has left: whether this log grows is seen by others.
            let rows = places.as_ref().map_or(0, |places| places.len() as u64);
            outputs.push(Output::Record(Fact::Withdrawn { bank: self.me.clone(), rows }));
            match set {
                RowSet::Train => self.fit_own()?,
                RowSet::Holdout => {
                    self.disclosed.iter_mut().zip(places).for_each(|(disclosed, rows)| disclosed.left(rows))
                }
            }
        }
        Ok(outputs)
    }

    /// The bank's own model, of the training rows that are left.
    fn fit_own(&mut self) -> Result<(), Fault> {
        let Phase::Training(training) = &mut self.phase else { return Ok(()) };
        let course = self.contract.terms().course(&self.announced.bins);
        let mut table = training.answering.table().clone();
        table.baseline = course.bank_only(&table).map_err(|error| Fault::new(&self.me, error))?;
        let disclosed = || Box::new(DisclosedBank::new(&self.me, self.contract.digest(), table.clone()));
        self.disclosed = self.recording.then(disclosed);
        training.answering.replace(table);
        Ok(())
    }

    /// Whether the session may go on although consents have ended.
    fn bear(&self) -> Result<(), Fault> {
        let Phase::Training(training) = &self.phase else { return Ok(()) };
        let terms = self.contract.terms().withdrawal;
        let terms = terms.unwrap_or(WithdrawalTerms { share: 1.0, otherwise: Otherwise::GoOn });
        let (opened, left, late) = training.origins.counts();
        if late > 0 && terms.otherwise == Otherwise::Stop {
            let reason = "consents have ended after their rows were counted, and the contract says `stop`: propose a new session";
            return Err(Fault::new(&self.me, reason));
        }
        if !terms.bears(left + late, opened) {
            let reason = "more consents have ended than `withdrawal.share` of its rows: propose a new session";
            return Err(Fault::new(&self.me, reason));
        }
        Ok(())
    }

    /// Whether this bank has rows enough to take part at all; looked at once a set, when the first sum over it is asked.
    fn demand_floor(&mut self, set: RowSet) -> Result<(), Fault> {
        let Phase::Training(training) = &mut self.phase else { return Ok(()) };
        let first = !std::mem::replace(&mut training.floor_passed[set as usize], true);
        let balance = self.contract.terms().balance.filter(|_| first);
        let rows = training.answering.count(set);
        if balance.is_some_and(|balance| rows < balance.floor_of(set, &self.seed)) {
            let reason = "has opened too few rows to hide others or itself in a sum: propose a session over more of them, or \
                          with a smaller `balance.floor`";
            return Err(Fault::new(&self.me, reason));
        }
        Ok(())
    }
}
