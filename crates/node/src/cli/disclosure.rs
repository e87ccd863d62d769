//! What a contract says of the platform's data, and of what each bank's rows disclose, in words for those who approve.

use serde_json::Value;
use tally_policy::clearance::IDENTIFYING_FIELDS;
use tally_policy::disclosure::{Groups, Verdict};
use tally_protocol::session::{Contract, Holder};

use super::Language;

/// Data set, day, commitment, and the level of all its fields together.
pub(super) fn data(terms: &Contract, language: Language) -> String {
    let snapshot = &terms.snapshot;
    let level = terms.level().map_or_else(|| "-".into(), |level| format!("{level:?}"));
    let (name, day, commitment) = (&snapshot.dataset, snapshot.as_of, snapshot.commitment);
    match language {
        Language::En => format!("data: {name} as of {day}, level {level}, commitment {commitment}"),
        Language::Zh => format!("数据: {name}，截至 {day}，级别 {level}，承诺 {commitment}"),
    }
}

/// A newer list than the contract's, where there is one.
pub(super) fn newer_list(shown: &Value, terms: &Contract, language: Language) -> Option<String> {
    let in_force = shown["list_in_force"].as_u64().filter(|version| *version > u64::from(terms.list.version))?;
    Some(match language {
        Language::En => format!(
            "note: version {in_force} of the sharing list is in force for new sessions; this one rests on version {}",
            terms.list.version
        ),
        Language::Zh => {
            format!("注意: 新会话适用共享清单第 {in_force} 版；本会话依据第 {} 版", terms.list.version)
        }
    })
}

/// The verdict for each bank, and what follows from the number of fields.
pub(super) fn verdicts(terms: &Contract, language: Language) -> String {
    let fields = terms.fields_of(Holder::Platform).count();
    // Codes of several cohorts count as a vector.
    let several = terms.sample.as_ref().is_some_and(|sample| sample.cohorts.len() > 1);
    let rule = match (language, several || fields >= IDENTIFYING_FIELDS) {
        (Language::En, true) => format!(
            "disclosure: {fields} binned fields together may tell an enterprise from all others; only rows whose consent \
             names the form `binned-vector` are given out"
        ),
        (Language::Zh, true) => format!(
            "披露: {fields} 个分箱字段合在一起可能识别出单个企业；仅提供同意书写明“binned-vector”（分箱向量）形式的行"
        ),
        (Language::En, false) => format!(
            "disclosure: {fields} binned fields; only rows whose consent names the form `binned` are given out, or \
             `binned-vector` to a bank that holds {IDENTIFYING_FIELDS} or more with those of earlier sessions"
        ),
        (Language::Zh, false) => format!(
            "披露: {fields} 个分箱字段；仅提供同意书写明“binned”（分箱）形式的行；对连同此前会话已持有 {IDENTIFYING_FIELDS} \
             个及以上字段的银行，须写明“binned-vector”（分箱向量）"
        ),
    };
    let banks = terms.disclosures.iter().map(|(bank, verdict)| format!("  {}", in_words(bank, verdict, language)));
    std::iter::once(rule).chain(banks).collect::<Vec<_>>().join("\n")
}

fn in_words(bank: &str, verdict: &Verdict, language: Language) -> String {
    let rows = verdict.rows;
    let mut words = match language {
        Language::En => format!("{bank}: about {rows} rows; {}", groups(&verdict.release, verdict, language)),
        Language::Zh => format!("{bank}: 约 {rows} 行；{}", groups(&verdict.release, verdict, language)),
    };
    let earlier = verdict.cumulative.fields - verdict.release.fields.min(verdict.cumulative.fields);
    if earlier > 0 {
        let all = groups(&verdict.cumulative, verdict, language);
        words += &match language {
            Language::En => format!("; with {earlier} codings that it got in earlier sessions: {all}"),
            Language::Zh => format!("；连同此前会话已获得的 {earlier} 项编码: {all}"),
        };
    }
    if let Some(rows) = verdict.difference {
        words += &match language {
            Language::En => format!("; {rows} rows differ from the closest earlier release"),
            Language::Zh => format!("；与最接近的既往提供相差 {rows} 行"),
        };
    }
    words
}

fn groups(groups: &Groups, verdict: &Verdict, language: Language) -> String {
    let share = |rows: u64| 100.0 * rows as f64 / verdict.rows.max(1) as f64;
    let (unique, below, k) = (share(groups.unique), share(groups.below), verdict.k);
    let risk = groups.prosecutor_risk(verdict.rows);
    let Groups { groups, smallest, .. } = *groups;
    match language {
        Language::En => format!(
            "{groups} groups of equal codes, the smallest of {smallest}, {unique:.1} % of rows alone in theirs, {below:.1} % \
             among fewer than {k}; who knows an enterprise's values finds it with probability {risk:.2} on average"
        ),
        Language::Zh => format!(
            "{groups} 个编码相同的组，最小 {smallest} 行，{unique:.1}% 的行独自成组，{below:.1}% 的行所在组不足 {k} 行；\
             知悉某企业真实取值者平均以 {risk:.2} 的概率找到它"
        ),
    }
}
