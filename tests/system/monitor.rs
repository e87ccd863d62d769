//! A model in use, watched: from scores and outcomes to the report.

use serde_json::{Value, json};

use crate::left::Left;
use crate::program::{done, error_of, run, text};

const SEED: u64 = 29;
const ENTERPRISES: usize = 1200;

#[test]
fn a_model_in_use_is_watched_at_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let left = Left::of_demo(folder.path(), SEED, ENTERPRISES);
    let (bank, platform) = (left.directory("bank-1"), left.directory("platform"));
    let report = |node: &std::path::Path| done(&["monitor", "report", "--node", text(node)]);
    // Before anybody was scored with a request of one's own: the demo's scores, no outcomes.
    let before = report(&bank)["report"]["applicants"].as_i64().unwrap();

    let file = std::fs::read_to_string(left.root.join("inputs/bank-1.csv")).unwrap();
    let mut lines = file.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let mut outcomes = "application,id,granted,amount,rate,start,state,as_of,request\n".to_owned();
    let mut scored = 0;
    for (place, row) in lines.enumerate().take(90) {
        let value = |text: &str| text.parse::<f64>().map_or_else(|_| json!(text), |number| json!(number));
        let fields = header.iter().zip(&row).skip(1).filter(|(name, text)| **name != "y" && !text.is_empty());
        let fields: serde_json::Map<_, _> = fields.map(|(name, text)| ((*name).to_owned(), value(text))).collect();
        let application = format!("a-{place}");
        let order =
            json!({ "id": row[0], "purpose": "loan-underwriting", "fields": fields, "application": application });
        let request = left.root.join("request.json");
        std::fs::write(&request, order.to_string()).unwrap();
        let output = run(&["score", "one", "--json", "--node", text(&bank), "--request", text(&request)]);
        if !output.status.success() {
            continue;
        }
        let score = crate::program::last_object(&output);
        scored += 1;
        // The first third by the score's name, the second by the application; the last is too young.
        let (name, as_of) = match place % 3 {
            0 => (score["request"].as_str().unwrap().to_owned(), "2026-01-15"),
            1 => (String::new(), "2026-01-15"),
            _ => (String::new(), "2025-06-30"),
        };
        let number = if place % 3 == 0 { format!("other-{place}") } else { application };
        let state = if place % 9 == 0 { "overdue-more" } else { "current" };
        outcomes += &format!("{number},{},1,250000,4.5,2025-01-15,{state},{as_of},{name}\n", row[0]);
    }
    assert!(scored >= 30, "{scored} scores");
    let outcomes_file = left.root.join("outcomes.csv");
    std::fs::write(&outcomes_file, &outcomes).unwrap();
    let imported = done(&["outcome", "import", text(&outcomes_file), "--node", text(&bank)]);
    assert_eq!(imported["new"], scored);
    // The score of one enterprise does not belong to the loan of another.
    let named = outcomes.lines().skip(1).find(|line| !line.ends_with(',')).unwrap();
    let other = outcomes.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).find(|id| !named.contains(id));
    let moved = format!(
        "{}\nmoved,{},0,,,,,2026-01-15,{}\n",
        outcomes.lines().next().unwrap(),
        other.unwrap(),
        named.rsplit(',').next().unwrap()
    );
    std::fs::write(&outcomes_file, moved).unwrap();
    let refused = run(&["outcome", "import", text(&outcomes_file), "--node", text(&bank), "--json"]);
    assert_eq!(crate::program::last_object(&refused)["wrong"][0]["column"], "request", "{}", error_of(&refused));

    let page = left.root.join("monitor.html");
    let output = run(&["monitor", "report", "--node", text(&bank), "--html", text(&page), "--lang", "zh"]);
    assert!(output.status.success(), "{}", error_of(&output));
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("<svg") && html.contains("分数稳定性"));
    let found = report(&bank);
    let of_bank = &found["report"];
    assert_eq!(of_bank["applicants"].as_i64().unwrap(), before + scored);
    assert_eq!(of_bank["scores"].as_array().unwrap().len(), 1);
    assert_eq!(of_bank["scores"][0]["rows"].as_i64().unwrap(), before + scored);
    let names = |report: &Value| -> Vec<String> {
        let fields = report["fields"].as_array().unwrap().iter();
        fields.map(|field| field["field"].as_str().unwrap().to_owned()).collect()
    };
    let own = names(of_bank);
    assert!(own.iter().any(|name| name == "overdraft_days_12m"), "{own:?}");
    assert_eq!(of_bank["partial"][0]["rows"].as_i64().unwrap(), before + scored);
    let outcomes: Vec<_> = outcomes.lines().skip(1).collect();
    let mature = outcomes.iter().filter(|line| line.contains("2026-01-15"));
    let bad = mature.clone().filter(|line| line.contains("overdue-more")).count();
    let performance = &of_bank["performance"];
    assert_eq!(performance["all"]["loans"], json!([mature.clone().count() - bad, bad]));
    assert_eq!(performance["months"][0]["young"], outcomes.len() - mature.count());

    // The platform knows no score, and its own fields, of all banks' applicants.
    let found = report(&platform);
    let of_platform = &found["report"];
    assert_eq!((of_platform["scores"].as_array().unwrap().len(), &of_platform["performance"]), (0, &Value::Null));
    let theirs = names(of_platform);
    assert!(!theirs.is_empty() && theirs.iter().all(|name| !own.contains(name)), "{theirs:?}");
    assert!(of_platform["applicants"].as_i64().unwrap() >= of_bank["applicants"].as_i64().unwrap());
    assert_eq!(of_platform["fields"][0]["months"][0]["rows"], of_platform["applicants"]);
}
