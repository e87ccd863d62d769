//! Boosting on small made tables, beside XGBoost's recorded output, and on public data where it is at hand.

use std::collections::BTreeMap;

use tally_crypto::transcript::Digest;

use super::*;
use crate::plan::FieldSource;
use crate::release::{Fold, presence};
use crate::request::{SumRequest, Sums};
use crate::rows::{Column, Table, is_holdout};
use crate::tests::{data, read};
use crate::trainer::Ask;

mod oracle;
mod quality;
mod small;

pub(crate) fn plan(fields: Vec<BoostedFieldPlan>) -> BoostedPlan {
    BoostedPlan {
        fields,
        bins: 32,
        search: crate::CutSearch::Nested,
        trees: 60,
        growth: Growth::DepthWise { max_depth: 4 },
        learning_rate: 0.1,
        lambda: 1.0,
        gamma: 0.0,
        min_child_weight: 5.0,
        row_share: 1.0,
        field_share: 1.0,
        early_stopping: None,
        row_cap: 1 << 22,
        min_rows: 5,
        seed: Digest::default(),
        noisy: false,
        judging: crate::Judging::default(),
    }
}

pub(crate) fn field(name: &str, source: FieldSource) -> BoostedFieldPlan {
    BoostedFieldPlan { name: name.into(), source, monotone: Monotone::Free }
}

/// Banks with their holders, and the fewest of them behind a cell.
pub(super) struct Banks {
    holders: BTreeMap<String, Holder>,
    least: u32,
}

impl Banks {
    pub(super) fn new(tables: &BTreeMap<String, Table>, least: u32) -> Self {
        let holder = |(bank, table): (&String, &Table)| (bank.clone(), Holder::new(table.clone()));
        Self { holders: tables.iter().map(holder).collect(), least }
    }

    /// As [`Plain::answer`](crate::Plain::answer), with the fast holders.
    fn answer(&mut self, request: &SumRequest, cohort: &[String]) -> Sums {
        let axes = request.axes();
        let mut values = vec![0; request.words()];
        let mut contributors = Vec::new();
        for bank in cohort {
            let own = self.holders.get_mut(bank).unwrap().contribution(request).unwrap();
            let present = presence(&axes, &own);
            contributors.resize(present.len(), 0);
            contributors.iter_mut().zip(present).for_each(|(count, present)| *count += u32::from(present));
            values.iter_mut().zip(own).for_each(|(sum, value)| *sum += value);
        }
        let fold = Fold::new(&axes, &contributors, self.least);
        fold.apply(&axes, &mut values);
        let seen = if axes.is_empty() { Vec::new() } else { cohort.to_vec() };
        Sums { values, cohort: cohort.to_vec(), seen, fold }
    }
}

/// The fit over tables by bank, where `least` of them stand behind every cell.
pub(crate) fn fit(plan: &BoostedPlan, tables: &BTreeMap<String, Table>, least: u32) -> BoostedFit {
    let mut banks = Banks::new(tables, least);
    let cohort: Vec<_> = tables.keys().cloned().collect();
    let mut booster = Booster::new(plan.clone()).unwrap();
    loop {
        match booster.next() {
            Ask::Done(fit) => return fit,
            Ask::Sum(request) => booster.answer(banks.answer(&request, &cohort)).unwrap(),
        }
    }
}
