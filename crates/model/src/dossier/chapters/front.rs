//! What the model is, the figures that decide, who takes part, and on which data.

use super::{Column, cards, facts, paragraph, remark, table};
use crate::dossier::Dossier;
use crate::dossier::words::{Words, count, fixed, interval, percent, signed};
use crate::learner::Fitted;
use crate::markup::{Markup, element, text};
use crate::metrics::{Cell, Estimate, Evaluation, ScoreCells, Withheld, score_stability};
use crate::request::RowSet;

/// Title, identity and the figures that decide.
pub(super) fn masthead(dossier: &Dossier, words: Words) -> Markup {
    let kind = element("p", [("class", "kind")], [text(words.say("模型档案", "Model dossier"))]);
    let title = element("h1", [], [text(words.of(&dossier.title))]);
    let identity = facts([
        (words.say("会话", "Session").into(), dossier.session.clone()),
        (words.say("模型", "Model").into(), dossier.fit.digest().to_string()),
        (words.say("合同", "Contract").into(), dossier.contract.to_string()),
        (words.say("制作时间", "Prepared").into(), dossier.prepared.clone()),
    ]);
    element("header", [], [kind, title, identity, key_figures(dossier, words)])
}

fn key_figures(dossier: &Dossier, words: Words) -> Markup {
    let validation = dossier.fit.validation();
    let told = |scores: &ScoreCells| scores.told().ok().and_then(|_| Evaluation::new(scores, RowSet::Holdout));
    let (joint, bank_only) = (told(&validation.joint), told(&validation.bank_only));
    let none = || ("–".to_owned(), String::new());
    let shown = |estimate: Option<Estimate>| {
        estimate.map_or_else(none, |estimate| (fixed(estimate.value, 4), interval(&estimate, 4)))
    };
    let gained = |estimate: Option<Estimate>| {
        estimate.map_or_else(none, |estimate| (signed(estimate.value, 4), interval(&estimate, 4)))
    };
    let within = validation.within_banks();
    let withheld = |why: Withheld| ("–".to_owned(), words.of(&why.words()).to_owned());
    let pooled = gained(validation.auc_difference().map(|found| found.difference));
    let ks =
        joint.map_or_else(none, |figures| (fixed(figures.ks.distance.value, 3), interval(&figures.ks.distance, 3)));
    let stability = score_stability(&validation.joint_train, &validation.joint)
        .map_or_else(none, |found| (fixed(found.index, 3), super::decision::verdict(found.index, words).into()));
    let first = match within {
        Err(Withheld::NotAsked) => vec![
            (words.say("AUC 联合模型（合并样本）", "AUC joint, pooled rows"), shown(joint.map(|found| found.auc))),
            (
                words.say("AUC 银行自有（合并样本）", "AUC bank-only, pooled rows"),
                shown(bank_only.map(|found| found.auc)),
            ),
        ],
        Err(why) => vec![(words.say("AUC 提升（银行内）", "AUC gained within banks"), withheld(why))],
        Ok(found) => vec![
            (words.say("AUC 联合模型（银行内）", "AUC joint, within banks"), shown(Some(found.joint))),
            (words.say("AUC 银行自有（银行内）", "AUC bank-only, within banks"), shown(Some(found.bank_only))),
            (words.say("AUC 提升（银行内）", "AUC gained within banks"), gained(Some(found.difference))),
        ],
    };
    let rest = [
        (words.say("AUC 提升（合并样本）", "AUC gained, pooled rows"), pooled),
        (words.say("KS 联合模型", "KS joint"), ks),
        (words.say("稳定性指数", "Stability index"), stability),
    ];
    let leaks = dossier.fit.leaks();
    let warned = leaks
        .iter()
        .map(|leak| element("p", [("class", "remark")], [element("strong", [], [text(words.of(&leak.words()))])]));
    std::iter::once(cards(first.into_iter().chain(rest))).chain(warned).collect()
}

