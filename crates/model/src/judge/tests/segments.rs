//! Segments and the lines of the KS, beside the same figures taken from the rows.

use std::collections::BTreeMap;

use super::{Row, holdout};
use crate::judge::Judging;
use crate::metrics::{Cell, ScoreCells, exact};
use crate::tests::{fit, fit_released, names, split, table, three_fields};
use crate::{FieldRows, Plan, SegmentField, SegmentPlan, SegmentRows, Table};

fn segmented(fields: &[(usize, bool, bool)]) -> Plan {
    let segment = |&(field, ordered, fitted): &(usize, bool, bool)| SegmentPlan { field, ordered, fitted };
    Plan { judging: Judging { segments: fields.iter().map(segment).collect(), ..Judging::default() }, ..three_fields() }
}

/// Good and bad rows per group of a score, of the rows in one segment.
fn counted(cells: &ScoreCells, rows: &[&Row], score: impl Fn(&Row) -> f64) -> Vec<Cell> {
    let mut counts = vec![Cell::default(); cells.groups.len()];
    for row in rows {
        let cell = cells.grid.cell(score(row)) as u32;
        let group = cells.groups.iter().position(|group| (group.first..=group.last).contains(&cell)).unwrap();
        counts[group] = counts[group].plus(Cell { good: i64::from(!row.bad), bad: i64::from(row.bad) });
    }
    counts
}

fn check(found: &SegmentRows, rows: &[Row], code: impl Fn(&Row) -> usize) {
    for (segment, (joint, bank_only)) in found.joint.iter().zip(&found.bank_only).enumerate() {
        let own: Vec<_> = rows.iter().filter(|row| usize::from(found.segments[code(row)]) == segment).collect();
        let groups = |cells: &ScoreCells| cells.groups.iter().map(|group| group.rows).collect::<Vec<_>>();
        assert_eq!(groups(joint), counted(joint, &own, |row| row.joint));
        assert_eq!(groups(bank_only), counted(bank_only, &own, |row| row.bank_only));
    }
}

#[test]
fn segments_hold_the_rows_of_their_codes() {
    let tables = split(&table(6000, 21), 3);
    let fit = fit_released(&segmented(&[(2, false, true), (0, true, true)]), &tables, 2, |_| names(3));
    let rows = holdout(&fit, &tables);
    let [by_code, by_number] = &fit.validation.segments[..] else { panic!("two fields") };
    assert_eq!(by_code.segments, [0, 1, 2, 3]);
    check(by_code, &rows, |row| usize::from(row.code));
    assert_eq!(by_number.segments.iter().max(), Some(&5), "missing, and fifths: {:?}", by_number.segments);
    check(by_number, &rows, |row| usize::from(fit.fields[0].code(row.number)));

    let named: Vec<_> = ["missing", "x", "y", "z"].map(String::from).to_vec();
    let figures = by_code.figures(&named);
    assert_eq!(figures.len(), 4);
    for (segment, [joint, bank_only]) in figures.iter().enumerate() {
        assert_eq!(joint.name, named[segment]);
        let own: Vec<_> = rows.iter().filter(|row| usize::from(row.code) == segment).collect();
        let labels: Vec<_> = own.iter().map(|row| u8::from(row.bad)).collect();
        let of = |score: &dyn Fn(&Row) -> f64| {
            exact(&own.iter().map(|row| score(row)).collect::<Vec<_>>(), &labels).unwrap()
        };
        let (joint, bank_only) = (joint.evaluation.unwrap(), bank_only.evaluation.unwrap());
        assert_eq!(joint.rows.rows() as usize, own.len());
        // What the groups hide is the order of rows within one.
        let groups = by_code.joint[segment].groups.len();
        assert!(groups > 20, "{groups}");
        assert!((joint.auc.value - of(&|row| row.joint).auc).abs() < 0.02);
        assert!((bank_only.auc.value - of(&|row| row.bank_only).auc).abs() < 0.02);
    }
}

