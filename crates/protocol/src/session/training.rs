//! What a bank has while it trains: its rows, its trainer, and what it may add to a sum.

use tally_crypto::seed::Seed;
use tally_crypto::transcript::Digest;
use tally_model::boosted::Holder as RowHolder;
use tally_model::release::{pack, presence};
use tally_model::{ContributionError, Learner, RowSet, Table};

use super::attest::RoundResult;
use super::parts::Asked;
use super::withdrawal::Origins;
use super::{Limits, Recompute, SealedContract};
use crate::aggregation::{Contributor, Noise, NoiseError, Offer, Part, Transcript};

/// A bank that trains.
pub(super) struct Training {
    pub(super) answering: Answering,
    pub(super) origins: Origins,
    pub(super) trainer: Learner,
    pub(super) contributor: Contributor,
    pub(super) asked: Asked,
    pub(super) noise: Option<Noise>,
    /// Rounds in which a sum was released.
    pub(super) results: Vec<RoundResult>,
    /// A sum was released without this bank: it takes part no more.
    pub(super) out: bool,
    /// The round that this bank last gave a vector to, and the part that it was of.
    pub(super) offered: Option<(u32, Part)>,
    /// This bank has rows enough to take part, in each set.
    pub(super) floor_passed: [bool; 2],
}

/// Parts that decide over what follows: they carry no noise, and every bank recomputes them.
pub(super) fn told_plainly(part: Part) -> bool {
    matches!(part, Part::Rows | Part::Presence | Part::Sizes | Part::Joins)
}

impl Training {
    /// Number of the next round.
    pub(super) fn next_round(&self) -> u32 {
        self.results.last().map_or(0, |last| last.round + 1)
    }

    /// Checks a released sum against what the banks sent, where the contract has this bank do so.
    pub(super) fn check(
        &mut self,
        me: &String,
        contract: &SealedContract,
        (round, part, cohort, sums): (u32, Part, &Vec<String>, &[i64]),
        transcript: Option<Transcript>,
    ) -> Result<(), String> {
        if !cohort.contains(me) {
            self.out = true;
            return Ok(());
        }
        if self.contributor.answered() != Some((round, cohort)) {
            return Err("released a sum over banks that this bank did not agree to".into());
        }
        if self.offered != Some((round, part)) {
            return Err("released another part of the sum than was asked".into());
        }
        if contract.terms().limits.recompute != Recompute::EverySum && !told_plainly(part) {
            return Ok(());
        }
        let transcript = transcript.ok_or("released a sum without what it is recomputed from")?;
        let recomputed = self.contributor.recompute(transcript).map_err(|error| error.to_string())?;
        if recomputed == sums { Ok(()) } else { Err("released another sum than the banks' vectors give".into()) }
    }

    /// The values with this bank's part of the noise, where the contract asks for it; who has rows at all, and how many rows all
    /// have together, is told without.
    pub(super) fn noisy(
        &mut self,
        offer: &Offer,
        least: u32,
        seed: &Seed,
        mut values: Vec<i64>,
    ) -> Result<Vec<i64>, NoiseError> {
        let Some(noise) = self.noise.as_mut().filter(|_| !told_plainly(offer.spec.part)) else { return Ok(values) };
        noise.spend()?;
        let roster = self.contributor.roster();
        let shown = self.asked.fold(&offer.cohort, least).map(|fold| self.asked.shown(&fold)).unwrap_or_default();
        let sensitivity = self.asked.request().sensitivity();
        let shown = |word: usize| shown.get(word).copied().unwrap_or(true);
        let label = Digest::of(
            "tallystick/noise-of-round/v1",
            &[&offer.spec.round.to_be_bytes(), offer.spec.request.as_bytes()],
        );
        noise.add(roster, sensitivity, seed, &label, &mut values, shown)?;
        Ok(values)
    }
}

/// A bank's rows, and what they add to the sum that is asked.
pub(super) struct Answering {
    rows: RowHolder,
    /// What they add, once it was computed: all parts of a sum are over the same rows.
    own: Option<Vec<i64>>,
}

impl Answering {
    pub(super) fn new(table: Table) -> Self {
        Self { rows: RowHolder::new(table), own: None }
    }

    pub(super) fn table(&self) -> &Table {
        self.rows.table()
    }

    /// Fewer rows, from the next sum on.
    pub(super) fn replace(&mut self, table: Table) {
        self.rows = RowHolder::new(table);
    }

    /// How many rows are in a set.
    pub(super) fn count(&self, set: RowSet) -> u64 {
        self.table().holdout.iter().filter(|held| **held == (set == RowSet::Holdout)).count() as u64
    }

    /// Another sum is asked.
    pub(super) fn next(&mut self) {
        self.own = None;
    }

    /// What the rows add in a round that is asked of `cohort`; `None` if that holds banks that gave no indicators.
    pub(super) fn values(
        &mut self,
        asked: &Asked,
        part: Part,
        cohort: &[String],
        limits: &Limits,
    ) -> Result<Option<Vec<i64>>, ContributionError> {
        if part == Part::Rows {
            let rows = self.count(asked.request().rows);
            return Ok(Some(vec![i64::try_from(rows).unwrap_or(i64::MAX), i64::from(rows >= limits.min_rows)]));
        }
        let own = match self.own.take() {
            Some(own) => own,
            None => self.rows.contribution(asked.request())?,
        };
        let axes = asked.axes();
        let values = match part {
            Part::Presence => Some(pack(&presence(axes, &own))),
            Part::Sizes | Part::Joins => {
                let fold = asked.fold(cohort, limits.min_cell);
                fold.and_then(|fold| asked.weights(part, &fold, &own, cohort))
            }
            Part::Rows | Part::Whole | Part::Firm | Part::Cells => asked.fold(cohort, limits.min_cell).map(|fold| {
                let mut values = own.clone();
                fold.apply(axes, &mut values);
                values
            }),
        };
        self.own = Some(own);
        Ok(values)
    }
}
