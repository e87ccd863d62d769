//! How far the probabilities can be believed, and how the scores lie.

use super::power::nothing;
use super::{Column, figure, remark, side_by_side, table};
use crate::dossier::Dossier;
use crate::dossier::plot::{Axis, Plot};
use crate::dossier::words::{Words, count, fixed, interval, p_value, percent};
use crate::markup::Markup;
use crate::metrics::{Estimate, ReliabilityBand, ScoreCells, hosmer_lemeshow, reliability};
use crate::request::RowSet;

/// Bands of the distribution.
const BANDS: usize = 14;

/// Reliability and distribution.
pub(super) fn chapter(dossier: &Dossier, words: Words) -> Vec<Markup> {
    let validation = dossier.fit.validation();
    let expected = validation.compared.as_ref().map(|sums| &sums.expected);
    let joint = bands(&validation.joint, expected.map(|means| &means[0]));
    let bank_only = bands(&validation.bank_only, expected.map(|means| &means[1]));
    if joint.is_empty() {
        return vec![nothing(words)];
    }
    let test = hosmer_lemeshow(&joint, RowSet::Holdout);
    let sentence = format!(
        "Hosmer–Lemeshow: χ² = {} · {} {} · p = {}",
        fixed(test.statistic, 2),
        words.say("自由度", "degrees of freedom"),
        test.degrees,
        p_value(test.p_value)
    );
    let reading = words.say(
        "档按风险从低到高。对角线上表示预测与实际一致；线段为 Wilson 95 % 区间。留出样本不损失自由度。",
        "Tenths, safest first. On the diagonal, prediction and outcome agree; whiskers are Wilson's 95 % intervals. Hold-out rows cost no degree of \
         freedom.",
    );
    vec![
        side_by_side(
            "pair",
            [
                figure(
                    "half",
                    calibration(&joint, &bank_only, words),
                    words.say("校准曲线（十等分）", "Calibration by tenths"),
                ),
                figure(
                    "half",
                    distribution(dossier, &validation.joint, words),
                    words.say("联合模型的分数分布", "Distribution of the joint score"),
                ),
            ],
        ),
        reliability_table(&joint, words),
        remark(&format!("{sentence}. {reading}")),
    ]
}

/// The reliability table, with the rows' own mean probabilities where they were summed.
fn bands(scores: &ScoreCells, expected: Option<&Vec<f64>>) -> Vec<ReliabilityBand> {
    let mut bands = reliability(scores, 10);
    if let Some(means) = expected.filter(|means| means.len() == bands.len()) {
        bands.iter_mut().zip(means).for_each(|(band, mean)| band.expected = *mean);
    }
    bands
}

fn calibration(joint: &[ReliabilityBand], bank_only: &[ReliabilityBand], words: Words) -> Markup {
    let reach = |bands: &[ReliabilityBand]| {
        bands.iter().fold(0.0f64, |reach, band| reach.max(band.expected).max(band.observed.high))
    };
    let high = reach(joint).max(reach(bank_only)).min(1.0);
    let axis = Axis::shares(high, words.say("预测坏账率", "predicted bad rate"));
    let end = axis.ends().1;
    let mut plot = Plot::new(
        words.say("校准曲线", "calibration"),
        (330.0, 270.0),
        axis,
        Axis::shares(high, words.say("实际坏账率", "observed bad rate")),
    )
    .line("chance", [(0.0, 0.0), (end, end)]);
    for (class, bands) in [("bank-only", bank_only), ("joint", joint)] {
        plot = plot.line(class, bands.iter().map(|band| (band.expected, band.observed.value)));
        for band in bands {
            let Estimate { value, low, high } = band.observed;
            let whisker = (class == "joint").then_some((low, high));
            plot = plot.dot(class, (band.expected, value), whisker);
        }
    }
    plot.entry("joint", words.say("联合模型", "joint")).entry("bank-only", words.say("银行自有", "bank-only")).finish()
}

/// Densities of good and of bad rows in bands of equally many rows.
fn distribution(dossier: &Dossier, scores: &ScoreCells, words: Words) -> Markup {
    let Some(histogram) = scores.histogram() else { return Markup::default() };
    let all = histogram.total();
    let bands = histogram.bands(BANDS);
    let finite = |(low, high): (f64, f64), middle: f64| {
        let half = scores.grid.step / 2.0;
        (if low.is_finite() { low } else { middle - half }, if high.is_finite() { high } else { middle + half })
    };
    let ends = |group: usize| finite(scores.ends(group), scores.middle(group));
    let mut shapes = Vec::new();
    for (place, band) in bands.iter().enumerate() {
        let low = ends(band.cells.start).0;
        // Cells without rows between two bands belong to the lower one.
        let high = bands.get(place + 1).map_or(ends(band.cells.end - 1).1, |next| ends(next.cells.start).0);
        let (right, left) = (dossier.score(low), dossier.score(high));
        let density = |rows: i64, all: i64| 10.0 * rows as f64 / all as f64 / (right - left).max(f64::MIN_POSITIVE);
        shapes.push((left, right, density(band.total.good, all.good), density(band.total.bad, all.bad)));
    }
    shapes.reverse();
    let outline = |height: fn(&(f64, f64, f64, f64)) -> f64| {
        let steps = shapes.iter().flat_map(move |shape| [(shape.0, height(shape)), (shape.1, height(shape))]);
        let first = shapes.first().map(|shape| (shape.0, 0.0));
        let last = shapes.last().map(|shape| (shape.1, 0.0));
        first.into_iter().chain(steps).chain(last).collect::<Vec<_>>()
    };
    let (good, bad) = (outline(|shape| shape.2), outline(|shape| shape.3));
    let highest = shapes.iter().fold(0.0f64, |highest, shape| highest.max(shape.2).max(shape.3));
    let (low, high) = dossier.score_range(scores);
    Plot::new(
        words.say("好坏样本的分数分布", "distribution of the scores of good and bad loans"),
        (330.0, 270.0),
        Axis::linear(low, high, words.say("分数（越高越好）", "score (higher is better)")),
        Axis::shares(highest, words.say("每 10 分占比", "share per 10 points")),
    )
    .area("good fill", good.clone())
    .area("bad fill", bad.clone())
    .line("good", good)
    .line("bad", bad)
    .entry("bad", words.say("坏样本", "bad"))
    .entry("good", words.say("好样本", "good"))
    .finish()
}

fn reliability_table(bands: &[ReliabilityBand], words: Words) -> Markup {
    let rows = bands.iter().enumerate().map(|(place, band)| {
        let whisker = Estimate { value: 0.0, low: 100.0 * band.observed.low, high: 100.0 * band.observed.high };
        [
            (place + 1).to_string(),
            count(band.rows.rows()),
            fixed(band.expected * band.rows.rows() as f64, 1),
            count(band.rows.bad),
            percent(band.expected),
            percent(band.observed.value),
            format!("{} %", interval(&whisker, 1)),
        ]
    });
    let columns = [
        Column::Words(words.say("档", "Tenth")),
        Column::Figures(words.say("行数", "Rows")),
        Column::Figures(words.say("预期坏样本", "Bad expected")),
        Column::Figures(words.say("实际坏样本", "Bad observed")),
        Column::Figures(words.say("预测坏账率", "Predicted")),
        Column::Figures(words.say("实际坏账率", "Observed")),
        Column::Figures("95 %"),
    ];
    table(columns, rows)
}