#[test]
fn a_field_for_segments_only_is_in_no_model() {
    let tables = split(&table(4000, 22), 3);
    let apart = fit(&segmented(&[(0, true, false)]), &tables, |_| names(3));
    assert_eq!(apart.fields[0].dropped, Some(crate::DropReason::Apart));
    assert!(apart.fields[0].coefficient.is_none() && apart.fields[1].coefficient.is_some());
    assert_eq!(apart.validation.segments.len(), 1);
    let with = fit(&three_fields(), &tables, |_| names(3));
    // The banks' own models do without it, too.
    assert_ne!(apart.validation.bank_only, with.validation.bank_only);
    let rows = holdout(&apart, &tables);
    check(&apart.validation.segments[0], &rows, |row| usize::from(apart.fields[0].code(row.number)));
    let mut plan = segmented(&[(0, true, false), (1, true, false), (2, false, false)]);
    assert!(plan.check().unwrap_err().to_string().contains("left to fit"));
    plan.judging.segments.truncate(1);
    plan.judging.segments[0].field = 3;
    assert!(plan.check().is_err());
}

#[test]
fn a_segment_of_few_banks_is_withheld_with_its_field_and_nothing_else_is() {
    // Whoever has the third value has it at one bank only; the code before it is counted with it.
    let mut tables = split(&table(6000, 23), 3);
    for (bank, table) in tables.iter_mut() {
        let crate::Column::Codes(codes) = &mut table.columns[2] else { unreachable!() };
        if bank != "bank-1" {
            codes.iter_mut().filter(|code| **code == 3).for_each(|code| *code = 1);
        }
    }
    let plan = segmented(&[(2, false, true), (0, true, true)]);
    let fit = fit_released(&plan, &tables, 3, |_| names(3));
    let [by_code, by_number] = &fit.validation.segments[..] else { panic!("two fields") };
    assert_eq!(by_code.segments, [0, 1, 2, 2]);
    assert!(!by_code.joint.is_empty() && !by_number.joint.is_empty());
    // So few rows that no cell has two segments of all banks.
    let few = split(&table(100, 24), 3);
    // With the coarser bins of the search before.
    let plan = crate::Plan { search: crate::CutSearch::Dyadic, ..plan };
    let fit = fit_released(&plan, &few, 3, |_| names(3));
    let [by_code, _] = &fit.validation.segments[..] else { panic!("two fields") };
    assert!(by_code.joint.is_empty() && by_code.figures(&["a".into()]).is_empty());
    assert!(fit.joint.is_some());
}

#[test]
fn a_bank_that_leaves_before_the_segments_leaves_none() {
    let tables = split(&table(6000, 25), 4);
    let plan = segmented(&[(2, false, true)]);
    let whole = fit(&plan, &tables, |_| names(4));
    let swap = whole.rounds.len() - 2;
    let left = fit(&plan, &tables, |round| names(if round >= swap { 3 } else { 4 }));
    assert_eq!(left.rounds.len(), whole.rounds.len() - 1);
    assert!(left.validation.segments.is_empty() && !whole.validation.segments.is_empty());
    let later = fit(&plan, &tables, |round| names(if round > swap { 3 } else { 4 }));
    assert!(later.rounds.len() == whole.rounds.len() && later.validation.segments.is_empty());
}

#[test]
fn codes_with_few_rows_are_taken_together() {
    let rows = |counts: &[i64], counted_in: &[usize]| FieldRows {
        rows: counts.iter().map(|&good| Cell { good, bad: 0 }).collect(),
        counted_in: counted_in.to_vec(),
    };
    let of = |ordered: bool, counts: &[i64], counted_in: &[usize]| {
        let plan = SegmentPlan { field: 0, ordered, fitted: true };
        let bins = crate::FieldBins::Codes(counts.len() as u16 - 1);
        SegmentField::new(plan, &bins, &rows(counts, counted_in)).map(|field| field.segments)
    };
    let all: Vec<usize> = (0..20).collect();
    assert_eq!(of(false, &[100, 5, 100, 5], &all[..4]), Some(vec![0, 1, 2, 1]));
    assert_eq!(of(false, &[100, 1, 90, 1], &all[..4]), Some(vec![0, 1, 1, 1]));
    assert_eq!(of(false, &[100, 100, 0, 50], &[0, 1, 1, 3]), Some(vec![0, 1, 1, 2]));
    assert_eq!(of(false, &[0; 4], &[]), None);
    let many: Vec<i64> = (0..20).map(|code| 100 + code).collect();
    let segments = of(false, &many, &all).unwrap();
    assert_eq!((segments.iter().max(), segments[0], segments[8], segments[9]), (Some(&11), 0, 0, 1));
    assert_eq!(of(true, &[10; 11], &all[..11]), Some(vec![0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]));
    assert_eq!(of(true, &[0, 10, 10, 10, 10], &all[..5]), Some(vec![0, 0, 1, 2, 3]));
    assert_eq!(of(true, &[20, 0, 10, 10, 10], &[0, 0, 2, 3, 4]).map(|segments| segments[0] == segments[1]), Some(true));
}

