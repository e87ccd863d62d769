use std::path::Path;

use serde_json::json;
use tally_data::CsvForm;

use super::applicants::{self, Read};
use super::scores::{Line, Run, Scores};
use crate::failure::{Failure, FailureKind};

fn run() -> Run {
    Run { batch: "00".into(), input: "digest".into(), purpose: "loan-underwriting".into(), model: None, reasons: 4 }
}

fn line(id: &str, score: &str, error: &str) -> Line {
    let probability = if score.is_empty() { "" } else { "0.25" };
    let code = if error.is_empty() { "" } else { "no-consent" };
    [id, score, probability, "age", "m", "c", "2027-01-01", "r", code, error].map(str::to_owned)
}

fn fields(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn all(path: &Path, names: &[&str]) -> Result<Vec<Read>, Failure> {
    applicants::open(path, &CsvForm::default(), &fields(names))?.take(1000)
}

#[test]
fn a_row_that_is_wrong_is_an_error_of_that_row() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.csv");
    std::fs::write(&file, "id,age,application,kind\n0012,3.50,77,01\nb,1\n,2,,x\n\"c\",,,x\n").unwrap();
    let rows = all(&file, &["age", "kind"]).unwrap();
    let first = rows[0].applicant.as_ref().unwrap();
    assert_eq!((first.id.as_str(), first.application.as_deref()), ("0012", Some("77")));
    assert_eq!(json!(first.fields), json!({ "age": "3.50", "kind": "01" }), "text stays as it is");
    assert!(rows[1].applicant.as_ref().unwrap_err().contains("2 values"));
    assert!(rows[2].applicant.as_ref().unwrap_err().contains("identifier"));
    assert_eq!(json!(rows[3].applicant.as_ref().unwrap().fields), json!({ "age": null, "kind": "x" }));
    assert_eq!(rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["0012", "b", "", "c"]);
    assert_eq!(applicants::check(&file, &CsvForm::default(), &fields(&["age", "kind"])).unwrap(), 4);
}

#[test]
fn a_file_that_is_wrong_is_no_error_of_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.csv");
    for (text, word) in [
        ("code,age\na,1\n", "`id`"),
        ("id,age,age\na,1,2\n", "twice"),
        ("id,ages\na,1\n", "its field `age` has no column"),
        ("id,age\na,1\n\"b,2\nc,3\n", "row 3"),
    ] {
        std::fs::write(&file, text).unwrap();
        let refused = applicants::check(&file, &CsvForm::default(), &fields(&["age"])).err().unwrap();
        assert_eq!(refused.kind, FailureKind::Data);
        assert!(refused.message.contains(word), "{refused}");
    }
    // Columns that nobody asks for are not read, and fields without a column are missing; both are told.
    std::fs::write(&file, b"id,age,memo\na,1,\xff\n").unwrap();
    let mut open = applicants::open(&file, &CsvForm::default(), &fields(&["age"])).unwrap();
    assert_eq!((open.take(9).unwrap().len(), &open.ignored[..]), (1, &["memo".to_owned()][..]));
    std::fs::write(&file, "id,age\na,1\n").unwrap();
    let open = applicants::open(&file, &CsvForm::default(), &fields(&["age", "term"])).unwrap();
    assert_eq!(open.absent, ["term"]);
}

#[test]
fn a_run_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.csv");
    let (mut scores, first) = Scores::begin(&output, run()).unwrap();
    scores.keep(&[line("a", "600", ""), line("b", "", "no\nconsent")]).unwrap();
    drop(scores);
    // A kill in the middle of a line.
    let partial = folder.path().join("out.csv.partial");
    let cut = std::fs::read_to_string(&partial).unwrap() + "c,61";
    std::fs::write(&partial, cut).unwrap();
    let (mut scores, again) = Scores::begin(&output, Run { batch: "ff".into(), ..run() }).unwrap();
    assert_eq!((scores.done, again), (2, first));
    let other = Scores::begin(&output, Run { input: "other".into(), ..run() });
    assert!(other.err().unwrap().message.contains("unfinished"));
    let more = Scores::begin(&output, Run { reasons: 5, ..run() });
    assert!(more.err().unwrap().message.contains("number of reasons"));
    scores.keep(&[line("c", "610", "")]).unwrap();
    scores.finish().unwrap();
    // A run that has finished nothing stands in nobody's way.
    let (scores, _) = Scores::begin(&folder.path().join("new.csv"), run()).unwrap();
    drop(scores);
    let (scores, _) = Scores::begin(&folder.path().join("new.csv"), Run { input: "other".into(), ..run() }).unwrap();
    assert_eq!(scores.done, 0);
    let text = std::fs::read_to_string(&output).unwrap();
    assert_eq!(text.lines().count(), 4);
    assert!(text.lines().nth(2).unwrap().starts_with("b,,,age"), "{text}");
    assert!(!partial.exists());
}

#[test]
fn parquet_holds_the_same_as_csv() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.parquet");
    let (mut scores, _) = Scores::begin(&output, run()).unwrap();
    scores.keep(&[line("0012", "600", ""), line("b", "", "no consent")]).unwrap();
    scores.finish().unwrap();
    // What was written is read as applicants: identifiers stay text, missing values stay missing.
    let rows = all(&output, &["score", "probability", "error"]).unwrap();
    let first = rows[0].applicant.as_ref().unwrap();
    assert_eq!(
        (first.id.as_str(), &first.fields["score"], &first.fields["probability"]),
        ("0012", &json!("600"), &json!("0.25"))
    );
    let second = rows[1].applicant.as_ref().unwrap();
    assert_eq!((&second.fields["score"], &second.fields["error"]), (&json!(null), &json!("no consent")));
    assert_eq!(rows.len(), 2);
}
