//! How both models do on segments of the hold-out rows.

use super::{Column, remark, table};
use crate::dossier::Dossier;
use crate::dossier::words::{Words, count, fixed, interval, percent, signed};
use crate::judge::SegmentRows;
use crate::markup::{Markup, element, text};
use crate::metrics::{Evaluation, Segment};

/// A table a field; nothing without segments in the contract.
pub(super) fn chapter(dossier: &Dossier, words: Words) -> Option<Vec<Markup>> {
    let fields = &dossier.fit.validation().segments;
    if fields.is_empty() {
        return None;
    }
    let mut content: Vec<_> = fields.iter().flat_map(|rows| of_field(dossier, rows, words)).collect();
    content.push(remark(words.say(
        "留出样本按字段取值划分，某段支撑银行过少、分组过粗（组内并列可使 AUC 变动超过 0.05）时不列指标（“–”）；数值字段约分为五段。区间为 95 %：AUC 按 DeLong，KS 以最大值所在位置为准，坏账率按 Wilson。各段分数的分组与全体相同，\
         组内视为并列；分组较粗时 AUC 略低。两模型为同一批样本，其差值的区间未知：两区间不重叠足以说明差异，重叠则不说明没有差异。",
        "Hold-out rows by the values of a field; a number in about five bands. Figures are left out (–) where too few \
         banks stand behind some segment, or where groups are so coarse that ties leave the AUC open by more than 0.05. Intervals are of 95 %: DeLong's of the AUC, that of KS \
         takes the place of the maximum as given, Wilson's of the bad rate. Scores are in groups, the same for all segments; rows of \
         one group are tied, so where groups are coarse the AUC is a little low. Both models have the same rows and the interval of \
         their difference is not known: intervals apart show a difference, intervals that overlap do not show that there is none.",
    )));
    Some(content)
}

fn of_field(dossier: &Dossier, rows: &SegmentRows, words: Words) -> Vec<Markup> {
    let Some(note) = dossier.fields.get(rows.field) else { return Vec::new() };
    let title = element("h3", [], [text(words.of(&note.title))]);
    let figures = rows.figures(&rows.names(&note.labels, &rows.bins, words.0));
    if figures.is_empty() {
        return vec![
            title,
            remark(words.say(
                "某一段的支撑银行过少，故整个字段未释放。",
                "Too few banks stand behind a segment, so that the field was withheld as a whole.",
            )),
        ];
    }
    let columns = [
        Column::Words(words.say("分段", "Segment")),
        Column::Figures(words.say("行数", "Rows")),
        Column::Figures(words.say("坏账率", "Bad rate")),
        Column::Figures("AUC"),
        Column::Figures("95 %"),
        Column::Figures(words.say("自有 AUC", "Bank-only AUC")),
        Column::Figures("95 %"),
        Column::Figures(words.say("差值", "Difference")),
        Column::Figures("KS"),
        Column::Figures(words.say("自有 KS", "Bank-only KS")),
    ];
    vec![title, table(columns, figures.iter().map(row))]
}

fn row([joint, bank_only]: &[Segment; 2]) -> [String; 10] {
    let none = || "–".to_owned();
    let of =
        |segment: &Segment, written: fn(&Evaluation) -> String| segment.evaluation.as_ref().map_or_else(none, written);
    let gap = match (&joint.evaluation, &bank_only.evaluation) {
        (Some(joint), Some(bank_only)) => signed(joint.auc.value - bank_only.auc.value, 4),
        _ => none(),
    };
    let rate = |figures: &Evaluation| {
        let [low, high] = [figures.bad_rate.low, figures.bad_rate.high].map(|share| fixed(100.0 * share, 1));
        format!("{} ({low} – {high})", percent(figures.bad_rate.value))
    };
    let ks = |figures: &Evaluation| {
        let distance = figures.ks.distance;
        format!("{} ({})", fixed(distance.value, 3), interval(&distance, 3))
    };
    [
        joint.name.clone(),
        count(joint.rows.rows()),
        if joint.evaluation.is_some() { of(joint, rate) } else { of(bank_only, rate) },
        of(joint, |figures| fixed(figures.auc.value, 4)),
        of(joint, |figures| interval(&figures.auc, 4)),
        of(bank_only, |figures| fixed(figures.auc.value, 4)),
        of(bank_only, |figures| interval(&figures.auc, 4)),
        gap,
        of(joint, ks),
        of(bank_only, ks),
    ]
}
