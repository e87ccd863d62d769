//! How well the scores separate good from bad, and what the joint model adds.

use super::{Column, figure, remark, side_by_side, table};
use crate::dossier::Dossier;
use crate::dossier::plot::{Axis, Plot};
use crate::dossier::words::{Words, count, fixed, interval, p_value, percent, signed};
use crate::markup::{Markup, element, text};
use crate::metrics::{Estimate, Evaluation, Histogram, ScoreCells, Withheld};
use crate::request::RowSet;

/// Joint against bank-only, figure by figure.
pub(super) fn uplift(dossier: &Dossier, words: Words) -> Vec<Markup> {
    let validation = dossier.fit.validation();
    let mut content = within(dossier, words);
    if let Err(why) = validation.joint.told().and(validation.bank_only.told()) {
        content.push(remark(words.of(&why.words())));
        return content;
    }
    let pair =
        (Evaluation::new(&validation.joint, RowSet::Holdout), Evaluation::new(&validation.bank_only, RowSet::Holdout));
    let (Some(joint), Some(bank_only)) = pair else { return vec![nothing(words)] };
    content.push(element(
        "h3",
        [],
        [text(words.say("合并样本（含银行之间的差异）", "Pooled rows, which count the differences between banks"))],
    ));
    let difference = validation.auc_difference();
    let gap = |scale: f64| {
        let found = difference.as_ref()?;
        let Estimate { low, high, .. } = found.difference;
        let interval = interval(&Estimate { value: 0.0, low: scale * low, high: scale * high }, 4);
        Some(format!("{interval} · p {}", p_value(found.p_value)))
    };
    let row = |name: &str, joint: Estimate, bank_only: Estimate, interval_of_gap: Option<String>| {
        [
            name.to_owned(),
            fixed(joint.value, 4),
            interval(&joint, 4),
            fixed(bank_only.value, 4),
            interval(&bank_only, 4),
            signed(joint.value - bank_only.value, 4),
            interval_of_gap.unwrap_or_else(|| "–".into()),
        ]
    };
    let gap_of_ks = validation.ks_difference().map(|found| {
        let bound = if found.counted { "" } else { "≤ " };
        format!("{} · p {bound}{}", interval(&found.difference, 4), p_value(found.p_value))
    });
    // Means over the rows themselves where they were summed; their interval moves along.
    let exact = |estimate: Estimate, mean: Option<f64>| match mean {
        Some(mean) => {
            let moved = mean - estimate.value;
            Estimate { value: mean, low: estimate.low + moved, high: estimate.high + moved }
        }
        None => estimate,
    };
    let compared = validation.compared.as_ref();
    let brier = [joint, bank_only].map(|figures| figures.brier.estimate);
    let loss = [joint, bank_only].map(|figures| figures.log_loss.estimate);
    let mean = |place: usize| (compared.map(|sums| sums.brier[place]), compared.map(|sums| sums.log_loss[place]));
    let (first, second) = (mean(0), mean(1));
    let rows = [
        row("AUC", joint.auc, bank_only.auc, gap(1.0)),
        row("Gini", joint.gini, bank_only.gini, gap(2.0)),
        row("KS", joint.ks.distance, bank_only.ks.distance, gap_of_ks),
        row(words.say("平均精确率", "Average precision"), joint.average_precision, bank_only.average_precision, None),
        row(words.say("Brier 分数", "Brier score"), exact(brier[0], first.0), exact(brier[1], second.0), None),
        row(words.say("对数损失", "Log-loss"), exact(loss[0], first.1), exact(loss[1], second.1), None),
    ];
    content.extend([
        table(columns(words), rows),
        remark(words.say(
            "同一批留出样本。合并样本的数字也计入银行之间的差异：各银行自有模型各有截距，会因区分银行而得分。AUC 及其差值的区间按 DeLong（1988，相关曲线）计算；KS 及其差值的区间以最大值所在位置为准，\
             估计略偏高（p 前有 ≤ 者：两处位置以下的共同行数未释放，区间取边际分布所允许的最宽者）；Brier 与对数损失越低越好。",
            "The same hold-out rows. Pooled figures also count the differences between banks: bank-only models have an intercept \
             each, and are credited with telling banks apart. Intervals of the AUC and of its \
             difference are DeLong's for correlated curves (1988); those of KS and of its difference take the places of the maxima as \
             given and the estimates are slightly high (with ≤ before p: the rows below both places are not released, and the \
             interval is the widest that the margins allow); of the Brier score and log-loss, less is better.",
        )),
    ]);
    content
}

