//! A flood of bare TCP connections at every port of nodes that may open few files: scores go on, and no log grows by it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::program::{done, text};
use crate::serving::Serving;

/// Files that each of the flooded nodes may open; systemd's default is 1024.
const FILES: u32 = 600;

/// Connections in all, and those that are held at the same time: the test itself must be able to open them.
const CONNECTIONS: usize = 20_000;
const HELD: usize = 700;

/// Addresses that the flood comes from, 127.0.0.2 and on; the callers' is 127.0.0.1.
const SOURCES: usize = 16;

#[test]
fn scores_go_on_in_a_flood_of_connections() {
    let mut trial = Serving::new("[api.enterprise]\nper_minute = 600\nburst = 600\n");
    for node in ["platform", "bank-1"] {
        trial.left.stop_gently(node);
        trial.left.go_on_with_few_files(node, FILES);
    }
    trial.until_ready();
    let token = trial.issue("core", "score");
    let caller = trial.caller().with(&token);
    let applicants = trial.applicants();
    trial.scored(&caller.score(&applicants[0]));
    let address = |node: &Path, file: &str| std::fs::read_to_string(node.join(file)).unwrap().parse().unwrap();
    let platform = trial.left.directory("platform");
    // Of five connections four go to the scoring service, one to the platform's port for banks.
    let api: SocketAddr = address(&trial.bank, "api.address");
    let targets = [api, api, api, api, address(&platform, "address")];
    let before = [entries(&trial.bank), entries(&platform)];

    let over = AtomicBool::new(false);
    let (opened, scores) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let opened = flood(&targets);
            over.store(true, Ordering::Relaxed);
            opened
        });
        let mut scores = 0;
        while !over.load(Ordering::Relaxed) && scores < 200 {
            // Over the connection that was there before, and over a new one.
            let applicant = &applicants[scores % 10];
            trial.scored(&caller.score(applicant));
            trial.scored(&trial.caller().with(&token).score(applicant));
            scores += 2;
        }
        (flood.join().unwrap(), scores)
    });
    eprintln!("{opened} connections were taken by the system, {scores} scores meanwhile");
    assert!(opened > CONNECTIONS / 2 && scores > 0, "{opened} connections, {scores} scores");
    trial.scored(&caller.score(&applicants[0]));

    for (node, before) in [&trial.bank, &platform].into_iter().zip(before) {
        let grown = entries(node) - before;
        assert!(grown < 20 * (scores as u64 + 1) + 100, "{} grew by {grown} entries", node.display());
    }
    trial.verified(&[&token]);
}

fn entries(node: &Path) -> u64 {
    done(&["status", "--node", text(node)])["log_entries"].as_u64().unwrap()
}

/// Opens the connections, held in waves, some of which begin a handshake byte by byte; how many came about.
fn flood(targets: &[SocketAddr]) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut opened = 0;
    for _ in 0..CONNECTIONS.div_ceil(HELD) {
        if Instant::now() > deadline {
            break;
        }
        opened += runtime.block_on(async {
            let mut wave = JoinSet::new();
            for number in 0..HELD {
                wave.spawn(connect(targets[number % targets.len()], number / targets.len() % SOURCES));
            }
            let held: Vec<_> = wave.join_all().await.into_iter().flatten().collect();
            tokio::time::sleep(Duration::from_millis(150)).await;
            held.len()
        });
    }
    opened
}

async fn connect(target: SocketAddr, source: usize) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 2 + source as u8], 0))).ok()?;
    let connected = tokio::time::timeout(Duration::from_secs(3), socket.connect(target)).await;
    let mut stream = connected.ok()?.ok()?;
    if source.is_multiple_of(2) {
        // A TLS record that never ends; whether it is taken in does not matter.
        for byte in [[0x16], [0x03], [0x01]] {
            let _ = stream.write_all(&byte).await;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
    Some(stream)
}