#[test]
fn segments_are_named_by_what_their_codes_stand_for() {
    use crate::FieldBins;
    use crate::text::Language;
    let rows =
        |segments: &[u16]| SegmentRows { segments: segments.to_vec(), ..SegmentRows::withheld(0, FieldBins::Codes(0)) };
    let names = |segments: &[u16], bins: &FieldBins, values: &[&str]| {
        let values: Vec<_> = values.iter().map(ToString::to_string).collect();
        rows(segments).names(&values, bins, Language::En)
    };
    let cuts = FieldBins::Special { cuts: vec![1.0, 2.5, 9.0], special: vec![-1.0] };
    assert_eq!(names(&[0, 1, 1, 2, 2, 2], &cuts, &[]), ["missing", "≤ 2.5", "> 2.5, = −1"]);
    assert_eq!(names(&[0, 0, 1, 1, 2, 2], &cuts, &[]), ["missing, ≤ 1", "(1, 9]", "> 9, = −1"]);
    assert_eq!(names(&[0, 1, 0], &FieldBins::Codes(2), &["north", "south"]), ["missing, south", "north"]);
    assert_eq!(names(&[0, 1, 1], &FieldBins::Codes(2), &["north", "south"]), ["missing", "north, south"]);
    assert_eq!(names(&[0, 1, 1, 2], &FieldBins::Codes(3), &[]), ["missing", "bins 1–2", "bin 3"]);
    assert_eq!(rows(&[0, 1]).names(&[], &FieldBins::Codes(1), Language::Zh), ["缺失", "分箱 1"]);
}

/// Rows below both cells of the KS.
fn below(rows: &[Row], joint: &ScoreCells, bank_only: &ScoreCells) -> [(f64, f64); 2] {
    let upto = |cells: &ScoreCells| cells.groups[cells.histogram().unwrap().ks().cell].last as usize;
    let (first, second) = (upto(joint), upto(bank_only));
    [false, true].map(|bad| {
        let of: Vec<f64> = rows
            .iter()
            .filter(|row| row.bad == bad)
            .map(|row| {
                let one = joint.grid.cell(row.joint) <= first;
                let other = bank_only.grid.cell(row.bank_only) <= second;
                f64::from(u8::from(one)) - f64::from(u8::from(other))
            })
            .collect();
        let rows = of.len() as f64;
        let mean = of.iter().sum::<f64>() / rows;
        (mean, of.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / rows / rows)
    })
}

#[test]
fn the_difference_of_the_ks_has_the_interval_of_the_rows() {
    let tables = split(&table(4000, 26), 3);
    let fit = fit(&three_fields(), &tables, |_| names(3));
    let validation = &fit.validation;
    let [good, bad] = below(&holdout(&fit, &tables), &validation.joint, &validation.bank_only);
    let found = validation.ks_difference().unwrap();
    assert!(found.counted);
    let half = |estimate: crate::metrics::Estimate| (estimate.high - estimate.low) / 2.0;
    let error = (good.1 + bad.1).sqrt();
    assert!((found.difference.value - (good.0 - bad.0)).abs() < 1e-12);
    assert!((half(found.difference) / 1.959_963_984_540_054 - error).abs() < 1e-12);
    assert!((found.first - found.second - found.difference.value).abs() < 1e-15);

    // Without the count the interval is wider, with the swap set less so.
    let mut bounded = validation.clone();
    bounded.approved_at_ks = None;
    let by_swap = bounded.ks_difference().unwrap();
    bounded.swap = None;
    let by_margins = bounded.ks_difference().unwrap();
    assert!(!by_swap.counted && !by_margins.counted);
    assert!(half(found.difference) <= half(by_swap.difference));
    assert!(half(by_swap.difference) <= half(by_margins.difference));
    assert!(by_margins.p_value >= by_swap.p_value && by_swap.p_value >= found.p_value);
}

