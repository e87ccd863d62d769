//! `tallystick score batch`: a file of applicants in, a file of scores out.
//!
//! The whole file is read before anything is written or asked, so that a file that is wrong leaves nothing behind. Rows go to the node a few hundred at a time, two orders under way at once. What is finished is kept beside the output; the
//! same command after a kill of this program or of either node goes on with it, and asks about no row twice.

mod applicants;
mod scores;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tally_data::CsvForm;
use tally_policy::Purpose;

use crate::control::{self, BatchApplicant, BatchOrder, Command};
use crate::failure::{self, Failure};
use applicants::Read;
pub(crate) use applicants::value;
use scores::{Line, Run, Scores};

/// Rows of one order.
const ORDER: usize = 256;

/// Orders under way.
const UNDER_WAY: usize = 2;

/// How long a node that is away, or its platform, is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pauses between two questions: the first, doubled each time, up to the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(10)];

/// A file to score.
pub(crate) struct Batch {
    pub(crate) node: PathBuf,
    pub(crate) input: PathBuf,
    pub(crate) form: CsvForm,
    pub(crate) output: PathBuf,
    pub(crate) purpose: Purpose,
    pub(crate) model: Option<String>,
    pub(crate) reasons: usize,
}

/// Rows on their way: those that the node is asked about, and those that were wrong already.
struct UnderWay {
    rows: Vec<(u64, Result<BatchApplicant, String>, String)>,
    answers: std::thread::JoinHandle<Result<Vec<Value>, Failure>>,
}

/// How many rows got what.
#[derive(Default)]
struct Tally {
    scored: u64,
    without: u64,
}

impl Batch {
    /// Scores the rows that are not finished yet.
    ///
    /// # Errors
    /// Names the file or the node that stops it; what is finished is kept.
    pub(crate) fn run(&self) -> Result<Value, Failure> {
        crate::given_file::not_the_input(&self.input, &scores::files(&self.output))?;
        let fields = self.fields()?;
        let count = applicants::check(&self.input, &self.form, &fields)?;
        let mut rows = applicants::open(&self.input, &self.form, &fields)?;
        let (mut scores, run) = Scores::begin(&self.output, self.new_run()?)?;
        let before = scores.done;
        for _ in 0..before {
            rows.next().map_err(failure::data)?;
        }
        let mut numbers = before..;
        let progress = progress();
        let (began, mut tally, mut under_way) = (Instant::now(), Tally::default(), VecDeque::new());
        loop {
            let part: Vec<_> =
                rows.take(ORDER)?.into_iter().map(|row| (numbers.next().unwrap_or_default(), row)).collect();
            let more = !part.is_empty();
            if more {
                under_way.push_back(self.send(&run, part));
            }
            while under_way.len() >= UNDER_WAY || (!more && !under_way.is_empty()) {
                let Some(part) = under_way.pop_front() else { break };
                let lines = finish(part, &mut tally)?;
                scores.keep(&lines)?;
                progress.inc(lines.len() as u64);
            }
            if !more {
                break;
            }
        }
        progress.finish_and_clear();
        if before + tally.scored + tally.without != count {
            let reason = "has other rows than when it was checked: leave it alone while it is scored";
            return Err(failure::data(format!("{}: {reason}", self.input.display())));
        }
        scores.finish()?;
        Ok(json!({
            "scored": tally.scored,
            "without_score": tally.without,
            "finished_before": before,
            "rows": count,
            "columns_ignored": rows.ignored,
            "fields_absent": rows.absent,
            "seconds": began.elapsed().as_secs_f64(),
            "output": self.output,
        }))
    }

    /// Names of the bank's fields of the model.
    fn fields(&self) -> Result<Vec<String>, Failure> {
        let order = Command::ScoreFields { model: self.model.clone() };
        let deadline = Instant::now() + PATIENCE;
        let [mut pause, longest] = PAUSES;
        let mut said = false;
        loop {
            match control::tell(&self.node, &order) {
                Err(failure) if failure.kind == failure::FailureKind::Unavailable && Instant::now() < deadline => {
                    if !std::mem::replace(&mut said, true) {
                        eprintln!("tallystick: {failure}; waiting for it for up to {} s", PATIENCE.as_secs());
                    }
                    std::thread::sleep(pause.min(deadline.saturating_duration_since(Instant::now())));
                    pause = longest.min(2 * pause);
                }
                told => return serde_json::from_value(told?).map_err(failure::internal),
            }
        }
    }

