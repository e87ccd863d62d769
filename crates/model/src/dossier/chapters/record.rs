//! What the model must not be taken for, who approved it, and what it can be traced to.

use super::{Column, facts, long_table, remark, table};
use crate::dossier::words::Words;
use crate::dossier::{Dossier, Statement};
use crate::markup::{Markup, element, text};

/// Terms of the fit.
pub(super) fn parameters(dossier: &Dossier, words: Words) -> Vec<Markup> {
    vec![statements(&dossier.parameters, words)]
}

/// Limits of the contract and of the method.
pub(super) fn limits(dossier: &Dossier, words: Words) -> Vec<Markup> {
    let method = [
        words.say(
            "所有数字来自参与银行的汇总和；支撑银行过少的分箱与相邻分箱合并计数，故尾部较粗。",
            "All figures are sums over the banks; cells that few banks stand behind are counted with their neighbours, so that the tails \
             are coarse.",
        ),
        words.say(
            "模型只见过获批的贷款：对从未获批的申请人，分数是外推，未做拒绝推断。",
            "The model has seen granted loans only: for applicants of a kind that was never granted, scores are an extrapolation; no \
             reject inference was made.",
        ),
        words.say(
            "除非按时间留出（见“数据与样本”），留出样本与建模样本同期：它不能说明以后时期的表现，需按月复核稳定性与表现。",
            "Unless they were held out by time (see Data and sample), hold-out rows come from the same period as the training rows: they \
             say nothing of later periods, so stability and outcomes must be watched month by month.",
        ),
        words.say(
            "区间只反映抽样误差，不含数据错误、定义变化或经济环境变化。",
            "Intervals speak of sampling error alone, not of errors in the data, changed definitions or a changed economy.",
        ),
    ];
    let of_trees = [
        words.say(
            "类别按其代码的次序参与分裂：能把一个类别与其余分开的分裂可能需要两次。",
            "Categories are split in the order of their codes: to tell one from all others may take two splits.",
        ),
        words.say(
            "树模型没有分值表：单个申请人的分数由原因（路径依赖的精确 SHAP 值）解释，字段之间有交互作用。",
            "Trees have no table of points: an applicant's score is explained by its reasons, which are exact path-dependent SHAP \
             values; fields interact.",
        ),
    ];
    let of_trees = of_trees.into_iter().filter(|_| dossier.fit.scorecard().is_none());
    let items = method.into_iter().chain(of_trees).map(|sentence| element("li", [], [text(sentence)]));
    vec![statements(&dossier.limits, words), element("ul", [], items)]
}

/// Approvals.
pub(super) fn approvals(dossier: &Dossier, words: Words) -> Vec<Markup> {
    let rows = dossier.approvals.iter().map(|one| {
        [one.party.clone(), one.operator.clone(), words.of(&one.what).into(), one.time.clone(), one.digest.to_string()]
    });
    let columns = [
        Column::Short(words.say("参与方", "Party")),
        Column::Short(words.say("操作员", "Operator")),
        Column::Words(words.say("审批对象", "Approved")),
        Column::Short(words.say("时间", "When")),
        Column::Code(words.say("摘要", "Digest")),
    ];
    let line = |name: &str| {
        let parts = [("role", name), ("rule", ""), ("role", words.say("日期", "Date")), ("rule", "")];
        element(
            "div",
            [("class", "signature")],
            parts.map(|(class, part)| element("span", [("class", class)], [text(part)])),
        )
    };
    let names = [
        words.say("模型开发", "Model developer"),
        words.say("独立验证", "Independent validation"),
        words.say("模型委员会", "Model committee"),
    ];
    vec![table(columns, rows), element("div", [("class", "signatures")], names.map(line))]
}

/// Versions.
pub(super) fn versions(dossier: &Dossier, words: Words) -> Vec<Markup> {
    vec![statements(&dossier.versions, words)]
}

/// Digests of requests and of released sums.
pub(super) fn rounds(dossier: &Dossier, words: Words) -> Vec<Markup> {
    let rounds = dossier.fit.rounds();
    let place = |place: usize| (place + 1).to_string();
    let (number, request, sums) = (words.say("轮", "Round"), words.say("请求", "Request"), words.say("汇总和", "Sums"));
    let remarks = remark(words.say(
        "审计方凭各方日志与公钥即可重放每一轮；模型标识由全部结果计算得出。",
        "An auditor replays every round from the logs and public keys; the model's name is the digest of all that came out.",
    ));
    let cohort = rounds.first().map(|round| round.cohort.join(", ")).unwrap_or_default();
    if rounds.iter().all(|round| round.cohort == rounds[0].cohort) {
        let rows = rounds
            .iter()
            .enumerate()
            .map(|(round, digests)| [place(round), digests.request.to_string(), digests.sums.to_string()]);
        let all = facts([(words.say("每轮的银行", "Banks in every round").into(), cohort)]);
        let columns = [Column::Words(number), Column::Code(request), Column::Code(sums)];
        return vec![remarks, all, long_table(columns, rows)];
    }
    let rows = rounds.iter().enumerate().map(|(round, digests)| {
        [place(round), digests.request.to_string(), digests.sums.to_string(), digests.cohort.join(", ")]
    });
    let columns =
        [Column::Words(number), Column::Code(request), Column::Code(sums), Column::Words(words.say("银行", "Banks"))];
    vec![remarks, table(columns, rows)]
}

fn statements(statements: &[Statement], words: Words) -> Markup {
    facts(statements.iter().map(|one| (words.of(&one.name).to_owned(), words.of(&one.value).to_owned())))
}
