//! What the score is used for, and whether it still can be: cut-offs, the swap set, stability.

use super::power::nothing;
use super::{Column, remark, table};
use crate::dossier::Dossier;
use crate::dossier::words::{Words, count, fixed, interval, p_value, percent, signed};
use crate::markup::{Markup, element, text};
use crate::metrics::{Cell, Estimate, ScoreCells, SwapSet, cut_offs as table_of, score_stability};
use crate::monitor::Reading;

/// Bands of the cut-off table.
const BANDS: usize = 20;

/// The cut-off table and the swap set.
pub(super) fn cut_offs(dossier: &Dossier, words: Words) -> Vec<Markup> {
    let scores = &dossier.fit.validation().joint;
    let Ok(histogram) = scores.told() else { return vec![nothing(words)] };
    let rows = table_of(&histogram, BANDS).into_iter().map(|cut| {
        let whisker = Estimate { value: 0.0, low: 100.0 * cut.bad_rate.low, high: 100.0 * cut.bad_rate.high };
        [
            band(dossier, scores, cut.first_cell, cut.last_cell),
            count(cut.band.rows()),
            percent(cut.band.bad_rate()),
            percent(cut.approval),
            percent(cut.bad_rate.value),
            format!("{} %", interval(&whisker, 1)),
            percent(cut.bad_declined),
            percent(cut.good_declined),
        ]
    });
    let columns = [
        Column::Words(words.say("分数段", "Score band")),
        Column::Figures(words.say("行数", "Rows")),
        Column::Figures(words.say("本段坏账率", "Bad rate of band")),
        Column::Figures(words.say("通过率", "Approved")),
        Column::Figures(words.say("通过后坏账率", "Bad rate approved")),
        Column::Figures("95 %"),
        Column::Figures(words.say("拒绝的坏样本", "Bad declined")),
        Column::Figures(words.say("误拒好样本", "Good declined")),
    ];
    let mut content = vec![
        table(columns, rows),
        remark(words.say(
            "每一行：批准该分数段及所有更高分的申请。",
            "Each line: what it means to approve this band and every higher score.",
        )),
    ];
    if dossier.fit.scorecard().is_some() {
        content.push(remark(words.say(
            "分数由精确系数得出，与取整分值之和最多相差数分。",
            "Scores follow from exact coefficients; the sum of whole points may differ by a few points.",
        )));
    }
    content.push(element(
        "h3",
        [],
        [text(words.say("相同通过率下的换入与换出", "Swap set at the same approval rate"))],
    ));
    content.extend(match &dossier.fit.validation().swap {
        Some(swap) => swap_set(swap, words),
        None => vec![remark(words.say(
            "四格表中有一格的支撑银行过少，故整表未释放。",
            "Too few banks stand behind a part of the table, so that it was withheld as a whole.",
        ))],
    });
    content
}

/// Scores of a band, from the ends of its cells.
fn band(dossier: &Dossier, scores: &ScoreCells, first: usize, last: usize) -> String {
    let (highest, lowest) = (dossier.score(scores.ends(first).0), dossier.score(scores.ends(last).1));
    match (lowest.is_finite(), highest.is_finite()) {
        (true, true) => format!("{} – {}", fixed(lowest, 0), fixed(highest, 0)),
        (true, false) => format!("≥ {}", fixed(lowest, 0)),
        (false, true) => format!("< {}", fixed(highest, 0)),
        (false, false) => "–".into(),
    }
}

