//! `tallystick bench training`: boosted trees on the rows of one node, from bins to the last tree, every sum asked and answered as
//! in a session, without a network.
//!
//! The floor is what no trainer of histograms can leave out: for every level of every tree, each row of the smaller children
//! adds its gradient to one cell a field.

use std::time::Instant;

use clap::Args;
use rayon::prelude::*;
use serde_json::json;
use tally_crypto::transcript::Digest;
use tally_model::boosted::{BoostedFieldPlan, BoostedFit, BoostedPlan, Booster, Growth, Holder, Monotone, Shape};
use tally_model::release::Fold;
use tally_model::{Ask, Column, FieldSource, Kind, Sums, Table};

use crate::cli::Printed;
use crate::failure::{self, Failure};
use crate::process::peak_rss_mib;

/// Arguments of `tallystick bench training`.
#[derive(Args)]
pub(crate) struct TrainingArguments {
    /// Rows.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1000..=100_000_000))]
    rows: u32,
    /// Numeric fields.
    #[arg(long, value_name = "F", value_parser = clap::value_parser!(u32).range(1..=400))]
    fields: u32,
    /// Bins of a field.
    #[arg(long, default_value_t = 32, value_name = "B", value_parser = clap::value_parser!(u16).range(2..=254))]
    bins: u16,
    /// Trees.
    #[arg(long, default_value_t = 60, value_name = "T", value_parser = clap::value_parser!(u32).range(1..=2000))]
    trees: u32,
    /// Splits between root and leaf.
    #[arg(long, default_value_t = 4, value_name = "D", value_parser = clap::value_parser!(u32).range(1..=12))]
    depth: u32,
}

impl TrainingArguments {
    /// Makes rows, bins them and grows the trees.
    pub(super) fn run(&self) -> Result<Printed, Failure> {
        let mut holder = Holder::new(self.table());
        let mut booster = Booster::new(self.plan()).map_err(failure::usage)?;
        let (mut binning_s, mut seconds) = (0.0, 0.0);
        let fit = loop {
            let before = Instant::now();
            let request = match booster.next() {
                Ask::Done(fit) => break fit,
                Ask::Sum(request) => request,
            };
            // The first request with codes makes them from the numbers: a part of binning, as in other trainers.
            let binning = matches!(request.kind, Kind::Ranges(_) | Kind::Spans(_) | Kind::Loss(_));
            let values = holder.contribution(&request).map_err(failure::internal)?;
            let sums = Sums { values, cohort: Vec::new(), seen: Vec::new(), fold: Fold::none(&request.axes()) };
            booster.answer(sums).map_err(failure::internal)?;
            *if binning { &mut binning_s } else { &mut seconds } += before.elapsed().as_secs_f64();
        };
        let floor_s = self.floor(&fit);
        let auc = fit.joint.map(|figures| figures.auc);
        let value = json!({
            "rows": self.rows,
            "fields": self.fields,
            "bins": self.bins,
            "trees": fit.forest.trees().len(),
            "depth": self.depth,
            "threads": rayon::current_num_threads(),
            "seconds": seconds,
            "binning_s": binning_s,
            "floor_s": floor_s,
            "peak_rss_mib": peak_rss_mib(),
            "auc": auc,
        });
        let text = format!(
            "{} rows, {} fields, {} bins: {} trees of depth {} in {seconds:.2} s (additions alone {floor_s:.2}), binning \
             {binning_s:.2} s, hold-out AUC {:.4}",
            self.rows,
            self.fields,
            self.bins,
            fit.forest.trees().len(),
            self.depth,
            auc.unwrap_or_default()
        );
        Ok(Printed { value, text, holds: true })
    }

