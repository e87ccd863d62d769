//! The model dossier: one self-contained page that a model committee reads, prints and files.
//!
//! [`render`] is a pure function: the same [`Dossier`] gives the same bytes. The page needs nothing else: no script, no font,
//! no network; plots are SVG, `@media print` sets A4. Every text that comes from outside passes through `markup`, which
//! escapes it; nothing else writes to the page.

mod chapters;
mod monitor;
mod plot;
mod statistics;
#[cfg(test)]
mod tests;
mod words;

use serde::{Deserialize, Serialize};
use tally_crypto::transcript::Digest;

pub use self::monitor::{MonitorPage, monitor_page};
pub use self::statistics::{StatisticsPage, statistics_page};
use self::words::Words;
pub(crate) use self::words::short;
use crate::learner::Fitted;
use crate::markup::{self, Markup};
use crate::metrics::ScoreCells;
use crate::points::Scale;
use crate::text::{Language, Text};

/// Everything that the page tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dossier {
    /// What the model is.
    pub title: Text,
    /// When the dossier was made, ISO 8601.
    pub prepared: String,
    /// Why the data may be used: code and words.
    pub purpose: Purpose,
    /// Name of the session.
    pub session: String,
    /// Digest of the contract that all parties signed.
    pub contract: Digest,
    /// The parties.
    pub parties: Vec<Party>,
    /// What each party bound itself to before anything was computed.
    pub commitments: Vec<Commitment>,
    /// Observation dates, outcome window, hold-out rule, exclusions.
    pub sample: Vec<Statement>,
    /// The fields, in the order of the fit.
    pub fields: Vec<FieldNote>,
    /// How log-odds become points.
    pub scaling: Scaling,
    /// Terms of the fit.
    pub parameters: Vec<Statement>,
    /// The fit with its validation.
    pub fit: Fitted,
    /// Caps and minimums of the contract, and what the model must not be used for.
    pub limits: Vec<Statement>,
    /// Who approved.
    pub approvals: Vec<Approval>,
    /// Programs and documents with their versions.
    pub versions: Vec<Statement>,
    /// What the bank-only model is; empty in older dossiers.
    #[serde(default)]
    pub baseline: Text,
    /// Figures of the bank that made the dossier, on its own rows; none at the platform.
    #[serde(default)]
    pub own: Vec<Statement>,
}

/// A purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purpose {
    /// Code.
    pub code: String,
    /// In words.
    pub words: Text,
}

/// A party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Name in the registry.
    pub name: String,
    /// Its part.
    pub role: Text,
    /// Key that signed the contract.
    pub key: String,
}

/// Data that a party is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commitment {
    /// The party.
    pub party: String,
    /// What is committed to.
    pub what: Text,
    /// Rows, where they may be told.
    pub rows: Option<u64>,
    /// The commitment.
    pub digest: Digest,
}

/// A named statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Name.
    pub name: Text,
    /// Statement.
    pub value: Text,
}

/// What people need to know of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldNote {
    /// Name in the plan.
    pub name: String,
    /// Name for people.
    pub title: Text,
    /// Who holds it.
    pub holder: Text,
    /// Level on the sharing list.
    pub level: String,
    /// Labels of code 1, 2, …; empty where the fit's cuts say it, or where they stay with their holder.
    pub labels: Vec<String>,
}

/// How log-odds become points.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// Points that double the odds.
    pub pdo: f64,
    /// Score at the base odds.
    pub base_score: f64,
    /// Good-to-bad odds at the base score.
    pub base_odds: f64,
}

/// An operator's approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The party.
    pub party: String,
    /// The operator.
    pub operator: String,
    /// When, ISO 8601.
    pub time: String,
    /// What was approved.
    pub what: Text,
    /// Digest of what was approved.
    pub digest: Digest,
}

/// The page, as HTML.
pub fn render(dossier: &Dossier, language: Language) -> String {
    let words = Words(language);
    page(words, words.of(&dossier.title), chapters::all(dossier, words))
}

/// A page in the dossier's style.
fn page(words: Words, title: &str, content: Vec<Markup>) -> String {
    markup::page(words.say("zh-CN", "en"), title, include_str!("style.css"), content)
}

impl Dossier {
    /// What is known of a field.
    fn note(&self, name: &str) -> Option<&FieldNote> {
        self.fields.iter().find(|note| note.name == name)
    }

    /// The score of log-odds of bad.
    fn score(&self, log_odds: f64) -> f64 {
        self.scale().score(log_odds)
    }

    fn scale(&self) -> Scale {
        Scale::new(self.scaling.pdo, self.scaling.base_score, self.scaling.base_odds)
    }

    /// Scores between which all but the outermost half hundredths of the rows lie, for the axis of a plot.
    fn score_range(&self, scores: &ScoreCells) -> (f64, f64) {
        let all: i64 = scores.groups.iter().map(|group| group.rows.rows()).sum();
        let mut below = 0;
        let mut middle = Vec::new();
        for (place, group) in scores.groups.iter().enumerate() {
            let above = all - below - group.rows.rows();
            below += group.rows.rows();
            if below * 200 >= all && (above + group.rows.rows()) * 200 >= all {
                middle.push(self.score(scores.middle(place)));
            }
        }
        let ends = middle
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |ends, score| (ends.0.min(*score), ends.1.max(*score)));
        if ends.0 < ends.1 { ends } else { (self.scaling.base_score - 50.0, self.scaling.base_score + 50.0) }
    }
}