/// Fields of which rows are counted together, or whose classes are smaller than the terms ask for.
fn notices(dossier: &Dossier, words: Words) -> Vec<Markup> {
    let fields: Vec<(&str, f64, bool)> = match &dossier.fit {
        Fitted::Scorecard(fit) => {
            fit.fields.iter().map(|field| (field.name.as_str(), field.folded(), field.eased)).collect()
        }
        Fitted::Trees(fit) => {
            let rows = fit.fields.iter().zip(&fit.validation.fields);
            rows.map(|(field, rows)| (field.name.as_str(), rows.folded(), false)).collect()
        }
        Fitted::Statistics(_) => Vec::new(),
    };
    let named = |chosen: Vec<String>, zh: &str, en: &str| {
        (!chosen.is_empty()).then(|| remark(&format!("{}{}", words.say(zh, en), chosen.join(words.say("、", ", ")))))
    };
    let folded = fields.iter().filter(|field| field.1 >= 0.005);
    let folded = folded.map(|(name, share, _)| format!("{name} ({})", percent(*share))).collect();
    let eased = fields.iter().filter(|field| field.2).map(|field| field.0.to_owned()).collect();
    let folded = named(
        folded,
        "支撑银行过少、与相邻分箱合并计数的样本占比：",
        "Share of rows in bins with too few banks, which are counted with their neighbours: ",
    );
    let eased = named(
        eased,
        "没有分组能满足合同的最少好、坏样本数，已放宽并平滑：",
        "No classes have the contract's fewest good and bad loans; eased and smoothed: ",
    );
    folded.into_iter().chain(eased).collect()
}

/// What the bank that made the dossier knows of its own rows.
pub(super) fn own(dossier: &Dossier, words: Words) -> Vec<Markup> {
    vec![
        facts(dossier.own.iter().map(|one| (words.of(&one.name).to_owned(), words.of(&one.value).to_owned()))),
        remark(words.say(
            "由本行以自有样本在本地算出，未发送给任何一方。",
            "Computed here from this bank's own rows; nothing of it was sent to anybody.",
        )),
    ]
}

/// Purpose and parties.
pub(super) fn purpose(dossier: &Dossier, words: Words) -> Vec<Markup> {
    let purpose = &dossier.purpose;
    let sentence = format!("{} ({})", words.of(&purpose.words), purpose.code);
    let rows =
        dossier.parties.iter().map(|party| [party.name.clone(), words.of(&party.role).into(), party.key.clone()]);
    let columns = [
        Column::Words(words.say("参与方", "Party")),
        Column::Words(words.say("职责", "Part")),
        Column::Code(words.say("签署合同的公钥", "Key that signed the contract")),
    ];
    vec![paragraph(&sentence), table(columns, rows)]
}

/// Sample, commitments, fields.
pub(super) fn data(dossier: &Dossier, words: Words) -> Vec<Markup> {
    let rows = |sample: Cell| {
        let (all, bad) = (sample.rows(), sample.bad);
        let rate = if all > 0 { bad as f64 / all as f64 } else { 0.0 };
        match words.0 {
            crate::text::Language::Zh => {
                format!("{} 笔，其中坏样本 {} 笔（{}）", count(all), count(bad), percent(rate))
            }
            crate::text::Language::En => {
                format!("{} loans, {} of them bad ({})", count(all), count(bad), percent(rate))
            }
        }
    };
    let [train, holdout] = dossier.fit.samples();
    let own = [
        (words.say("建模样本", "Fitted on").to_owned(), rows(train)),
        (words.say("留出样本", "Judged on").to_owned(), rows(holdout)),
    ];
    let stated = dossier.sample.iter().map(|one| (words.of(&one.name).to_owned(), words.of(&one.value).to_owned()));
    let commitments = dossier.commitments.iter().map(|one| {
        let rows = one.rows.map_or_else(|| "–".into(), |rows| count(i64::try_from(rows).unwrap_or(i64::MAX)));
        [one.party.clone(), words.of(&one.what).into(), rows, one.digest.to_string()]
    });
    let columns = [
        Column::Words(words.say("参与方", "Party")),
        Column::Words(words.say("承诺的内容", "Bound to")),
        Column::Figures(words.say("行数", "Rows")),
        Column::Code(words.say("摘要", "Digest")),
    ];
    [
        facts(own.into_iter().chain(stated)),
        table(columns, commitments),
        remark(words.say(
            "所有摘要在计算开始前即已登记在各方日志中；原始记录不离开其持有方。",
            "All digests were logged before anything was computed; records stay with their holders.",
        )),
    ]
    .into_iter()
    .chain(notices(dossier, words))
    .collect()
}
