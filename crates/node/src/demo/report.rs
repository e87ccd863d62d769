//! What the demo prints: tables for people, one object for machines.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tally_model::text::Text;

use super::exact::ExactField;
use super::inputs::Inputs;
use super::oracle::Comparison;
use crate::cli::{Language, print, score_in_words};

/// Everything the demo found out.
pub(super) struct Report<'a> {
    pub(super) inputs: &'a Inputs,
    pub(super) language: Language,
    pub(super) titles: BTreeMap<String, Text>,
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
        let apart = self.comparison.exact.as_ref().is_some_and(|exact| !exact.differences.is_empty());
        self.comparison.identical && !apart && self.audit["verified"] == true && self.audit["reconciled"] == true
    }

    /// Prints the report.
    pub(super) fn print(&self, json: bool) {
        if json {
            print(&self.object().to_string());
        } else {
            self.tables();
        }
    }

    fn fit(&self) -> &Value {
        &self.results[0].1["fit"]
    }

    fn judged(&self) -> &Value {
        &self.results[0].1["judged"]
    }

    /// What each bank tells itself of its calibration.
    fn calibrations(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.results.iter().skip(1).map(|(name, value)| (name.as_str(), &value["calibration"]))
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
            .map(|(name, own)| {
                json!({
                    "name": name,
                    "rows": own["rows"],
                    "bank_only": own["bank_only"],
                    "linfa": own["linfa"],
                    "joint": own["joint"],
                    "within": own["within"],
                    "weight": own["weight"],
                    "withheld": own["withheld"],
                })
            })
            .collect();
        json!({
            "rows": rows,
            "identical_to_pooled": self.comparison.identical,
            "sums_compared": self.comparison.rounds,
            "by_sorting": self.by_sorting(),
            "baselines": self.judged()["baselines"],
            "within_banks": self.judged()["within_banks"],
            "warnings": self.judged()["warnings"],
            "bank_only": fit["bank_only"],
            "joint": fit["joint"],
            "calibration": self.calibrations().map(|(name, found)| json!({ "name": name, "calibration": found })).collect::<Vec<_>>(),
            "banks": banks,
            "scored": self.scores.len(),
            "applicants": self.scores,
            "audit": self.audit,
            "stages": self.stages.1,
            "nodes": self.nodes,
            "seconds": self.stages.0,
        })
    }

    /// The fit beside the one over cut points that are found by sorting.
    fn by_sorting(&self) -> Value {
        let Some(exact) = &self.comparison.exact else { return Value::Null };
        let field = |field: &ExactField| {
            let iv = field.iv.map(|[found, sorted]| json!({ "found": found, "sorted": sorted }));
            let [found, sorted] = field.largest;
            json!({ "name": field.name, "largest_bin": { "found": found, "sorted": sorted }, "fine_iv": iv })
        };
        json!({
            "auc": { "found": exact.auc[0], "sorted": exact.auc[1] },
            "fields": exact.fields.iter().map(field).collect::<Vec<_>>(),
            "differences": exact.differences,
        })
    }

    fn tables(&self) {
        print(&format!("Tallystick: {}", self.inputs.description));
        self.say("Parties and what each holds", "参与方与各自持有的数据");
        for (name, value) in &self.results {
            self.party(name, value);
        }
        if self.fit()["algorithm"] == "trees" {
            self.say("Gain of the splits on each field, and their number", "各字段的分裂增益与次数");
            self.gains();
        } else {
            self.say("Information values (IV)", "信息值 (IV)");
            self.information_values();
            self.say("Scorecard points (best and worst bin)", "评分卡分值（最优与最差分箱）");
            self.points();
        }
        self.say(
            "Uplift on hold-out rows: the joint model against each bank's own",
            "留出样本提升：联合模型 对 各银行自有模型",
        );
        self.uplift();
        self.say(
            "Calibration of each bank to its own book: mean PD over bad rate, hold-out rows (each bank is told its own only)",
            "各银行对本行样本的校准：平均违约概率 / 坏账率，留出样本（各银行只知本行数字）",
        );
        self.calibrated();
        self.warnings();
        self.say(
            "Applicants scored online: score, probability of default, reasons",
            "在线评分申请人：分数、违约概率、原因",
        );
        for score in &self.scores {
            print(&format!(
                "  {:<8} {}",
                score["bank"].as_str().unwrap_or_default(),
                score_in_words(score, self.language)
            ));
        }
        self.say("Proof", "证明");
        self.proof();
        self.say("Stages: seconds, bytes between the nodes", "各阶段：秒数、节点间字节数");
        self.stages();
    }

    fn word<'w>(&self, en: &'w str, zh: &'w str) -> &'w str {
        if self.language == Language::Zh { zh } else { en }
    }

    fn say(&self, en: &str, zh: &str) {
        print(&format!("\n{}", self.word(en, zh)));
    }

    fn title(&self, field: &str) -> &str {
        self.titles.get(field).map_or("", |title| self.word(&title.en, &title.zh))
    }

    fn party(&self, name: &str, value: &Value) {
        let (rows, consented) = (value["rows"].as_u64().unwrap_or(0), value["consented"].as_u64().unwrap_or(0));
        let share = 100.0 * consented as f64 / rows.max(1) as f64;
        let aligned = value["own"]["rows"]
            .as_u64()
            .map(|rows| format!(", {rows} {}", self.word("aligned", "行已对齐")))
            .unwrap_or_default();
        let (held, with) = (self.word("rows", "行"), self.word("with consent", "行有授权"));
        print(&format!("  {name:<10} {rows:>8} {held}, {consented:>8} {with} ({share:.0} %){aligned}"));
    }

    fn fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        let fields = self.fit()["fields"].as_array().into_iter().flatten();
        fields.map(|field| (field["name"].as_str().unwrap_or_default(), field))
    }

    fn information_values(&self) {
        for (name, field) in self.fields() {
            let iv = field["iv"].as_f64().unwrap_or(0.0);
            let bar = "█".repeat(((iv * 40.0).round() as usize).min(40));
            let dropped = if field["dropped"].is_null() { "" } else { self.word("(dropped)", "（剔除）") };
            print(&format!("  {name:<24} {iv:>7.4} {bar:<24} {} {dropped}", self.title(name)));
        }
    }

    fn gains(&self) {
        let gain = |field: &Value| field["gain"].as_f64().unwrap_or(0.0);
        let most = self.fields().map(|(_, field)| gain(field)).fold(f64::MIN_POSITIVE, f64::max);
        for (name, field) in self.fields() {
            let bar = "█".repeat((gain(field) / most * 20.0).round() as usize);
            let splits = field["splits"].as_u64().unwrap_or(0);
            print(&format!("  {name:<24} {:>9.2} {splits:>5} {bar:<20} {}", gain(field), self.title(name)));
        }
    }

    fn points(&self) {
        for (name, field) in self.fields() {
            let points: Vec<i64> = field["points"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
            if let (Some(best), Some(worst)) = (points.iter().max(), points.iter().min()) {
                print(&format!("  {name:<24} {best:>5} {worst:>5}  {}", self.title(name)));
            }
        }
    }

    fn uplift(&self) {
        let judged = self.judged();
        let within = &judged["within_banks"];
        let number = |value: &Value| value.as_f64().map_or("-".into(), |number| format!("{number:.4}"));
        let gap = |found: &Value| {
            let signed = |end: &Value| end.as_f64().map_or("-".into(), |number| format!("{number:+.4}"));
            let (low, high) = (signed(&found["difference"]["low"]), signed(&found["difference"]["high"]));
            format!("{} [{low}, {high}]", signed(&found["difference"]["value"]))
        };
        let line =
            |name: &str, own: &str, joint: &str, gained: &str| print(&format!("  {name}: {own} -> {joint}  {gained}"));
        match self.text(&within["withheld"]) {
            Some(why) => print(&format!("  {}: {why}", self.word("AUC within banks", "AUC（银行内）"))),
            None if within.is_object() => {
                let (own, joint) = (number(&within["bank_only"]["value"]), number(&within["joint"]["value"]));
                line(self.word("AUC within banks", "AUC（银行内）"), &own, &joint, &gap(within));
            }
            None => {}
        }
        let pooled = &judged["pooled"];
        let name = self.word(
            "AUC over pooled rows, which count the differences between banks",
            "AUC（合并样本，含银行之间的差异）",
        );
        match self.text(&pooled["joint"]["withheld"]).or_else(|| self.text(&pooled["bank_only"]["withheld"])) {
            Some(why) => print(&format!("  {name}: {why}")),
            None => {
                let (own, joint) = (number(&pooled["bank_only"]["auc"]), number(&pooled["joint"]["auc"]));
                line(name, &own, &joint, &gap(&judged["auc"]));
            }
        }
        for baseline in ["bank_only", "linfa"] {
            print(&format!("  {}", self.text(&judged["baselines"][baseline]).unwrap_or_default()));
        }
        let head = self.word(
            "                 rows  AUC linfa   AUC bank  AUC joint    KS bank   KS joint  Gini bank Gini joint",
            "                 行数  AUC linfa   AUC 自有   AUC 联合    KS 自有    KS 联合   Gini 自有  Gini 联合",
        );
        print(head);
        let row = |name: &str, rows: &Value, figures: [&Value; 3]| {
            let [linfa, own, joint] = figures;
            let pairs = ["auc", "ks", "gini"].iter().flat_map(|key| [&own[*key], &joint[*key]]);
            let figures: Vec<_> =
                std::iter::once(&linfa["auc"]).chain(pairs).map(|value| format!("{:>10}", number(value))).collect();
            print(&format!("  {name:<10} {rows:>8} {}", figures.join(" ")));
        };
        for (name, own) in self.banks() {
            row(name, &own["holdout"], [&own["linfa"], &own["bank_only"], &own["joint"]]);
            if let Some(why) = self.text(&own["withheld"]) {
                print(&format!("             {why}"));
            }
        }
        let fit = self.fit();
        row(self.word("pooled", "合并"), &fit["holdout_rows"], [&Value::Null, &fit["bank_only"], &fit["joint"]]);
    }

    fn calibrated(&self) {
        for (name, found) in self.calibrations() {
            let ratio = &found["holdout"]["over_bad_rate"];
            match (self.text(&found["withheld"]), ratio["before"].as_f64(), ratio["after"].as_f64()) {
                (Some(why), ..) => print(&format!("  {name:<10} {why}")),
                (None, Some(before), Some(after)) => print(&format!("  {name:<10} {before:>6.3} -> {after:.3}")),
                _ => print(&format!("  {name:<10} -")),
            }
        }
    }

    /// What is suspicious, and which fields lost rows to folding.
    fn warnings(&self) {
        let judged = self.judged();
        for warning in judged["warnings"].as_array().into_iter().flatten() {
            print(&format!("\n! {}", self.text(warning).unwrap_or_default()));
        }
        let fields = judged["fields"].as_array().into_iter().flatten();
        let folded = fields.filter_map(|field| {
            let share = field["folded"].as_f64().filter(|share| *share >= 0.1)?;
            Some(format!("{} ({:.0} %)", field["name"].as_str()?, 100.0 * share))
        });
        let folded: Vec<_> = folded.collect();
        if !folded.is_empty() {
            let what = self.word(
                "Counted together with neighbours, since too few banks stand behind a bin (share of the rows)",
                "因支撑银行过少而与相邻分箱合并计数（样本占比）",
            );
            print(&format!("\n{what}: {}", folded.join(", ")));
        }
    }

    /// A text in the reader's language.
    fn text<'v>(&self, text: &'v Value) -> Option<&'v str> {
        text[if self.language == Language::Zh { "zh" } else { "en" }].as_str()
    }

    fn proof(&self) {
        let sums = self.comparison.rounds;
        print(&match &self.comparison.difference {
            None if self.language == Language::Zh => format!("  联合训练与集中训练逐位相同（{sums} 个求和）"),
            None => format!("  the federated fit is the pooled fit, bit for bit ({sums} sums)"),
            Some(difference) => format!("  {} {difference}", self.word("DIFFERS:", "不一致：")),
        });
        self.cuts();
        let verdict = |holds: &Value, yes: &'static str, no: &'static str| if *holds == true { yes } else { no };
        let logs = self.results.len();
        let verified = verdict(
            &self.audit["verified"],
            self.word("verified", "验证通过"),
            self.word("NOT verified", "验证未通过"),
        );
        let agree =
            verdict(&self.audit["reconciled"], self.word("agree", "相互一致"), self.word("do NOT agree", "相互不一致"));
        print(&format!("  {logs} {}: {verified}, {agree}", self.word("logs", "份日志")));
        for finding in self.audit["findings"].as_array().into_iter().flatten() {
            print(&format!("    {}", finding.as_str().unwrap_or_default()));
        }
    }

    fn cuts(&self) {
        let Some(exact) = &self.comparison.exact else { return };
        let [found, sorted] = exact.auc.map(|auc| auc.map_or("-".into(), |auc| format!("{auc:.4}")));
        let auc = match self.language {
            Language::Zh => format!("  联合 AUC {found}；切点改由排序得出时为 {sorted}"),
            Language::En => format!("  joint AUC {found}; {sorted} with cut points by sorting"),
        };
        print(&auc);
        for difference in &exact.differences {
            print(&format!("  {} {difference}", self.word("DIFFERS from sorting:", "与排序不一致：")));
        }
    }

    fn stages(&self) {
        for stage in &self.stages.1 {
            let kib = stage["bytes"].as_f64().unwrap_or(0.0) / 1024.0;
            let name = stage["name"].as_str().unwrap_or_default();
            print(&format!("  {name:<10} {:>8.2} s {kib:>10.0} KiB", stage["seconds"].as_f64().unwrap_or(0.0)));
        }
        print(&format!("  {:<10} {:>8.2} s", self.word("in all", "合计"), self.stages.0));
        self.say("Nodes: peak memory, log entries", "节点：内存峰值、日志条目");
        for node in &self.nodes {
            let name = node["name"].as_str().unwrap_or_default();
            print(&format!("  {name:<10} {:>5} MiB {:>6}", node["peak_rss_mib"], node["log_entries"]));
        }
    }
}