fn swap_set(swap: &SwapSet, words: Words) -> Vec<Markup> {
    let row = |name: &str, cell: Cell| {
        let rate = Estimate::proportion(cell.bad, cell.rows());
        let whisker = Estimate { value: 0.0, low: 100.0 * rate.low, high: 100.0 * rate.high };
        [
            name.to_owned(),
            count(cell.rows()),
            count(cell.bad),
            percent(rate.value),
            format!("{} %", interval(&whisker, 1)),
        ]
    };
    let rows = [
        row(words.say("两者都批准", "Approved by both"), swap.both),
        row(words.say("换入：仅联合模型批准", "Swapped in: the joint model only"), swap.swap_in),
        row(words.say("换出：仅银行自有模型批准", "Swapped out: the bank-only model only"), swap.swap_out),
        row(words.say("两者都拒绝", "Declined by both"), swap.neither),
    ];
    let columns = [
        Column::Words(""),
        Column::Figures(words.say("行数", "Rows")),
        Column::Figures(words.say("坏样本", "Bad")),
        Column::Figures(words.say("坏账率", "Bad rate")),
        Column::Figures("95 %"),
    ];
    let (joint, own) = swap.approval();
    let (joint_rate, own_rate) = swap.approved_bad_rate();
    let sentence = match words.0 {
        crate::text::Language::Zh => format!(
            "联合模型批准 {}，坏账率 {}；银行自有模型批准 {}，坏账率 {}。",
            percent(joint),
            percent(joint_rate),
            percent(own),
            percent(own_rate)
        ),
        crate::text::Language::En => format!(
            "The joint model approves {} at a bad rate of {}; the bank-only model approves {} at {}.",
            percent(joint),
            percent(joint_rate),
            percent(own),
            percent(own_rate)
        ),
    };
    vec![table(columns, rows), remark(&sentence)]
}

/// Stability of scores and of fields between training and hold-out rows.
pub(super) fn stability(dossier: &Dossier, words: Words) -> Vec<Markup> {
    let validation = dossier.fit.validation();
    let scores = [
        (words.say("联合模型分数", "Joint score"), score_stability(&validation.joint_train, &validation.joint)),
        (
            words.say("银行自有分数", "Bank-only score"),
            score_stability(&validation.bank_only_train, &validation.bank_only),
        ),
    ];
    let line = |name: String, found: Option<crate::metrics::Stability>, shift: Option<f64>| {
        let figure = |written: fn(crate::metrics::Stability, Words) -> String| {
            found.map_or_else(|| "–".into(), |found| written(found, words))
        };
        [
            name,
            figure(|found, _| fixed(found.index, 4)),
            figure(|found, _| p_value(found.p_value)),
            shift.map_or_else(|| "–".into(), |shift| signed(shift, 2)),
            figure(|found, words| verdict(found.index, words).into()),
        ]
    };
    let of_scores = scores.map(|(name, found)| line(name.into(), found, None));
    let fields = dossier.fit.scorecard().into_iter().flat_map(|fit| fit.fields.iter().enumerate());
    let fields = fields.filter(|(_, field)| field.coefficient.is_some());
    let of_fields = fields.map(|(place, field)| {
        let name = super::fields::title(&field.name, dossier.note(&field.name), words);
        let found = validation.field_stability(place, field);
        line(name, found.map(|found| found.0), found.and_then(|found| found.1))
    });
    let columns = [
        Column::Words(words.say("对象", "Of what")),
        Column::Figures(words.say("稳定性指数", "Stability index")),
        Column::Figures("p"),
        Column::Figures(words.say("平均分值变化", "Shift of mean points")),
        Column::Words(words.say("判断", "Reading")),
    ];
    let mut content = vec![
        table(columns, of_scores.into_iter().chain(of_fields)),
        remark(words.say(
            "建模样本与留出样本之间。低于 0.10 为稳定，高于 0.25 为偏移。p：若无变化，指数不小于该值的概率（Yurdakul、Naranjo，2020）。",
            "Between training and hold-out rows. Below 0.10 stable, above 0.25 shifted. p: the chance of an index at least as large if \
             nothing has changed (Yurdakul, Naranjo, 2020).",
        )),
    ];
    if dossier.fit.scorecard().is_none() {
        content.push(remark(words.say(
            "树模型的结果不含建模样本的逐箱行数，故不列各字段的稳定性。",
            "The fit of trees does not hold the training rows of each bin, so the stability of fields is not given.",
        )));
    }
    content
}

/// The customary reading of a stability index.
pub(super) fn verdict(index: f64, words: Words) -> &'static str {
    match Reading::of_enough(index) {
        Reading::None | Reading::Stable => words.say("稳定", "stable"),
        Reading::Watch => words.say("需关注", "to be watched"),
        Reading::Act => words.say("已偏移", "shifted"),
    }
}
