//! Exported models beside what PMML4S makes of them: `tests/oracle/pmml.py` scored `scorecard.pmml` and `forest.pmml` and
//! recorded it.

mod forest;

use serde::{Deserialize, Serialize};

use super::*;
use crate::contribution::logistic;
use crate::fit::Fit;
use crate::plan::{FieldSource, Plan};
use crate::request::FieldBins;
use crate::tests::{fit, names, plan, split, table, three_fields, values};
use crate::{FieldFit, FieldPlan};

const CARD: &str = include_str!("../../../../tests/oracle/pmml/scorecard.pmml");
const RECORDED: &str = include_str!("../../../../tests/oracle/pmml/scorecard.json");

#[derive(Serialize, Deserialize)]
struct Row {
    ratio: Option<f64>,
    amount: Option<f64>,
    industry: Option<String>,
    arrears: Option<f64>,
    platform_points: Option<f64>,
    #[serde(default)]
    score: f64,
    #[serde(default)]
    probability: f64,
    #[serde(default)]
    reasons: Vec<String>,
}

const INDUSTRIES: [&str; 3] = ["retail", "food & <drink>", "\"软件\""];

fn field(name: &str, bins: FieldBins, points: &[i64]) -> FieldFit {
    let zeros = vec![0; points.len()];
    FieldFit {
        name: name.into(),
        bins,
        good: zeros.clone(),
        bad: zeros,
        counted_in: (0..points.len()).collect(),
        woe: vec![0.0; points.len()],
        classes: (0..points.len() as u16).collect(),
        iv: 0.1,
        fine_iv: 0.1,
        coarse: None,
        eased: false,
        dropped: None,
        coefficient: Some(-0.5),
        standard_error: None,
        p_value: None,
        points: points.to_vec(),
    }
}

/// A fit with fields of every kind; its points are all different, so that reasons have no ties.
fn card() -> (Fit, Plan) {
    let mut fit = fit(&three_fields(), &split(&table(3000, 31), 3), |_| names(3));
    fit.base_points = 508;
    let arrears = FieldBins::of_number(vec![0.0, 30.0], &[-999.0, 12.0]);
    fit.fields = vec![
        field("ratio", FieldBins::Cuts(vec![-0.5, 0.1, 0.30000000000000004]), &[-3, 41, 17, -9, -31]),
        field("amount", FieldBins::Cuts(vec![1e5]), &[2, 12, -7]),
        field("industry", FieldBins::Codes(3), &[-2, 20, 4, -14]),
        field("arrears", arrears, &[1, 15, -6, -43, 7, -11]),
        FieldFit { coefficient: None, points: Vec::new(), ..field("dropped", FieldBins::Cuts(vec![1.0]), &[]) },
        field("court_cases", FieldBins::Codes(2), &[5, 9, -26]),
        field("tax_paid", FieldBins::Codes(2), &[-1, -8, 13]),
    ];
    let offered = |name: &str| FieldPlan::new(name, FieldSource::Codes { bins: 2 });
    let industry = FieldSource::Categories { values: INDUSTRIES.map(Into::into).to_vec() };
    let plan = plan(vec![
        values("ratio"),
        values("amount"),
        FieldPlan::new("industry", industry),
        FieldPlan { special: vec![-999.0, 12.0], ..values("arrears") },
        values("dropped"),
        offered("court_cases"),
        offered("tax_paid"),
    ]);
    (fit, plan)
}

/// Rows on, beside and between the cuts, with missing, special and unknown values.
fn rows() -> Vec<Row> {
    let ratios = [None, Some(-1e300), Some(-0.5), Some(0.1), Some(0.1 + 1e-16), Some(0.30000000000000004), Some(7.0)];
    let amounts = [None, Some(0.0), Some(100_000.0), Some(100_000.01)];
    let industries = [None, Some("retail"), Some("food & <drink>"), Some("\"软件\""), Some("unheard of")];
    let platform = [None, Some(22.0), Some(-34.0)];
    // Eleven values, so that each meets the others' in turn.
    let special = [-999.0, -998.5, -999.0f64.next_up(), -0.0, 1e-300, 12.0, 12.5, 30.0, 30.000001, 1e300];
    let arrears: Vec<_> = [None].into_iter().chain(special.map(Some)).collect();
    let mut rows = Vec::new();
    for ratio in ratios {
        for amount in amounts {
            for industry in industries {
                for platform_points in platform {
                    let industry = industry.map(Into::into);
                    let arrears = arrears[rows.len() % arrears.len()];
                    let (score, probability, reasons) = (0.0, 0.0, Vec::new());
                    rows.push(Row { ratio, amount, industry, arrears, platform_points, score, probability, reasons });
                }
            }
        }
    }
    rows
}

