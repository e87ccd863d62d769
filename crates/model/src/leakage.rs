//! Fields that know too much: what tells good loans from bad ones by itself may have been written down after the outcome.

use serde::Serialize;

use crate::learner::Fitted;
use crate::metrics::{Cell, from_cells};
use crate::text::Text;

/// From this AUC on, a field by itself is suspicious: of what is known when a loan is given, nothing is so good.
const SUSPICIOUS: f64 = 0.95;
/// With fewer rows of a kind, a field may seem so good by chance.
const LEAST: i64 = 10;

/// A field that tells good from bad by itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Leak {
    /// Name.
    pub field: String,
    /// AUC of the field alone, its codes in order of bad rate.
    pub auc: f64,
    /// No code has rows of both kinds.
    pub perfect: bool,
}

impl Leak {
    /// In words.
    pub fn words(&self) -> Text {
        let (field, auc) = (&self.field, self.auc);
        let (zh, en) = match self.perfect {
            true => ("把好坏样本完全分开", "tells good from bad loans without an error"),
            false => ("单独即可区分好坏样本", "tells good from bad loans by itself"),
        };
        Text::new(
            &format!("疑似信息泄漏：字段 {field} {zh}（AUC {auc:.3}），可能在结果发生之后才形成，使用前须核实"),
            &format!(
                "leakage? field {field} {en} (AUC {auc:.3}): it may have been known only after the outcome; check it before use"
            ),
        )
    }
}

impl Fitted {
    /// Fields that know too much, from the training rows of a scorecard and from the hold-out rows of trees.
    pub fn leaks(&self) -> Vec<Leak> {
        let leak = |field: &str, rows: &[Cell]| {
            let mut cells: Vec<Cell> = rows.iter().copied().filter(|cell| cell.rows() > 0).collect();
            let all = cells.iter().fold(Cell::default(), |sum, cell| sum.plus(*cell));
            if all.good.min(all.bad) < LEAST {
                return None;
            }
            cells.sort_by(|a, b| a.bad_rate().total_cmp(&b.bad_rate()));
            let auc = from_cells(cells.iter().map(|cell| (cell.good, cell.bad)))?.auc;
            let perfect = cells.iter().all(|cell| cell.good == 0 || cell.bad == 0);
            (auc >= SUSPICIOUS).then(|| Leak { field: field.into(), auc, perfect })
        };
        match self {
            Self::Scorecard(fit) => fit.fields.iter().filter_map(|field| leak(&field.name, &field.rows())).collect(),
            Self::Trees(fit) => {
                let rows = fit.validation.fields.iter().map(|field| &field.rows);
                fit.fields.iter().zip(rows).filter_map(|(field, rows)| leak(&field.name, rows)).collect()
            }
            Self::Statistics(_) => Vec::new(),
        }
    }
}