/// Both models side by side.
fn columns(words: Words) -> [Column<'static>; 7] {
    [
        Column::Words(words.say("指标", "Figure")),
        Column::Figures(words.say("联合模型", "Joint")),
        Column::Figures("95 %"),
        Column::Figures(words.say("银行自有", "Bank-only")),
        Column::Figures("95 %"),
        Column::Figures(words.say("差值", "Difference")),
        Column::Figures("95 % · p"),
    ]
}

/// Joint against bank-only on pairs of loans of one bank: what a bank gains.
fn within(dossier: &Dossier, words: Words) -> Vec<Markup> {
    let baseline = (!dossier.baseline.en.is_empty()).then(|| remark(words.of(&dossier.baseline)));
    let content = match dossier.fit.validation().within_banks() {
        Err(Withheld::NotAsked) => Vec::new(),
        Err(why) => vec![remark(words.of(&why.words()))],
        Ok(found) => {
            let row = |name: &str, scale: f64, less: f64| {
                let moved = |estimate: Estimate| estimate.map(|value| scale * value - less);
                let (joint, own) = (moved(found.joint), moved(found.bank_only));
                let Estimate { value, low, high } = found.difference;
                let gap = Estimate { value: scale * value, low: scale * low, high: scale * high };
                [
                    name.to_owned(),
                    fixed(joint.value, 4),
                    interval(&joint, 4),
                    fixed(own.value, 4),
                    interval(&own, 4),
                    signed(gap.value, 4),
                    format!("{} · p {}", interval(&gap, 4), p_value(found.p_value)),
                ]
            };
            vec![
                element("h3", [], [text(words.say("银行内", "Within banks"))]),
                table(columns(words), [row("AUC", 1.0, 0.0), row("Gini", 2.0, 1.0)]),
                remark(words.say(
                    "只比较同一银行的好坏样本对，各银行按样本对数加权（权重有不超过 2% 的固定偏移，以免反推单家银行的样本数）；区间按 DeLong，各银行相互独立。",
                    "Pairs of a good and a bad loan of one bank, banks weighted by their pairs (each weight moved by 2 % at most, so that \
                     no bank's counts follow); DeLong's intervals, banks independent.",
                )),
            ]
        }
    };
    baseline.into_iter().chain(content).collect()
}

/// ROC and KS curves, gains.
pub(super) fn curves(dossier: &Dossier, words: Words) -> Vec<Markup> {
    let validation = dossier.fit.validation();
    let (joint, bank_only) = match (validation.joint.told(), validation.bank_only.told()) {
        (Ok(joint), Ok(bank_only)) => (joint, bank_only),
        (Err(why), _) | (_, Err(why)) => return vec![remark(words.of(&why.words()))],
    };
    let roc = roc(&joint, &bank_only, words);
    let ks = ks(dossier, &validation.joint, &joint, words);
    vec![
        side_by_side(
            "pair",
            [
                figure("half", roc, words.say("ROC 曲线", "ROC curve")),
                figure("half", ks, words.say("KS 曲线：分数不高于该值的累计占比", "KS curve: cumulative share up to a score")),
            ],
        ),
        gains(&joint, &bank_only, words),
        remark(words.say(
            "按风险从高到低十等分；同分行不拆分。提升度为该档坏账率与总体坏账率之比。",
            "Tenths, riskiest first; rows of one score are not split. Lift is the bad rate of a tenth over that of all rows.",
        )),
    ]
}