    fn new_run(&self) -> Result<Run, Failure> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(failure::internal)?;
        let cannot = |error: std::io::Error| failure::data(format!("{}: {error}", self.input.display()));
        let mut hasher = blake3::Hasher::new();
        std::io::copy(&mut std::fs::File::open(&self.input).map_err(cannot)?, &mut hasher).map_err(cannot)?;
        Ok(Run {
            batch: hex::encode(random),
            input: hasher.finalize().to_string(),
            purpose: self.purpose.to_string(),
            model: self.model.clone(),
            reasons: self.reasons,
        })
    }

    fn send(&self, run: &Run, part: Vec<(u64, Read)>) -> UnderWay {
        let rows: Vec<_> = part.into_iter().map(|(row, read)| (row, read.applicant, read.id)).collect();
        let known = rows.iter().filter_map(|(row, applicant, _)| Some((*row, applicant.as_ref().ok()?.clone())));
        let order = BatchOrder {
            batch: run.batch.clone(),
            model: self.model.clone(),
            purpose: self.purpose,
            reasons: self.reasons,
            rows: known.collect(),
        };
        let node = self.node.clone();
        UnderWay { rows, answers: std::thread::spawn(move || ask(&node, order)) }
    }
}

/// Asks until every row has its answer: a node or a platform that is away is waited for.
fn ask(node: &Path, mut order: BatchOrder) -> Result<Vec<Value>, Failure> {
    let mut answers = vec![Value::Null; order.rows.len()];
    let mut places: Vec<usize> = (0..answers.len()).collect();
    let deadline = Instant::now() + PATIENCE;
    let [mut pause, longest] = PAUSES;
    while !places.is_empty() {
        let told = control::tell(node, &Command::ScoreBatch(order.clone()));
        let told = match told {
            Err(failure) if failure.kind == failure::FailureKind::Unavailable && Instant::now() < deadline => None,
            told => Some(told?),
        };
        if let Some(told) = &told {
            let told = told.as_array().filter(|told| told.len() == places.len());
            let told = told.ok_or_else(|| failure::internal("the node answered for another number of rows"))?;
            places.iter().zip(told).for_each(|(place, answer)| answers[*place] = answer.clone());
        }
        let open = |place: &usize| answers[*place].is_null() || passes(&answers[*place]);
        let again: Vec<bool> = places.iter().map(open).collect();
        let mut keep = again.iter();
        places.retain(|_| *keep.next().unwrap_or(&false));
        let mut keep = again.iter();
        order.rows.retain(|_| *keep.next().unwrap_or(&false));
        if let Some(place) = places.first() {
            if Instant::now() >= deadline {
                let reason = answers[*place]["failed"]["message"].as_str().unwrap_or("no answer").to_owned();
                let text = format!("{reason}: what is finished is kept, the same command goes on with it");
                return Err(failure::retry(text));
            }
            std::thread::sleep(pause.min(deadline.saturating_duration_since(Instant::now())));
            pause = longest.min(2 * pause);
        }
    }
    Ok(answers)
}

/// A failure that is over sooner or later, and says nothing about the row.
fn passes(answer: &Value) -> bool {
    matches!(answer["failed"]["code"].as_str(), Some("peer-unreachable" | "timeout" | "overloaded" | "conflict"))
        || answer["failed"]["kind"] == "unavailable"
}

fn finish(part: UnderWay, tally: &mut Tally) -> Result<Vec<Line>, Failure> {
    let stopped = |_| failure::internal("the thread that asks the node has stopped");
    let mut answers = part.answers.join().map_err(stopped)??.into_iter();
    let line = |(_, applicant, id): (u64, Result<BatchApplicant, String>, String)| {
        let answer = match applicant {
            Ok(_) => answers.next().unwrap_or_default(),
            Err(reason) => json!({ "failed": { "code": "bad-row", "message": reason } }),
        };
        let scored = answer["ok"].is_object();
        *(if scored { &mut tally.scored } else { &mut tally.without }) += 1;
        line_of(id, &answer)
    };
    Ok(part.rows.into_iter().map(line).collect())
}

fn line_of(id: String, answer: &Value) -> Line {
    let (ok, failed) = (&answer["ok"], &answer["failed"]);
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let reasons = ok["reasons"].as_array().into_iter().flatten().filter_map(|reason| reason["field"].as_str());
    [
        id,
        text(&ok["score"]),
        text(&ok["probability"]),
        reasons.collect::<Vec<_>>().join(" "),
        text(&ok["model"]["digest"]),
        text(&ok["consent"]),
        text(&ok["valid_until"]),
        text(&ok["request_id"]),
        text(&failed["code"]),
        text(&failed["message"]),
    ]
}

fn progress() -> ProgressBar {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{pos} rows, {per_sec}, {elapsed}") {
        bar.set_style(style);
    }
    bar
}