    /// Numbers with three decimals, of which every fifth moves the risk; the same rows as benches/training.py makes.
    fn table(&self) -> Table {
        let rows = self.rows as usize;
        let columns: Vec<Vec<f64>> = (0..self.fields as usize)
            .into_par_iter()
            .map(|field| (0..rows).map(|row| (draw(row, field + 1) * 1000.0).floor() / 1000.0).collect())
            .collect();
        let risk = |row: usize| columns.iter().step_by(5).map(|column| 2.0 * column[row] - 1.0).sum::<f64>() - 1.0;
        Table {
            label: (0..rows).map(|row| u8::from(draw(row, 0) < 1.0 / (1.0 + (-risk(row)).exp()))).collect(),
            holdout: (0..rows).map(|row| row % 10 == 9).collect(),
            baseline: vec![0.0; rows],
            columns: columns.into_iter().map(Column::Values).collect(),
            ..Table::default()
        }
    }

    fn plan(&self) -> BoostedPlan {
        let field = |number: u32| BoostedFieldPlan {
            name: format!("f{number}"),
            source: FieldSource::Values,
            monotone: Monotone::Free,
        };
        BoostedPlan {
            fields: (0..self.fields).map(field).collect(),
            bins: self.bins,
            search: tally_model::CutSearch::Nested,
            trees: self.trees,
            growth: Growth::DepthWise { max_depth: self.depth },
            learning_rate: 0.1,
            lambda: 1.0,
            gamma: 0.0,
            min_child_weight: 5.0,
            row_share: 1.0,
            field_share: 1.0,
            early_stopping: None,
            row_cap: u64::from(self.rows),
            min_rows: 1,
            seed: Digest::default(),
            noisy: false,
            judging: tally_model::Judging::default(),
        }
    }

    /// Seconds of the additions: two 64-bit ones a row and field, for every row of a root or a smaller child.
    fn floor(&self, fit: &BoostedFit) -> f64 {
        let mut additions: i64 = 0;
        for tree in fit.forest.trees() {
            let rows = |node: u32| tree.nodes[node as usize].rows;
            additions += rows(0);
            // Children at the full depth are known from their parent's split and not asked.
            let mut depth = vec![0; tree.nodes.len()];
            for (at, node) in tree.nodes.iter().enumerate() {
                let Shape::Split(split) = node.shape else { continue };
                depth[split.left as usize] = depth[at] + 1;
                depth[split.right as usize] = depth[at] + 1;
                if depth[at] + 1 < self.depth {
                    additions += rows(split.left).min(rows(split.right));
                }
            }
        }
        let (seconds, sample) = self.add_sample();
        seconds * additions as f64 / sample as f64
    }

    /// Seconds for one pass over a sample of rows on all threads, and the rows in it.
    fn add_sample(&self) -> (f64, usize) {
        const BLOCK: usize = 1 << 12;
        let fields = self.fields as usize;
        let rows = (self.rows as usize).min(1 << 18) / BLOCK * BLOCK;
        let rows = rows.max(BLOCK);
        let bins = usize::from(self.bins) + 2;
        let codes: Vec<u8> = (0..rows * fields).map(|at| (draw(at, 1) * bins as f64) as u8).collect();
        let before = Instant::now();
        let sums: Vec<i64> = codes
            .par_chunks(BLOCK * fields)
            .map(|block| {
                let mut cells = vec![[0i64; 2]; fields * bins];
                for (row, codes) in block.chunks_exact(fields).enumerate() {
                    let (g, h) = (row as i64, 1);
                    for (cells, code) in cells.chunks_exact_mut(bins).zip(codes) {
                        let cell = &mut cells[usize::from(*code)];
                        *cell = [cell[0].wrapping_add(g), cell[1].wrapping_add(h)];
                    }
                }
                cells.iter().flatten().fold(0, |sum, word| sum ^ word)
            })
            .collect();
        let seconds = before.elapsed().as_secs_f64();
        std::hint::black_box(sums);
        (seconds, rows)
    }
}

/// A number in `[0, 1)`: the upper half of SplitMix64 (Steele, Lea, Flood, 2014) at a place of a stream.
fn draw(place: usize, stream: usize) -> f64 {
    let mut z = ((place as u64) << 16 | stream as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ z >> 31) >> 11) as f64 / (1u64 << 53) as f64
}
