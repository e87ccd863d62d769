//! The development sample as the fit's released sums have it.

use crate::fit::FieldFit;
use crate::learner::Fitted;
use crate::metrics::{Figures, ScoreCells};

use super::{Applicant, Month, month};

/// Bands of equally many development rows.
const BANDS: usize = 10;

/// The development sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Development {
    /// Rows that the model was fitted on, by log-odds of bad.
    scores: ScoreCells,
    /// First groups of the score bands, from the safest on.
    starts: Vec<usize>,
    /// Fields whose codes are known here.
    pub fields: Vec<DevelopmentField>,
    /// Mean points of the other party's fields.
    pub partial_mean: Option<f64>,
    /// Figures on the hold-out rows.
    pub figures: Option<Figures>,
}

/// One field.
#[derive(Clone, Debug, PartialEq)]
pub struct DevelopmentField {
    /// Name.
    pub name: String,
    /// For every code, the cell that it is compared in.
    cells: Vec<usize>,
    /// Rows of each cell.
    rows: Vec<i64>,
    /// Points of each cell; of scorecards, where all codes of a cell have the same.
    points: Option<Vec<i64>>,
}

impl Development {
    /// Of a fit; `known` says which of its fields' codes are known here. Fields that the model does not use are left out. Of
    /// scorecards the rows are those that it was fitted on, of trees, whose fit does not hold these, the hold-out rows.
    pub fn of(fit: &Fitted, known: impl Fn(&str) -> bool) -> Self {
        let validation = fit.validation();
        let scores = validation.joint_train.clone();
        let bands = scores.histogram().map(|histogram| histogram.bands(BANDS)).unwrap_or_default();
        let (fields, others) = match fit {
            Fitted::Scorecard(card) => {
                let used = card.fields.iter().filter(|field| field.coefficient.is_some());
                let (own, others): (Vec<_>, Vec<_>) = used.partition(|field| known(&field.name));
                let fields = own.into_iter().filter_map(DevelopmentField::of_card).collect();
                (fields, others.into_iter().map(mean_points).sum())
            }
            Fitted::Trees(fit) => {
                let used = fit.fields.iter().zip(&validation.fields).filter(|(field, _)| field.splits > 0);
                let own = used.filter(|(field, _)| known(&field.name)).filter_map(|(field, rows)| {
                    let all: Vec<_> = rows.rows.iter().map(|cell| cell.rows()).collect();
                    DevelopmentField::new(&field.name, &all, &rows.counted_in, None)
                });
                (own.collect(), None)
            }
            Fitted::Statistics(_) => (Vec::new(), None),
        };
        Self {
            starts: bands.iter().map(|band| band.cells.start).collect(),
            scores,
            fields,
            partial_mean: others,
            figures: fit.joint(),
        }
    }

    /// Bands of scores.
    pub(super) fn bands(&self) -> usize {
        self.starts.len()
    }

    /// The band of log-odds, from the safest.
    pub(super) fn band(&self, log_odds: f64) -> usize {
        let group = self.scores.group(log_odds);
        self.starts.partition_point(|start| *start <= group).saturating_sub(1)
    }

    /// Log-odds between which a band lies.
    pub(super) fn ends(&self, band: usize) -> (f64, f64) {
        let low = if band == 0 { f64::NEG_INFINITY } else { self.start_of(band) };
        let high = if band + 1 >= self.bands() { f64::INFINITY } else { self.start_of(band + 1) };
        (low, high)
    }

    fn start_of(&self, band: usize) -> f64 {
        self.starts.get(band).map_or(f64::INFINITY, |start| self.scores.ends(*start).0)
    }

    /// Development rows of each band.
    pub(super) fn rows(&self) -> Vec<i64> {
        let mut rows = vec![0; self.bands()];
        for (group, cells) in self.scores.groups.iter().enumerate() {
            if let Some(rows) = rows.get_mut(self.starts.partition_point(|start| *start <= group).saturating_sub(1)) {
                *rows += cells.rows.rows();
            }
        }
        rows
    }

    /// Stability of the scores of a month; `None` where no score is known.
    pub(super) fn scores_in(&self, name: &str, applicants: &[&Applicant]) -> Option<Month> {
        let mut actual = vec![0; self.bands()];
        for one in applicants.iter().filter(|one| !one.log_odds.is_nan()) {
            if let Some(rows) = actual.get_mut(self.band(one.log_odds)) {
                *rows += 1;
            }
        }
        actual.iter().any(|rows| *rows > 0).then(|| month(name, &self.rows(), &actual, None))
    }
}

impl DevelopmentField {
    /// From rows per code, each in the code that it is counted in; `None` where the field is withheld.
    fn new(name: &str, rows: &[i64], counted_in: &[usize], points: Option<&[i64]>) -> Option<Self> {
        let firsts: Vec<usize> = (0..rows.len()).filter(|code| counted_in.get(*code) == Some(code)).collect();
        let cell = |code: usize| firsts.partition_point(|first| *first <= code).checked_sub(1);
        let cells = (0..rows.len()).map(cell).collect::<Option<Vec<_>>>()?;
        let pick = |values: &[i64]| firsts.iter().filter_map(|first| values.get(*first).copied()).collect::<Vec<_>>();
        (!firsts.is_empty()).then(|| Self { name: name.into(), cells, rows: pick(rows), points: points.map(pick) })
    }

    fn of_card(field: &FieldFit) -> Option<Self> {
        let rows: Vec<_> = field.good.iter().zip(&field.bad).map(|(good, bad)| good + bad).collect();
        Self::new(&field.name, &rows, &field.counted_in, Some(&field.points))
    }

    /// Its stability in a month.
    pub(super) fn month(&self, name: &str, place: usize, applicants: &[&Applicant]) -> Month {
        let mut actual = vec![0; self.rows.len()];
        for code in applicants.iter().filter_map(|one| one.codes.get(place)) {
            // An unknown code counts as missing, as it does in the score.
            let cell = self.cells.get(usize::from(*code)).or(self.cells.first()).copied().unwrap_or(0);
            actual[cell] += 1;
        }
        month(name, &self.rows, &actual, self.points.as_deref())
    }
}

/// Mean points of the rows that a scorecard was fitted on; `None` where the field is withheld.
fn mean_points(field: &FieldFit) -> Option<f64> {
    let rows = field.good.iter().zip(&field.bad).map(|(good, bad)| (good + bad) as f64);
    let (sum, all) = rows
        .zip(&field.points)
        .fold((0.0, 0.0), |(sum, all), (rows, points)| (sum + rows * *points as f64, all + rows));
    (all > 0.0 && !field.counted_in.is_empty()).then(|| sum / all)
}
