//! Words for the codes of purposes, conditions and events, as a page shows them; a code without words stands for itself.

use crate::cli::Language;

/// Code, Chinese, English.
const WORDS: &[(&str, &str, &str)] = &[
    // Purposes.
    ("loan-underwriting", "贷款审批", "loan underwriting"),
    ("pre-screening", "授信预筛", "pre-screening"),
    ("post-loan-monitoring", "贷后监测", "post-loan monitoring"),
    ("joint-modelling", "联合建模", "joint modelling"),
    ("guarantee", "担保", "guarantee"),
    ("model-validation", "模型验证", "model validation"),
    // Conditions that failed.
    ("not-listed", "字段不在共享清单", "field not on the sharing list"),
    ("form", "形式不符", "form not permitted"),
    ("purpose", "用途不符", "purpose not permitted"),
    ("not-valid", "清单条目不在有效期", "list entry not in force"),
    ("withdrawn", "清单条目已撤回", "list entry withdrawn"),
    ("no-consent", "无授权", "no consent"),
    ("provider", "授权不含提供方", "provider not in the consent"),
    ("category", "授权不含类别", "category not in the consent"),
    ("level", "超出授权级别", "level above the consent's"),
    ("binned-vector", "授权不含分箱向量", "binned vector not in the consent"),
    ("mode", "方式不符", "mode not permitted"),
    ("data-range", "超出数据时间范围", "data outside the consent's range"),
    ("application", "申请编号不符", "another application"),
    ("not-yet", "授权未生效", "consent not in force yet"),
    ("expired", "授权已到期", "consent expired"),
    ("superseded", "授权已被替代", "consent superseded"),
    ("revoked", "授权已撤销", "consent revoked"),
    ("paused", "授权已暂停", "consent paused"),
    ("too-soon", "超出频次", "used again too soon"),
    ("exhausted", "次数已用完", "uses exhausted"),
    ("unknown-model", "模型未发布", "unknown model"),
    // Events.
    ("consent-load", "登记授权", "consents registered"),
    ("consent-pause", "暂停授权", "consents paused"),
    ("consent-resume", "恢复授权", "consents resumed"),
    ("consent-revoke", "撤销授权", "consents revoked"),
    ("rows-withdrawn", "场次中移出的行", "rows withdrawn from sessions"),
    ("objection-open", "提出异议", "objections raised"),
    ("objection-rejected", "异议驳回", "objections rejected"),
    ("objection-corrected", "异议更正", "objections upheld, value corrected"),
    ("score-correction", "重新评分", "scores given again"),
    ("erase-score", "删除评分记录", "score records deleted"),
    ("erase-opening", "删除承诺开口", "openings deleted"),
    ("erase-inputs", "删除场次输入", "session inputs deleted"),
    ("export", "导出模型", "models exported"),
    ("export-refused", "拒绝导出", "exports refused"),
    ("refused-connection", "拒绝连接", "connections refused"),
    ("refused-message", "拒绝消息", "messages refused"),
    ("erase-warning", "删除预警", "warnings deleted"),
    ("warning-issue", "发出预警", "warnings issued"),
    ("warning-deliver", "送达预警", "warnings delivered"),
    ("token-issue", "发放令牌", "tokens given out"),
    ("token-revoke", "收回令牌", "tokens revoked"),
    ("align-count", "告知共有企业数", "counts of shared enterprises told"),
    ("audit-access", "审计查阅", "access by auditors and enterprises"),
];

/// Events whose code goes on with another one.
const BEGINNINGS: &[(&str, &str, &str)] = &[
    ("warning-drop-", "预警未送", "warnings not delivered"),
    ("warning-outcome-", "预警结果", "outcomes of warnings"),
    ("api-", "评分服务调用", "calls of the scoring service"),
];

/// The words for a code.
pub(super) fn in_words(code: &str, language: Language) -> String {
    let choose = |zh: &str, en: &str| if language == Language::Zh { zh.to_owned() } else { en.to_owned() };
    if let Some((_, zh, en)) = WORDS.iter().find(|(known, ..)| *known == code) {
        return choose(zh, en);
    }
    let begins = BEGINNINGS.iter().find_map(|(known, zh, en)| Some((code.strip_prefix(known)?, zh, en)));
    match begins {
        Some((rest, zh, en)) => format!("{}{}{}", choose(zh, en), choose("：", ": "), in_words(rest, language)),
        None => code.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tally_policy::Purpose;

    #[test]
    fn every_purpose_has_words_and_every_code_stands_once() {
        for purpose in [
            Purpose::LoanUnderwriting,
            Purpose::PreScreening,
            Purpose::PostLoanMonitoring,
            Purpose::JointModelling,
            Purpose::Guarantee,
            Purpose::ModelValidation,
        ] {
            assert_ne!(in_words(&purpose.to_string(), Language::Zh), purpose.to_string());
        }
        let mut codes: Vec<_> = WORDS.iter().map(|(code, ..)| code).collect();
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), WORDS.len());
        assert_eq!(in_words("something-new", Language::En), "something-new");
        assert_eq!(in_words("warning-drop-revoked", Language::Zh), "预警未送：授权已撤销");
        assert_eq!(in_words("api-replayed", Language::En), "calls of the scoring service: replayed");
    }
}
