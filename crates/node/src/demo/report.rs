//! What the demo prints: tables for people, one object for machines.

use serde_json::{Value, json};

use super::inputs::Inputs;
use super::oracle::Comparison;
use crate::cli::{Language, print, score_in_words};

/// Everything the demo found out.
pub(super) struct Report<'a> {
    pub(super) inputs: &'a Inputs,
    pub(super) results: Vec<(String, Value)>,
    pub(super) comparison: Comparison,
    pub(super) scores: Vec<Value>,
    pub(super) nodes: Vec<Value>,
    pub(super) audit: Value,
    pub(super) stages: (f64, Vec<Value>),
}

impl Report<'_> {
    /// Everything that was checked holds.
    pub(super) fn holds(&self) -> bool {
        self.comparison.identical && self.audit["verified"] == true && self.audit["reconciled"] == true
    }

    /// Prints the report.
    pub(super) fn print(&self, language: Language, json: bool) {
        if json {
            print(&self.object().to_string());
        } else {
            self.tables(language);
        }
    }

    fn fit(&self) -> &Value {
        &self.results[0].1["fit"]
    }

    fn banks(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.results.iter().skip(1).map(|(name, value)| (name.as_str(), &value["own"]))
    }

    fn object(&self) -> Value {
        let fit = self.fit();
        let rows = json!({
            "platform": self.results[0].1["rows"],
            "banks": self.results.iter().skip(1).map(|(_, value)| &value["rows"]).collect::<Vec<_>>(),
            "aligned": self.banks().map(|(_, own)| &own["rows"]).collect::<Vec<_>>(),
        });
        let banks: Vec<_> = self
            .banks()
            .map(|(name, own)| json!({ "name": name, "rows": own["rows"], "bank_only": own["bank_only"], "joint": own["joint"] }))
            .collect();
        json!({
            "rows": rows,
            "identical_to_pooled": self.comparison.identical,
            "sums_compared": self.comparison.rounds,
            "bank_only": fit["bank_only"],
            "joint": fit["joint"],
            "banks": banks,
            "scored": self.scores.len(),
            "audit": self.audit,
            "stages": self.stages.1,
            "nodes": self.nodes,
            "seconds": self.stages.0,
        })
    }

    fn tables(&self, language: Language) {
        let zh = language == Language::Zh;
        let say = |en: &str, zh_text: &str| print(&format!("\n{}", if zh { zh_text } else { en }));
        print(&format!("Tallystick: {}", self.inputs.description));
        say("Parties and what each holds", "参与方与各自持有的数据");
        for (name, value) in &self.results {
            let aligned = value["own"]["rows"].as_u64().map(|rows| format!(", {rows} aligned")).unwrap_or_default();
            print(&format!("  {name:<10} {} rows, {} with consent{aligned}", value["rows"], value["consented"]));
        }
        say("Information values", "信息值 (IV)");
        self.information_values();
        say("Scorecard points (best and worst bin)", "评分卡分值（最优与最差分箱）");
        self.points();
        say(
            "Uplift on hold-out rows (bank-only by linfa, joint by federation)",
            "留出样本提升（银行单独建模 对 联合建模）",
        );
        self.uplift();
        say("Applicants scored online", "在线评分申请人");
        for score in &self.scores {
            print(&format!("  {:<8} {}", score["bank"].as_str().unwrap_or_default(), score_in_words(score, language)));
        }
        say("Proof", "证明");
        self.proof(zh);
        say("Stages", "各阶段");
        for stage in &self.stages.1 {
            let kib = stage["bytes"].as_f64().unwrap_or(0.0) / 1024.0;
            let name = stage["name"].as_str().unwrap_or_default();
            print(&format!("  {name:<10} {:>8.2} s {kib:>10.0} KiB", stage["seconds"].as_f64().unwrap_or(0.0)));
        }
        for node in &self.nodes {
            let name = node["name"].as_str().unwrap_or_default();
            print(&format!("  {name:<10} {:>8} MiB peak, {} log entries", node["peak_rss_mib"], node["log_entries"]));
        }
        print(&format!("  {:.1} s", self.stages.0));
    }

    fn information_values(&self) {
        for field in self.fit()["fields"].as_array().into_iter().flatten() {
            let name = field["name"].as_str().unwrap_or_default();
            let iv = field["iv"].as_f64().unwrap_or(0.0);
            let bar = "█".repeat(((iv * 40.0).round() as usize).min(40));
            let dropped = field["dropped"].as_str().map(|reason| format!("  ({reason})")).unwrap_or_default();
            print(&format!("  {name:<24} {iv:>7.4} {bar}{dropped}"));
        }
    }

    fn points(&self) {
        for field in self.fit()["fields"].as_array().into_iter().flatten() {
            let points: Vec<i64> = field["points"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
            if let (Some(best), Some(worst)) = (points.iter().max(), points.iter().min()) {
                print(&format!("  {:<24} {best:>5} {worst:>5}", field["name"].as_str().unwrap_or_default()));
            }
        }
    }

    fn uplift(&self) {
        print("                 rows    AUC bank  AUC joint    KS bank   KS joint  Gini bank Gini joint");
        let line = |name: &str, rows: &Value, own: &Value, joint: &Value| {
            let figure = |value: &Value| value.as_f64().map_or("-".into(), |number| format!("{number:.4}"));
            let figures: Vec<_> = ["auc", "ks", "gini"]
                .iter()
                .flat_map(|key| [figure(&own[*key]), figure(&joint[*key])])
                .map(|figure| format!("{figure:>10}"))
                .collect();
            print(&format!("  {name:<10} {rows:>8} {}", figures.join(" ")));
        };
        for (name, own) in self.banks() {
            line(name, &own["holdout"], &own["bank_only"], &own["joint"]);
        }
        let fit = self.fit();
        line("all", &fit["holdout_rows"], &fit["bank_only"], &fit["joint"]);
    }

    fn proof(&self, zh: bool) {
        let compared = match &self.comparison.difference {
            None if zh => format!("联合训练与集中训练逐位相同（{} 个求和）", self.comparison.rounds),
            None => format!("federated fit = pooled fit, bit for bit ({} sums)", self.comparison.rounds),
            Some(difference) => format!("DIFFERS: {difference}"),
        };
        print(&format!("  {compared}"));
        let audit = &self.audit;
        print(&format!("  audit: logs verified {}, cross-check {}", audit["verified"], audit["reconciled"]));
        for finding in audit["findings"].as_array().into_iter().flatten() {
            print(&format!("    {}", finding.as_str().unwrap_or_default()));
        }
    }
}
