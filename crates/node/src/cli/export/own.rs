//! What a bank tells itself of its own rows in the dossier that it exports.

use serde_json::Value;
use tally_model::dossier::Statement;
use tally_model::text::Text;

/// Figures of the bank's own rows, of its models and of its calibration; none at the platform.
pub(super) fn statements(results: &Value) -> Vec<Statement> {
    let (own, calibration) = (&results["own"], &results["calibration"]);
    if own.is_null() {
        return Vec::new();
    }
    let mut stated = Vec::new();
    let mut say = |zh: &str, en: &str, value: String| {
        if !value.is_empty() {
            stated.push(Statement { name: Text::new(zh, en), value: Text::new(&value, &value) });
        }
    };
    let counted = |rows: &Value, bad: &Value| match (rows.as_i64(), bad.as_i64()) {
        (Some(rows), Some(bad)) => format!("{rows} / {bad}"),
        (Some(rows), None) => rows.to_string(),
        _ => String::new(),
    };
    let auc = |figures: &Value| figures["auc"].as_f64().map_or_else(String::new, |auc| format!("{auc:.4}"));
    say("样本数 / 其中坏样本", "Rows / of them bad", counted(&own["rows"], &own["bad"]));
    say("留出样本数 / 其中坏样本", "Hold-out rows / of them bad", counted(&own["holdout"], &own["holdout_bad"]));
    say("AUC：联合模型", "AUC, joint", auc(&own["joint"]));
    say("AUC：银行自有，与联合模型同类", "AUC, bank-only of the joint model's kind", auc(&own["bank_only"]));
    say("AUC：线性基准（linfa）", "AUC, linear baseline (linfa)", auc(&own["linfa"]));
    let gained = &own["within"]["difference"];
    if let (Some(value), Some(low), Some(high)) =
        (gained["value"].as_f64(), gained["low"].as_f64(), gained["high"].as_f64())
    {
        say("AUC 提升（95 %）", "AUC gained (95 %)", format!("{value:+.4} [{low:+.4}, {high:+.4}]"));
    }
    for (part, zh, en) in [("train", "建模样本", "training rows"), ("holdout", "留出样本", "hold-out rows")] {
        let ratio = &calibration[part]["over_bad_rate"];
        if let (Some(before), Some(after)) = (ratio["before"].as_f64(), ratio["after"].as_f64()) {
            let (zh, en) = (
                format!("平均违约概率 / 坏账率（{zh}，校准前 → 后）"),
                format!("Mean PD / bad rate ({en}, before → after calibration)"),
            );
            say(&zh, &en, format!("{before:.3} → {after:.3}"));
        }
    }
    if let Some(offset) = calibration["offset"].as_f64() {
        say("本行校准：对数几率平移", "This bank's calibration: added to the log-odds", format!("{offset:+.4}"));
        say("校准摘要", "Digest of the calibration", calibration["digest"].as_str().unwrap_or_default().into());
    }
    for (why, zh, en) in
        [(own, "本行自有模型", "This bank's own model"), (calibration, "本行校准", "This bank's calibration")]
    {
        if let Ok(text) = serde_json::from_value::<Text>(why["withheld"].clone()) {
            stated.push(Statement { name: Text::new(zh, en), value: text });
        }
    }
    stated
}
