//! Statistics of several banks: the sums of their tables, with no bank's figures at the platform, and no cell of one bank alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::left::Left;
use crate::program::{done, error_of, last_object, run, text};

const BANKS: [&str; 3] = ["bank-1", "bank-2", "bank-3"];
const DISTRICTS: [&str; 4] = ["gulou", "jianye", "qinhuai", "xuanwu"];
const INDUSTRIES: [&str; 3] = ["catering", "retail", "software"];

/// A borrower: balance and credit balance in cents, inclusive, first loan, district, industry.
#[derive(Clone)]
struct Borrower {
    id: String,
    balance: i64,
    credit: i64,
    inclusive: bool,
    first: bool,
    district: &'static str,
    industry: &'static str,
}

struct Trial {
    _folder: tempfile::TempDir,
    left: Left,
    banks: BTreeMap<&'static str, Vec<Borrower>>,
}

impl Trial {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let left = Left::of_demo(folder.path(), 23, 900);
        let customers = |bank: &str| {
            let file = std::fs::read_to_string(left.root.join(format!("inputs/{bank}.csv"))).unwrap();
            file.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let borrower = |(row, id): (usize, String), bank: usize| {
            let balance = (row as i64 * 7_919 + 31 * bank as i64) % 900_000_000 + 1;
            Borrower {
                id,
                balance,
                credit: if row.is_multiple_of(3) { balance / 2 } else { 0 },
                inclusive: !row.is_multiple_of(5),
                first: row.is_multiple_of(7),
                // Only the first bank lends in the last district.
                district: if bank == 0 && row.is_multiple_of(20) { DISTRICTS[3] } else { DISTRICTS[row % 3] },
                industry: INDUSTRIES[row % INDUSTRIES.len()],
            }
        };
        let banks = BANKS.into_iter().enumerate().map(|(place, bank)| {
            let rows = customers(bank).into_iter().enumerate().map(|row| borrower(row, place)).collect();
            (bank, rows)
        });
        let banks = banks.collect();
        let trial = Self { _folder: folder, left, banks };
        trial.import("2026-06-30");
        trial
    }

