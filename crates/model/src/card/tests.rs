use super::*;
use crate::tests::{fit, names, plan, split, table};
use crate::{CoarsePlan, FieldPlan, FieldSource, ReasonBasis, Trend};

#[test]
fn classes_are_named_by_their_values() {
    let cuts = FieldBins::Special { cuts: vec![1.0, 2.5, 4.0], special: vec![-999.0, -1.0] };
    let numbers = Meaning::Numbers(cuts);
    let english = |meaning: &Meaning, codes: &[usize]| meaning.label(codes).en;
    assert_eq!(english(&numbers, &[0]), "missing");
    assert_eq!(english(&numbers, &[1]), "<= 1");
    assert_eq!(english(&numbers, &[2, 3]), "(1, 4]");
    assert_eq!(english(&numbers, &[0, 1, 2, 3, 4]), "missing; all values");
    assert_eq!(english(&numbers, &[4, 5]), "> 4; special value -999");
    assert_eq!(english(&numbers, &[6]), "special value -1");
    let values = Meaning::Values(["a", "b", "c"].map(Into::into).to_vec());
    assert_eq!(english(&values, &[1, 3]), "a, c");
    assert_eq!(values.label(&[0, 2]).zh, "缺失；b");
    assert_eq!(english(&Meaning::Unknown, &[1, 2, 4]), "bins 1 to 2; bin 4");
}

#[test]
fn the_table_adds_up_and_is_safe_in_a_spreadsheet() {
    let mut plan = plan(vec![
        FieldPlan::new("a", FieldSource::Values),
        FieldPlan::new("=b,c", FieldSource::Values),
        FieldPlan::new("c", FieldSource::Codes { bins: 3 }),
    ]);
    plan.coarse =
        Some(CoarsePlan { max_classes: 4, min_share: 0.05, min_good: 5, min_bad: 5, trend: Trend::Auto, eases: false });
    let fit = fit(&plan, &split(&table(3000, 8), 3), |_| names(3));
    let rows = fit.card(|field| Meaning::Numbers(field.bins.clone()));
    for field in &fit.fields {
        let own: Vec<_> = rows.iter().filter(|row| row.field == field.name).collect();
        assert!(own.len() <= 5, "four classes and the missing one");
        assert_eq!(own.iter().map(|row| row.good + row.bad).sum::<i64>(), fit.train_rows);
        assert!((own.iter().map(|row| row.share).sum::<f64>() - 1.0).abs() < 1e-12);
        let ordered: Vec<_> = own.iter().skip(1).map(|row| row.woe).collect();
        assert!(ordered.is_sorted() || ordered.is_sorted_by(|a, b| a >= b), "{ordered:?}");
        assert!(own.iter().all(|row| row.points.is_some() == field.coefficient.is_some()));
    }
    let csv = card_csv(&rows);
    assert_eq!(csv.lines().count(), rows.len() + 1);
    assert!(csv.contains("\"'=b,c\",1,"));
}

#[test]
fn points_are_lost_against_the_best_or_the_mean() {
    let plan = plan(vec![FieldPlan::new("c", FieldSource::Codes { bins: 3 })]);
    let mut table = table(3000, 9);
    table.columns.drain(..2);
    let fit = fit(&plan, &split(&table, 1), |_| names(1));
    let field = &fit.fields[0];
    let best = *field.points.iter().max().unwrap();
    let rows: Vec<_> = field.good.iter().zip(&field.bad).map(|(good, bad)| good + bad).collect();
    let sum: i64 = rows.iter().zip(&field.points).map(|(rows, points)| rows * points).sum();
    let mean = (sum as f64 / rows.iter().sum::<i64>() as f64).round_ties_even() as i64;
    for code in 0..4 {
        assert_eq!(field.points_lost(code, ReasonBasis::Maximum), best - field.points(code));
        assert_eq!(field.points_lost(code, ReasonBasis::Mean), mean - field.points(code));
    }
    assert_eq!(
        field.points_lost(99, ReasonBasis::Maximum),
        best - field.points(0),
        "an unknown code counts as missing"
    );
}
