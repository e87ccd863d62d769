//! Bad input of every kind: one clear error with its exit code, and the node as it was.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::program::{Served, error_of, run, tallystick, text};

/// A city whose nodes have stopped, to be started one by one.
struct City {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl City {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("city");
        let output = run(&["demo", "--enterprises", "1500", "--json", "--keep", text(&root)]);
        assert!(output.status.success(), "{}", error_of(&output));
        Self { _folder: folder, root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn serve(&self, node: &str) -> Served {
        Served::start(&self.path(node), &self.path("secret"))
    }

    /// A changed copy of one of the inputs.
    fn changed(&self, name: &str, change: impl Fn(&mut Vec<String>)) -> PathBuf {
        let text = std::fs::read_to_string(self.root.join("inputs").join(name)).unwrap();
        let mut lines: Vec<_> = text.lines().map(String::from).collect();
        change(&mut lines);
        let path = self.root.join(format!("changed-{name}"));
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        path
    }
}

fn refused(output: &Output, code: i32, words: &[&str]) {
    let error = error_of(output);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert_eq!(error.trim().lines().count(), 1, "one error: {error}");
    for word in words {
        assert!(error.contains(word), "`{word}` is missing: {error}");
    }
}

fn import(city: &City, node: &str, file: &Path) -> Output {
    let (directory, dictionary) = (city.path(node), city.path("inputs/dictionary.json"));
    let mut arguments = vec!["dataset", "import", "--node", text(&directory), "--as-of", "2026-06-30", text(file)];
    if node != "platform" {
        arguments.extend(["--dictionary", text(&dictionary), "--label", "y"]);
    }
    run(&arguments)
}

#[test]
fn files_that_are_wrong_are_refused_and_change_nothing() {
    let city = City::new();
    let _bank = city.serve("bank-1");
    let directory = city.path("bank-1");
    let standing = || {
        let datasets = run(&["dataset", "show", "--json", "--node", text(&directory)]).stdout;
        let consents = run(&["consent", "show", "--json", "--node", text(&directory)]).stdout;
        (datasets, consents)
    };
    let before = standing();
    let with = |change: &dyn Fn(&mut Vec<String>)| import(&city, "bank-1", &city.changed("bank-1.csv", change));
    refused(&with(&|lines| lines[0].push('x')), 65, &["changed-bank-1.csv", "row 1", "dictionary", "--map"]);
    refused(&with(&|lines| lines[2] = lines[1].clone()), 65, &["row 3", "same identifier", "row 2"]);
    refused(&with(&|lines| lines[1].replace_range(..1, "I")), 65, &["row 2", "`id`", "character 1"]);
    refused(&with(&|lines| lines[1].replace_range(..18, "91440300708461136A")), 65, &["row 2", "check character"]);
    refused(&with(&|lines| lines[1].replace_range(19..20, "2")), 65, &["row 2", "`y`", "0 (good) or 1 (bad)"]);
    refused(&with(&|lines| lines.truncate(1)), 65, &["no rows"]);
    refused(&with(&|lines| lines[1].push_str(",1")), 65, &["row 2", "values"]);
    refused(&import(&city, "bank-1", Path::new("/nonexistent.csv")), 65, &["/nonexistent.csv"]);
    let forged = city.changed("consents-bank-1.jsonl", |lines| {
        let other = lines[0].clone();
        let signatures = other.split("\"signatures\"").nth(1).unwrap().to_owned();
        let own = lines[1].split("\"signatures\"").next().unwrap().to_owned();
        lines[1] = format!("{own}\"signatures\"{signatures}");
    });
    let arguments = ["consent", "import", "--node", text(&directory), text(&forged)];
    refused(&run(&arguments), 77, &["changed-consents-bank-1.jsonl, line 2", "signature"]);
    let list = city.path("bank-list.json");
    std::fs::write(
        &list,
        std::fs::read_to_string(city.path("inputs/list.json")).unwrap().replacen("\"sig\":\"", "\"sig\":\"A", 1),
    )
    .unwrap();
    let output = run(&["list", "import", "--node", text(&directory), text(&list)]);
    assert!(matches!(output.status.code(), Some(65 | 77)), "{}", error_of(&output));
    assert_eq!(standing(), before);
    let second = run(&["serve", "--node", text(&directory), "--secret-file", text(&city.path("secret"))]);
    assert_eq!(second.status.code(), Some(69), "{}", error_of(&second));
}

#[test]
fn a_field_that_is_not_on_the_list_and_a_port_in_use_are_named() {
    let city = City::new();
    {
        let _platform = city.serve("platform");
        let unlisted = city.changed("platform.csv", |lines| {
            lines[0].push_str(",secret_debts");
            lines[1..].iter_mut().for_each(|line| line.push_str(",1"));
        });
        refused(&import(&city, "platform", &unlisted), 65, &["secret_debts", "list"]);
    }
    let toml = std::fs::read_to_string(city.path("platform/node.toml")).unwrap();
    let address = toml.lines().find_map(|line| line.strip_prefix("listen = ")).unwrap().trim_matches('"');
    let _taken = std::net::TcpListener::bind(address).unwrap();
    let secret = city.path("secret");
    let serve = |secret: &Path| run(&["serve", "--node", text(&city.path("platform")), "--secret-file", text(secret)]);
    let error = serve(&secret);
    assert_eq!(error.status.code(), Some(78));
    assert!(error_of(&error).contains(address) && error_of(&error).contains("link.listen"), "{}", error_of(&error));
    let wrong = city.path("wrong");
    std::fs::write(&wrong, "not the passphrase").unwrap();
    let error = serve(&wrong);
    assert_eq!(error.status.code(), Some(77));
    assert!(error_of(&error).contains("passphrase"), "{}", error_of(&error));
}

#[test]
fn a_full_disk_stops_the_import_and_loses_nothing() {
    let city = City::new();
    let directory = city.path("bank-1");
    let rows = || {
        let _bank = city.serve("bank-1");
        run(&["dataset", "show", "--json", "--node", text(&directory)]).stdout
    };
    let before = rows();
    // A limit on the size of files stands in for a full disk: writes fail in the same way, without root's help.
    let script = format!(
        "trap '' XFSZ; ulimit -f 1500; exec {:?} serve --until-stdin-closes --node {:?} --secret-file {:?}",
        env!("CARGO_BIN_EXE_tallystick"),
        directory,
        city.path("secret"),
    );
    let mut node = std::process::Command::new("bash")
        .args(["-c", &script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..500 {
        if run(&["status", "--node", text(&directory)]).status.success() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let large = city.changed("bank-1.csv", |lines| {
        let numbers = (0..40_000).map(|n| format!("{n:017}"));
        let rest = lines[1][18..].to_owned();
        lines.truncate(1);
        lines.extend(numbers.map(|n| format!("x{n}{rest}")));
    });
    let dictionary = city.path("inputs/dictionary.json");
    let output = tallystick(&["dataset", "import", "--node", text(&directory), "--as-of", "2026-06-30"])
        .args(["--identifier-kind", "text", "--label", "y", "--dictionary", text(&dictionary), text(&large)])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(73), "{}", error_of(&output));
    assert!(error_of(&output).contains("disk"), "{}", error_of(&output));
    drop(node.stdin.take());
    node.wait().unwrap();
    assert_eq!(rows(), before);
}

#[test]
fn the_command_line_says_what_it_wants() {
    refused(&run(&["status", "--node", "/nonexistent"]), 69, &["/nonexistent", "tallystick serve"]);
    assert_eq!(run(&["demo", "--banks", "2"]).status.code(), Some(2));
    assert_eq!(run(&["demo", "--kill", "bank-1"]).status.code(), Some(2));
    let help = run(&["--help"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("Exit codes"));
}