#[test]
fn the_lines_of_the_ks_are_left_out_where_a_cell_between_them_has_few_banks() {
    let asked = |tables: &BTreeMap<String, Table>, least: u32| {
        fit_released(&three_fields(), tables, least, |_| names(tables.len())).validation
    };
    let (mut left_out, mut shown) = (0, 0);
    for seed in 30..40 {
        let validation = asked(&split(&table(700, seed), 3), 3);
        match (validation.swap, validation.approved_at_ks) {
            (None, Some(_)) => panic!("a table without its margins"),
            (Some(_), None) => left_out += 1,
            _ => {}
        }
        // Where folding has emptied the figures of one of the models there is no difference either.
        if let Some(found) = validation.ks_difference() {
            assert_eq!(found.counted, validation.approved_at_ks.is_some());
            shown += 1;
        }
    }
    assert!(left_out > 0 && shown > 0);
}

#[test]
fn the_approval_is_that_of_the_plan() {
    let tables = split(&table(4000, 27), 3);
    let of = |approval: f64| {
        let judging = Judging { approval, ..Judging::default() };
        fit(&Plan { judging, ..three_fields() }, &tables, |_| names(3)).validation.swap.unwrap().approval().0
    };
    assert!((of(0.6) - 0.6).abs() < 0.02 && (of(0.9) - 0.9).abs() < 0.02);
    for approval in [0.0, 1.0, f64::NAN] {
        let judging = Judging { approval, ..Judging::default() };
        assert!(Plan { judging, ..three_fields() }.check().is_err());
    }
}

/// Public data among three banks, cells of all three only: every segment has figures under both models, near those of the rows.
#[test]
fn segments_of_public_data() {
    let Some(folder) = crate::tests::data("taiwan_default_credit") else { return };
    let (ids, columns, label) = crate::tests::read(&folder.join("joined.csv"));
    let fields = columns.keys().map(|name| crate::tests::values(name)).collect();
    let place = |wanted: &str| columns.keys().position(|name| name == wanted).unwrap();
    let segment = |(name, ordered): (&str, bool)| SegmentPlan { field: place(name), ordered, fitted: true };
    let mut plan = crate::tests::plan(fields);
    plan.judging.segments =
        [("SEX", false), ("EDUCATION", false), ("AGE", true), ("LIMIT_BAL", true)].map(segment).to_vec();
    let table = Table {
        columns: columns.clone().into_values().map(crate::Column::Values).collect(),
        label,
        holdout: ids.iter().map(|id| crate::is_holdout(id)).collect(),
        ..Table::default()
    };
    let tables = split(&table, 3);
    let fit = fit_released(&plan, &tables, 3, |_| names(3));
    let mut shown = 0;
    for rows in &fit.validation.segments {
        let names = rows.names(&[], &rows.bins, crate::text::Language::En);
        let scored = scored_segments(&fit, &plan, &tables, rows);
        for pair in rows.figures(&names) {
            let segment = names.iter().position(|name| *name == pair[0].name).unwrap();
            let labels: Vec<_> = scored[segment].iter().map(|row| row.1).collect();
            for (model, found) in pair.iter().enumerate().filter(|(_, found)| found.evaluation.is_some()) {
                let auc = found.evaluation.unwrap().auc.value;
                let exact =
                    exact(&scored[segment].iter().map(|row| row.0[model]).collect::<Vec<_>>(), &labels).unwrap();
                assert!((auc - exact.auc).abs() <= found.open + 1e-12, "{}: {auc} {exact:?}", found.name);
                shown += 1;
            }
            assert_eq!(pair[0].rows.rows() as usize, labels.len());
        }
    }
    eprintln!("{shown} figures of segments, KS {:?}", fit.validation.ks_difference().unwrap());
    assert!(shown >= 24, "{shown}");
}

/// Per segment, both scores and the label of its hold-out rows.
fn scored_segments(
    fit: &crate::Fit,
    plan: &Plan,
    tables: &BTreeMap<String, Table>,
    rows: &SegmentRows,
) -> Vec<Vec<([f64; 2], u8)>> {
    let mut found = vec![Vec::new(); rows.joint.len()];
    for table in tables.values() {
        let joint = crate::Scorecard::new(fit).log_odds(table).unwrap();
        let own = crate::bank_only(plan, table).unwrap();
        let crate::Column::Values(numbers) = &table.columns[rows.field] else { unreachable!() };
        for row in (0..table.rows()).filter(|&row| table.holdout[row]) {
            let segment = rows.segments[usize::from(rows.bins.code(numbers[row]))];
            found[usize::from(segment)].push(([joint[row], own[row]], table.label[row]));
        }
    }
    found
}
