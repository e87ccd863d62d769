//! What the model is, the figures that decide, who takes part, and on which data.

use super::{Column, cards, facts, paragraph, remark, table};
use crate::dossier::Dossier;
use crate::dossier::words::{Words, count, fixed, interval, percent, signed};
use crate::markup::{Markup, element, text};
use crate::metrics::{Cell, Evaluation, score_stability};
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
    let joint = Evaluation::new(&validation.joint, RowSet::Holdout);
    let bank_only = Evaluation::new(&validation.bank_only, RowSet::Holdout);
    let none = || ("–".to_owned(), String::new());
    let auc = |evaluation: &Option<Evaluation>| {
        evaluation.map_or_else(none, |figures| (fixed(figures.auc.value, 4), interval(&figures.auc, 4)))
    };
    let difference = validation
        .auc_difference()
        .map_or_else(none, |found| (signed(found.difference.value, 4), interval(&found.difference, 4)));
    let ks =
        joint.map_or_else(none, |figures| (fixed(figures.ks.distance.value, 3), interval(&figures.ks.distance, 3)));
    let stability = score_stability(&validation.joint_train, &validation.joint)
        .map_or_else(none, |found| (fixed(found.index, 3), super::decision::verdict(found.index, words).into()));
    cards([
        (words.say("AUC 联合模型", "AUC joint"), auc(&joint)),
        (words.say("AUC 银行自有", "AUC bank-only"), auc(&bank_only)),
        (words.say("AUC 提升", "AUC gained"), difference),
        (words.say("KS 联合模型", "KS joint"), ks),
        (words.say("稳定性指数", "Stability index"), stability),
    ])
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
    vec![
        facts(own.into_iter().chain(stated)),
        table(columns, commitments),
        remark(words.say(
            "所有摘要在计算开始前即已登记在各方日志中；原始记录不离开其持有方。",
            "All digests were logged before anything was computed; records stay with their holders.",
        )),
    ]
}
