//! Public data, beside the recorded figures of XGBoost on the joined table.

use super::*;
use crate::metrics;
use crate::tests::split;

#[test]
fn public_data_reach_the_joined_reference() {
    for (name, reference) in [("taiwan_default_credit", 0.7884), ("polish_bankruptcy_5year", 0.9416)] {
        let Some(folder) = data(name) else { return };
        let (ids, columns, label) = read(&folder.join("joined.csv"));
        let plan = plan(columns.keys().map(|name| field(name, FieldSource::Values)).collect());
        let table = Table {
            columns: columns.into_values().map(Column::Values).collect(),
            holdout: ids.iter().map(|id| is_holdout(id)).collect(),
            hashes: ids.iter().map(|id| row_hash(id)).collect(),
            baseline: vec![0.0; ids.len()],
            label,
            ..Table::default()
        };
        let one = fit(&plan, &split(&table, 1), 1);
        let exact = exact_auc(&one, &table);
        eprintln!(
            "{name}: {:.4} by cells, {exact:.4} exact, reference {reference}, {} sums",
            one.joint.unwrap().auc,
            one.rounds.len()
        );
        assert!((exact - reference).abs() < 0.005);
        assert!((one.joint.unwrap().auc - reference).abs() < 0.005);
        let three = fit(&plan, &split(&table, 3), 1);
        assert_eq!(one.forest, three.forest);
        assert_eq!(one.joint, three.joint);
        let released = fit(&plan, &split(&table, 3), 3).joint.unwrap().auc;
        eprintln!("{name}: {released:.4} with three banks behind every cell");
        assert!(released > reference - 0.005);
    }
}

fn exact_auc(fit: &BoostedFit, table: &Table) -> f64 {
    let log_odds = fit.log_odds(table).unwrap();
    let rows: Vec<_> = (0..table.rows()).filter(|&row| table.holdout[row]).collect();
    let scores: Vec<_> = rows.iter().map(|&row| log_odds[row]).collect();
    let labels: Vec<_> = rows.iter().map(|&row| table.label[row]).collect();
    metrics::exact(&scores, &labels).unwrap().auc
}