fn roc(joint: &Histogram, bank_only: &Histogram, words: Words) -> Markup {
    let points = |histogram: &Histogram| {
        histogram.roc().into_iter().map(|point| (point.good_declined, point.bad_declined)).collect::<Vec<_>>()
    };
    Plot::new(
        words.say("ROC 曲线，联合模型与银行自有模型", "ROC curves of the joint and the bank-only model"),
        (330.0, 270.0),
        Axis::shares(1.0, words.say("好样本被拒占比", "good loans declined")),
        Axis::shares(1.0, words.say("坏样本被拒占比", "bad loans declined")),
    )
    .line("chance", [(0.0, 0.0), (1.0, 1.0)])
    .line("bank-only", points(bank_only))
    .line("joint", points(joint))
    .entry("joint", &format!("{} · AUC {}", words.say("联合模型", "joint"), fixed(joint.figures().auc, 3)))
    .entry("bank-only", &format!("{} · AUC {}", words.say("银行自有", "bank-only"), fixed(bank_only.figures().auc, 3)))
    .finish()
}

/// Cumulative shares of good and bad rows, from the lowest score on.
fn ks(dossier: &Dossier, scores: &ScoreCells, histogram: &Histogram, words: Words) -> Markup {
    let score = |group: usize| dossier.score(scores.middle(group));
    let all = histogram.total();
    let mut upto = crate::metrics::Cell::default();
    let mut points = Vec::new();
    for (group, cell) in histogram.cells().iter().enumerate().rev() {
        upto = upto.plus(*cell);
        points.push((score(group), upto.good as f64 / all.good as f64, upto.bad as f64 / all.bad as f64));
    }
    let ks = histogram.ks();
    // From the lowest score on, the largest gap is after the group above the one of the maximum.
    let widest = points.get((points.len() - 1).saturating_sub(ks.cell + 1)).copied().unwrap_or_default();
    let (low, high) = dossier.score_range(scores);
    Plot::new(
        words.say("KS 曲线", "KS curve"),
        (330.0, 270.0),
        Axis::linear(low, high, words.say("分数", "score")),
        Axis::shares(1.0, words.say("累计占比", "cumulative share")),
    )
    .line("gap", [(widest.0, widest.1), (widest.0, widest.2)])
    .line("bad", points.iter().map(|point| (point.0, point.2)))
    .line("good", points.iter().map(|point| (point.0, point.1)))
    .note(
        (widest.0 + (high - low) / 40.0, widest.1.min(widest.2) - 0.06),
        "start",
        &format!("KS {}", fixed(ks.distance.value, 3)),
    )
    .entry("bad", words.say("坏样本", "bad"))
    .entry("good", words.say("好样本", "good"))
    .finish()
}

fn gains(joint: &Histogram, bank_only: &Histogram, words: Words) -> Markup {
    let (joint, bank_only) = (joint.gains(10), bank_only.gains(10));
    let rows = joint.iter().enumerate().map(|(place, gain)| {
        let other = bank_only.get(place);
        let or_none = |value: Option<String>| value.unwrap_or_else(|| "–".into());
        [
            (place + 1).to_string(),
            count(gain.band.rows()),
            percent(gain.band.bad_rate()),
            fixed(gain.lift, 2),
            percent(gain.captured),
            or_none(other.map(|gain| percent(gain.band.bad_rate()))),
            or_none(other.map(|gain| fixed(gain.lift, 2))),
            or_none(other.map(|gain| percent(gain.captured))),
        ]
    });
    let joint = |name: &str| format!("{} · {name}", words.say("联合", "joint"));
    let own = |name: &str| format!("{} · {name}", words.say("自有", "bank-only"));
    let (rate, lift, captured) =
        (words.say("坏账率", "bad rate"), words.say("提升度", "lift"), words.say("累计捕获", "captured"));
    let names = [joint(rate), joint(lift), joint(captured), own(rate), own(lift), own(captured)];
    let columns = [
        Column::Words(words.say("档", "Tenth")),
        Column::Figures(words.say("行数", "Rows")),
        Column::Figures(&names[0]),
        Column::Figures(&names[1]),
        Column::Figures(&names[2]),
        Column::Figures(&names[3]),
        Column::Figures(&names[4]),
        Column::Figures(&names[5]),
    ];
    table(columns, rows)
}

/// In place of figures that cannot be given.
pub(super) fn nothing(words: Words) -> Markup {
    crate::markup::element(
        "p",
        [("class", "remark")],
        [text(words.say(
            "留出样本的直方图未释放，或只含一类样本：没有可报告的数字。",
            "The histogram of the hold-out rows was withheld or holds one kind of loan only: there are no figures to report.",
        ))],
    )
}