/// Points and points below the best, field by field.
fn own_score(fit: &Fit, row: &Row) -> (i64, Vec<(String, i64)>) {
    let number = |place: usize, value: Option<f64>| {
        let field = &fit.fields[place];
        (field.name.clone(), field.points(field.code(value.unwrap_or(f64::NAN))), field.best())
    };
    let code = INDUSTRIES.iter().position(|industry| row.industry.as_deref() == Some(industry)).map_or(0, |at| at + 1);
    let industry = &fit.fields[2];
    let platform: Vec<_> = fit.fields[5..].iter().collect();
    let missing: i64 = platform.iter().map(|field| field.points(0)).sum();
    let best: i64 = platform.iter().map(|field| field.best()).sum();
    let parts = [
        number(0, row.ratio),
        number(1, row.amount),
        ("industry".to_owned(), industry.points(u16::try_from(code).unwrap()), industry.best()),
        number(3, row.arrears),
        (PLATFORM_POINTS.to_owned(), row.platform_points.map_or(missing, |points| points as i64), best),
    ];
    let score = fit.base_points + parts.iter().map(|part| part.1).sum::<i64>();
    let mut below: Vec<_> = parts.into_iter().map(|(name, points, best)| (name, best - points)).collect();
    below.sort_by_key(|part| -part.1);
    (score, below)
}

#[test]
fn the_exported_card_is_the_one_that_was_scored() {
    let (fit, plan) = card();
    let exported = bank_half("joint scorecard", &fit, &plan, 0.0);
    if let Some(folder) = std::env::var_os("TALLYSTICK_PMML") {
        let folder = std::path::Path::new(&folder);
        std::fs::write(folder.join("scorecard.pmml"), &exported).unwrap();
        std::fs::write(folder.join("scorecard.rows.json"), serde_json::to_string(&rows()).unwrap()).unwrap();
    }
    assert_eq!(exported, CARD);
    assert!(!exported.contains("court_cases") && !exported.contains("tax_paid") && !exported.contains("dropped"));
}

#[test]
fn pmml4s_scores_alike() {
    let (fit, _) = card();
    let recorded: Vec<Row> = serde_json::from_str(RECORDED).unwrap();
    assert_eq!(recorded.len(), rows().len());
    for row in &recorded {
        let (score, below) = own_score(&fit, row);
        let shown = serde_json::to_string(row).unwrap();
        assert_eq!(row.score, score as f64, "{shown}");
        let probability = logistic((fit.offset - score as f64) / fit.factor);
        assert!((row.probability - probability).abs() < 1e-15, "{shown}: {probability}");
        // Reasons rank by points below the best where they differ; PMML4S repeats one where there is no further reason.
        for (place, (_, missed)) in below.iter().enumerate().take(4).filter(|(_, part)| part.1 > 0) {
            let named = below.iter().find(|part| part.0 == row.reasons[place]).unwrap();
            assert_eq!(named.1, *missed, "{shown}");
        }
    }
}

#[test]
fn whoever_knows_all_bins_exports_all() {
    let number = Input::Number { cuts: vec![0.5], special: Vec::new(), points: vec![1, 2, 3] };
    let all = [
        Characteristic { name: "a<b".into(), input: number, refuses_missing: false },
        Characteristic {
            name: "b".into(),
            input: Input::Number { cuts: Vec::new(), special: Vec::new(), points: vec![4, 5] },
            refuses_missing: true,
        },
    ];
    let card = scorecard("whole", 600, &all, None);
    assert_eq!(card.matches("missingValueTreatment=\"returnInvalid\"").count(), 1);
    assert!(
        card.contains("a&lt;b")
            && !card.contains("a<b")
            && !card.contains(PLATFORM_POINTS)
            && !card.contains(PROBABILITY)
    );
    assert!(card.contains("initialScore=\"600\"") && card.contains("partialScore=\"5\"><True></True>"));
}
