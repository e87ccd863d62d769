//! Two parties align without a session: each engine, counting, kills, and sides that do not agree.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{done, error_of, last_object, run, tallystick, text};

/// A folder with a platform's and a bank's file.
struct Two {
    folder: tempfile::TempDir,
}

impl Two {
    fn new(offered: impl Iterator<Item = u32>, own: impl Iterator<Item = u32>) -> Self {
        let two = Self { folder: tempfile::tempdir().unwrap() };
        two.write("platform", offered);
        two.write("bank", own);
        std::fs::write(two.path("secret"), "correct horse battery staple\n").unwrap();
        two
    }

    fn write(&self, side: &str, numbers: impl Iterator<Item = u32>) {
        let mut file = String::from("name,code\n");
        for number in numbers {
            writeln!(file, "\"a, b\",E{number:07}").unwrap();
        }
        std::fs::write(self.path(&format!("{side}.csv")), file).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn output(&self, side: &str) -> PathBuf {
        self.path(&format!("{side}-tags.csv"))
    }

    fn start(&self, side: &str, link: &[&str], more: &[&str]) -> Child {
        let (input, output) = (self.path(&format!("{side}.csv")), self.output(side));
        let mut command = tallystick(&["align", "--role", side, "--key", "code", "--json"]);
        command.args(["--input", text(&input), "--output", text(&output)]).args(link).args(more);
        if !more.contains(&"--patience") {
            command.args(["--patience", "60"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Starts both sides.
    fn both(&self, platform: &[&str], bank: &[&str]) -> [Child; 2] {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        [self.start("platform", &["--listen", &address], platform), self.start("bank", &["--connect", &address], bank)]
    }

    /// Runs both sides to their end.
    fn align(&self, platform: &[&str], bank: &[&str]) -> [Output; 2] {
        self.both(platform, bank).map(|child| child.wait_with_output().unwrap())
    }

    /// Tags by identifier, and whether the bank was told that it is shared.
    fn tags(&self, side: &str) -> BTreeMap<String, (String, bool)> {
        let file = std::fs::read_to_string(self.output(side)).unwrap();
        let row = |line: &str| {
            let fields: Vec<_> = line.split(',').collect();
            (fields[0].to_owned(), (fields[1].to_owned(), fields.get(2) == Some(&"1")))
        };
        file.lines().skip(1).map(row).collect()
    }

    /// The bank knows exactly the shared ones, under the platform's tags.
    fn is_right(&self) {
        let (platform, bank) = (self.tags("platform"), self.tags("bank"));
        for (identifier, (tag, shared)) in &bank {
            assert_eq!(*shared, platform.contains_key(identifier), "{identifier}");
            if *shared {
                assert_eq!(*tag, platform[identifier].0, "{identifier}");
            }
        }
    }
}

fn succeeded(outputs: &[Output; 2]) -> [Value; 2] {
    outputs.each_ref().map(|output| {
        assert!(output.status.success(), "{}", error_of(output));
        last_object(output)
    })
}

fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = error_of(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

#[test]
fn each_engine_tells_the_bank_and_nobody_else() {
    for engine in ["vole", "2hashdh", "2hashdh-base"] {
        // The bank's file has an identifier twice; the first counts.
        let two = Two::new(0..300, (200..400).chain([250]));
        let [platform, bank] =
            succeeded(&two.align(&["--trial", "--engine", engine], &["--trial", "--engine", engine]));
        two.is_right();
        assert_eq!(bank["shared"], 100);
        assert_eq!(bank["input"]["duplicates"]["count"], 1);
        assert!(
            platform.get("shared").is_none()
                && !std::fs::read_to_string(two.output("platform")).unwrap().contains("shared")
        );
        assert_eq!(platform["conversation"], bank["conversation"]);
        assert_eq!(platform["contract"], bank["contract"]);
        assert_eq!(platform["contract"]["rows"], 300);
        assert!(two.path("bank-tags.csv.receipt.json").exists());
    }
}

#[test]
fn counts_are_told_from_the_floor_on() {
    let ask = ["--trial", "--cardinality", "--floor", "50"];
    let two = Two::new(0..300, 200..400);
    assert_eq!(succeeded(&two.align(&ask, &ask))[1]["shared"], 100);
    assert!(!two.output("bank").exists());
    let two = Two::new(0..300, 260..400);
    assert_eq!(succeeded(&two.align(&ask, &ask))[1]["shared"], Value::Null);
    let [platform, bank] = Two::new(0..300, 260..280).align(&ask, &ask);
    refused(&platform, 77, &["20 identifiers, a count needs 50"]);
    refused(&bank, 77, &["the other side stopped"]);
}

#[test]
fn sides_that_do_not_agree_stop_and_say_why() {
    let two = Two::new(0..30, 20..40);
    let other = "00".repeat(32);
    let [mut platform, bank] = two.both(&["--trial"], &["--trial", "--peer", &other]);
    refused(&bank.wait_with_output().unwrap(), 69, &["another fingerprint than --peer"]);
    platform.kill().unwrap();
    platform.wait().unwrap();
    let [platform, bank] = two.align(&["--trial"], &["--trial", "--cardinality"]);
    refused(&platform, 77, &["asks for a count"]);
    refused(&bank, 77, &["the other side stopped"]);
    let [platform, bank] = two.align(&["--trial", "--engine", "vole"], &["--trial", "--engine", "2hashdh"]);
    refused(&bank, 77, &["its engine is vole-v2, this side asks for 2hashdh"]);
    refused(&platform, 77, &["the other side stopped"]);
    let [platform, _] = two.align(&["--trial", "--cap", "19"], &["--trial"]);
    refused(&platform, 77, &["20 identifiers, --cap allows 19"]);
    assert!(!two.output("platform").exists() && !two.output("bank").exists());
    std::fs::write(two.path("bank.csv"), "code\nE0000001\n\n  ,\nE0000002\n").unwrap();
    let bank = two.start("bank", &["--connect", "127.0.0.1:1"], &["--trial"]).wait_with_output().unwrap();
    refused(&bank, 65, &["blank: lines (4)", "--skip-bad", "bank.csv"]);
}

#[test]
fn evaluations_are_kept_and_follow_the_set() {
    let two = Two::new(0..300, 200..400);
    let (secret, cache) = (two.path("secret"), two.path("cache"));
    let kept = ["--trial", "--cache", text(&cache), "--secret-file", text(&secret)];
    succeeded(&two.align(&kept, &["--trial"]));
    two.is_right();
    let before = two.tags("platform");
    for side in ["platform", "bank"] {
        std::fs::remove_file(two.output(side)).unwrap();
    }
    two.write("platform", 250..310);
    succeeded(&two.align(&kept, &["--trial"]));
    two.is_right();
    // The key is the same, the tags are of this run.
    assert!(two.tags("platform").iter().all(|(identifier, tag)| before.get(identifier) != Some(tag)));
    let file = cache.join("1.evaluations");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    std::fs::remove_file(two.output("platform")).unwrap();
    let platform = two.start("platform", &["--listen", "127.0.0.1:0"], &kept).wait_with_output().unwrap();
    refused(&platform, 77, &["1.evaluations", "it was changed"]);
}

/// kill -9 of either side in the middle: the same command goes on, and leaves nothing behind.
#[test]
fn a_killed_side_goes_on_where_both_stood() {
    for victim in ["platform", "bank"] {
        let two = Two::new(0..60, (0..40_000).rev());
        let secret = two.path("secret");
        let work = |side: &str| two.path(&format!("work-{side}"));
        let arguments = |folder: &Path| {
            let more = ["--trial", "--engine", "2hashdh-base", "--secret-file", text(&secret), "--work", text(folder)];
            more.map(String::from)
        };
        let [platform, bank] = ["platform", "bank"].map(|side| arguments(&work(side)));
        let [platform, bank] = [&platform, &bank].map(|more| more.each_ref().map(String::as_str));
        let [mut first, mut second] = two.both(&platform, &bank);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !work("bank").join("unit-00001").exists() {
            assert!(Instant::now() < deadline, "the bank finishes no batch");
            std::thread::sleep(Duration::from_millis(5));
        }
        if victim == "platform" { &mut first } else { &mut second }.kill().unwrap();
        let ended = [first, second].map(|child| child.wait_with_output().unwrap());
        assert!(ended.iter().all(|output| !output.status.success()), "{victim} was killed in time");
        for sealed in std::fs::read_dir(work("bank")).unwrap() {
            let bytes = std::fs::read(sealed.unwrap().path()).unwrap();
            assert!(!bytes.windows(8).any(|window| window == b"E0000001"), "no identifier in clear");
        }
        let finished = succeeded(&two.align(&platform, &bank));
        two.is_right();
        assert_eq!(finished[1]["shared"], 60);
        assert!(!work("platform").exists() && !work("bank").exists());
    }
}

#[test]
fn nodes_align_under_their_certificates() {
    let two = Two::new(0..300, 200..400);
    let secret = two.path("secret");
    let ca = two.path("ca");
    let open = ["--ca", text(&ca), "--secret-file", text(&secret)];
    let done = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{}", error_of(&output));
    };
    done(&[["ca", "init"].as_slice(), &open].concat());
    let nodes = [("city", "platform"), ("harbour-bank", "bank"), ("river-bank", "bank")];
    for (name, role) in nodes {
        let directory = two.path(name);
        let link = if role == "platform" { "--listen" } else { "--dial" };
        let make = ["init", "--node", text(&directory), "--name", name, "--role", role, link, "127.0.0.1:1"];
        let more: &[&str] = if role == "bank" { &["--platform", "city"] } else { &[] };
        done(&[make.as_slice(), more, &["--secret-file", text(&secret)]].concat());
        done(&[["ca", "issue", "--request", text(&directory.join("request.json"))].as_slice(), &open].concat());
    }
    for (name, _) in nodes {
        for file in ["ca.crt", "registry.json"] {
            std::fs::copy(ca.join(file), two.path(name).join(file)).unwrap();
        }
    }
    let side = |name: &str, with: &str| {
        let directory = two.path(name);
        ["--node", text(&directory), "--with", with, "--secret-file", text(&secret)].map(String::from)
    };
    let [city, bank] = [side("city", "harbour-bank"), side("harbour-bank", "city")];
    let [city, bank] = [&city, &bank].map(|more| more.each_ref().map(String::as_str));
    let finished = succeeded(&two.align(&city, &bank));
    two.is_right();
    assert_eq!(finished[0]["contract"]["bank"]["name"], "harbour-bank");
    for side in ["platform", "bank"] {
        std::fs::remove_file(two.output(side)).unwrap();
    }
    // Another bank of the same consortium is not the one that the platform waits for.
    let other = side("river-bank", "city");
    let [mut platform, bank] = two.both(&city, &other.each_ref().map(String::as_str));
    refused(&bank.wait_with_output().unwrap(), 69, &["the connection with the peer ended"]);
    assert!(platform.try_wait().unwrap().is_none(), "the platform goes on waiting for the right one");
    platform.kill().unwrap();
    platform.wait().unwrap();
}

#[test]
fn both_sides_take_identifiers_for_the_same() {
    let two = Two::new(0..30, 0..30);
    let codes = ["91440300708461136T", "91110000802100433B", "914403001922038216"];
    let file = |spell: &dyn Fn(&str) -> String| {
        codes.iter().fold("code\n".to_owned(), |file, code| file + &spell(code) + "\n")
    };
    std::fs::write(two.path("platform.csv"), file(&str::to_owned)).unwrap();
    std::fs::write(two.path("bank.csv"), file(&str::to_lowercase)).unwrap();
    let ask = |kind: &'static str| ["--trial", "--kind", kind];
    for [platform, bank] in [["uscc", "text"], ["text", "uscc"]] {
        for output in two.align(&ask(platform), &ask(bank)) {
            assert_eq!(output.status.code(), Some(77), "{}", error_of(&output));
            let error = error_of(&output);
            assert!(error.contains("--kind uscc") && error.contains("--kind text"), "{error}");
        }
        assert!(!two.output("bank").exists() && !two.output("platform").exists());
    }
    // Nobody said what they are.
    let output = tallystick(&["align", "--role", "bank", "--key", "code", "--trial", "--connect", "127.0.0.1:1"])
        .args(["--input", text(&two.path("bank.csv")), "--output", text(&two.output("bank"))])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(65), "{}", error_of(&output));
    assert!(error_of(&output).contains("3 of 3 identifiers are credit codes"), "{}", error_of(&output));
    let finished = succeeded(&two.align(&ask("uscc"), &ask("uscc")));
    assert_eq!(finished[1]["shared"], 3);
    assert_eq!(finished[1]["contract"]["identifiers"], "uscc/1");
}

/// The bench starts both sides by the command line's names, of every engine.
#[test]
fn each_engine_has_its_bench() {
    for engine in ["vole", "2hashdh", "2hashdh-base"] {
        let told = done(&["bench", "alignment", "--rows-platform", "300", "--rows-bank", "200", "--engine", engine]);
        assert!(
            told["bytes"].as_u64() > Some(0) && told["engine"].as_str().is_some_and(|name| name.starts_with(engine)),
            "{told}"
        );
    }
}