    fn dictionary(&self) -> PathBuf {
        let number = |name: &str| json!({ "name": name, "title": { "zh": name, "en": name }, "kind": "numeric" });
        let category = |name: &str, values: &[&str]| {
            let kind = json!({ "category": { "values": values } });
            json!({ "name": name, "title": { "zh": name, "en": name }, "kind": kind })
        };
        let fields = [
            number("balance"),
            number("credit_balance"),
            category("inclusive", &["yes", "no"]),
            category("first_loan", &["yes", "no"]),
            category("district", &DISTRICTS),
            category("industry", &INDUSTRIES),
        ];
        self.file("borrowers.json", &json!({ "fields": fields }).to_string())
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.left.root.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn import(&self, as_of: &str) {
        let dictionary = self.dictionary();
        for (bank, rows) in &self.banks {
            let yuan = |cents: i64| format!("{}.{:02}", cents / 100, cents % 100);
            let word = |holds: bool| if holds { "yes" } else { "no" };
            let line = |row: &Borrower| {
                let (balance, credit) = (yuan(row.balance), yuan(row.credit));
                let (inclusive, first) = (word(row.inclusive), word(row.first));
                format!("{},{balance},{credit},{inclusive},{first},{},{}\n", row.id, row.district, row.industry)
            };
            let head = "id,balance,credit_balance,inclusive,first_loan,district,industry\n".to_owned();
            let table =
                self.file(&format!("borrowers-{bank}.csv"), &rows.iter().map(line).fold(head, |all, line| all + &line));
            let node = self.left.directory(bank);
            let import = ["dataset", "import", text(&table), "--name", "borrowers", "--dictionary", text(&dictionary)];
            done(&[import.as_slice(), &["--as-of", as_of, "--node", text(&node)]].concat());
        }
    }

    fn propose(&self, template: &Path) -> Output {
        let (platform, dictionary) = (self.left.directory("platform"), self.dictionary());
        let mut propose = vec!["session", "propose", "--node", text(&platform), "--template", text(template)];
        propose.extend(["--dictionary", text(&dictionary), "--json"]);
        BANKS.iter().for_each(|bank| propose.extend(["--bank", bank]));
        run(&propose)
    }

    /// Proposes a session, which the platform approves; its name.
    fn proposed(&self, template: &Path) -> String {
        let proposed = self.propose(template);
        assert!(proposed.status.success(), "{}", error_of(&proposed));
        let session = last_object(&proposed)["session"].as_str().unwrap().to_owned();
        self.left.approve("platform", &session);
        session
    }

    /// Runs a session to its end; its name and where the platform stands.
    fn session(&self, template: &Path) -> (String, Value) {
        let session = self.proposed(template);
        for bank in BANKS {
            self.left.wait(bank, &session, &["proposed"]);
            self.left.approve(bank, &session);
        }
        let ended = self.left.wait("platform", &session, &["closed", "aborted"]);
        (session, ended)
    }

    /// Waits until the platform has so many signatures of a contract.
    fn wait_for_signatures(&self, session: &str, count: usize) {
        let (platform, deadline) = (self.left.directory("platform"), Instant::now() + Duration::from_secs(60));
        loop {
            let shown = last_object(&run(&["session", "show", session, "--node", text(&platform), "--json"]));
            if shown["envelope"]["signatures"].as_array().is_some_and(|signatures| signatures.len() == count) {
                return;
            }
            assert!(Instant::now() < deadline, "{shown}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The template with one table in the place of two.
    fn other_cells(&self) -> PathBuf {
        let one = "[[\"district\", \"industry\"]]";
        let other = std::fs::read_to_string(template()).unwrap().replace("[[\"district\"], [\"industry\"]]", one);
        self.file("other.toml", &other)
    }

    /// What a loop over all rows gives.
    fn plainly(&self, chosen: impl Fn(&Borrower) -> bool) -> [i64; 5] {
        let mut sums = [0; 5];
        for row in self.banks.values().flatten().filter(|row| chosen(row)) {
            sums[0] += row.balance;
            sums[1] += if row.inclusive { row.balance } else { 0 };
            sums[2] += row.credit;
            sums[3] += i64::from(row.first);
            sums[4] += 1;
        }
        sums
    }
}

fn template() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/templates/statistics.toml")
}

fn sums(shown: &Value) -> [i64; 5] {
    let cents = |name: &str| (shown[name].as_f64().unwrap() * 100.0).round() as i64;
    let count = |name: &str| shown[name].as_f64().unwrap() as i64;
    [cents("balance"), cents("inclusive_balance"), cents("credit_balance"), count("first_loans"), count("rows")]
}

#[test]
fn banks_add_up_their_books_and_nothing_of_one_bank_shows() {
    let mut trial = Trial::new();
    let (session, ended) = trial.session(&template());
    assert_eq!(ended["stage"], "closed", "{ended}");
    let node = trial.left.directory("bank-2");
    let page = trial.left.root.join("statistics.html");
    let shown = done(&["statistics", "show", &session, "--node", text(&node), "--html", text(&page)]);
    assert_eq!(sums(&shown["total"]), trial.plainly(|_| true));
    let share = shown["total"]["credit_share"].as_f64().unwrap();
    let [balance, _, credit, _, _] = trial.plainly(|_| true);
    assert!((share - credit as f64 / balance as f64).abs() < 1e-12);
    // Every group is the plain sum over its cells; the district of one bank alone stands in a group with another.
    for (table, of) in ["district", "industry"].into_iter().enumerate() {
        assert_eq!(shown["tables"][table]["fields"], json!([of]));
        for group in shown["tables"][table]["groups"].as_array().unwrap() {
            let cells: Vec<_> =
                group["cells"].as_array().unwrap().iter().map(|cell| cell[of].as_str().unwrap()).collect();
            let value = |row: &Borrower| if of == "district" { row.district } else { row.industry };
            assert_eq!(sums(group), trial.plainly(|row| cells.contains(&value(row))), "{cells:?}");
            assert!(cells != ["xuanwu"], "{group}");
        }
    }
    assert!(std::fs::read_to_string(&page).unwrap().contains("<h1>"));
    // The same figures at the platform; and no half, no model, no score follows from them.
    let platform = trial.left.directory("platform");
    let there = done(&["statistics", "show", &session, "--node", text(&platform)]);
    assert_eq!(there, shown);
    let models = done(&["model", "list", "--node", text(&platform)]);
    assert_eq!(models.as_array().unwrap().len(), 1, "{models}");
    let words = run(&["session", "show", &session, "--node", text(&node)]);
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    assert!(words.contains("no row leaves its bank in any form") && words.contains("district"), "{words}");

    // Other cells over the same rows would show the rows between them: the banks refuse.
    let (_, ended) = trial.session(&trial.other_cells());
    assert_eq!(ended["stage"], "aborted");
    assert!(ended["reason"].as_str().unwrap().contains("the difference would show the rows"), "{ended}");
    // A data set of another day than the contract's is refused before anything is signed.
    let later = std::fs::read_to_string(template()).unwrap().replace("2026-06-30", "2026-07-31");
    let proposed = trial.propose(&trial.file("later.toml", &later));
    let july = last_object(&proposed)["session"].as_str().unwrap().to_owned();
    trial.left.approve("platform", &july);
    trial.left.wait("bank-1", &july, &["proposed"]);
    let (bank, secret) = (trial.left.directory("bank-1"), trial.left.root.join("secret"));
    let approve =
        ["session", "approve", &july, "--operator", "chen", "--secret-file", text(&secret), "--node", text(&bank)];
    let refused = run(&approve);
    assert!(!refused.status.success() && error_of(&refused).contains("2026-07-31"), "{}", error_of(&refused));
    let reject = ["session", "reject", &july, "--reason", "no data of that day", "--node", text(&bank)];
    done(&reject);

    // The sum is recomputed from its evidence, and the logs agree.
    let evidence = trial.left.root.join("evidence.json");
    done(&["session", "evidence", &session, "--node", text(&platform), "--output", text(&evidence)]);
    let registry = trial.left.root.join("registry.json");
    let replayed = done(&["audit", "replay", text(&evidence), "--registry", text(&registry)]);
    assert_eq!(replayed["rounds"].as_array().unwrap().len(), 2, "{replayed}");
    let nodes = ["platform", "bank-1", "bank-2", "bank-3"];
    nodes.iter().for_each(|node| trial.left.stop_gently(node));
    let directories = nodes.map(|node| trial.left.directory(node));
    let mut audit = vec!["audit", "verify", "--json", "--registry", text(&registry)];
    audit.extend(directories.iter().map(|node| text(node)));
    let audit = last_object(&run(&audit));
    assert!(audit["verified"] == true && audit["reconciled"] == true, "{audit}");
}

/// Neither has released anything when the other begins.
#[test]
fn sessions_side_by_side_do_not_cut_the_same_rows_in_two_ways() {
    let mut trial = Trial::new();
    let both = [trial.proposed(&template()), trial.proposed(&trial.other_cells())];
    // The last bank signs both and is away until both have begun at the others.
    for bank in ["bank-3", "bank-1", "bank-2"] {
        for session in &both {
            trial.left.wait(bank, session, &["proposed"]);
            trial.left.approve(bank, session);
        }
        if bank == "bank-3" {
            both.iter().for_each(|session| trial.wait_for_signatures(session, 2));
            trial.left.stop(bank);
        }
    }
    for session in &both {
        for node in ["platform", "bank-1", "bank-2"] {
            trial.left.wait(node, session, &["approved", "aligned", "prepared"]);
        }
    }
    trial.left.go_on("bank-3");
    let ended = both.map(|session| trial.left.wait("platform", &session, &["closed", "aborted"]));
    let refused = |one: &&Value| {
        one["reason"].as_str().is_some_and(|reason| reason.contains("the difference would show the rows"))
    };
    assert!(ended.iter().any(|one| refused(&one)), "{ended:?}");
    assert!(ended.iter().filter(|one| one["stage"] == "closed").count() <= 1, "{ended:?}");
}
