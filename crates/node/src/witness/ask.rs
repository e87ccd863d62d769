//! A log asks a public witness, from a thread of its own: the engine never waits for the network.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shortest and longest wait after a witness could not be reached.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Longest answer that is read, in bytes.
const LONGEST: u64 = 64 << 10;

/// What a witness has answered.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    /// Its name in the policy.
    pub(crate) witness: String,
    /// HTTP status.
    pub(crate) status: u16,
    /// Media type of the body.
    pub(crate) content_type: Option<String>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// Starts the thread that asks the witness at `url`; bodies of requests go in where this returns. While it cannot be reached, or
/// says that it cannot answer now, only the newest request counts.
pub(crate) fn ask(witness: &str, url: &str, answers: Sender<Answered>) -> Sender<Vec<u8>> {
    let (sender, requests) = channel();
    let (witness, url) = (witness.to_owned(), format!("{}/add-checkpoint", url.trim_end_matches('/')));
    std::thread::spawn(move || work(&witness, &url, &requests, &answers));
    sender
}

/// Until the engine has gone.
fn work(witness: &str, url: &str, requests: &Receiver<Vec<u8>>, answers: &Sender<Answered>) {
    let agent = crate::http::agent(PATIENCE);
    let (mut wait, mut told) = (WAITS.0, String::new());
    while let Ok(mut body) = requests.recv() {
        loop {
            body = requests.try_iter().last().unwrap_or(body);
            match post(&agent, url, &body) {
                Ok((status, content_type, body)) => {
                    (wait, told) = (WAITS.0, String::new());
                    let answered = Answered { witness: witness.into(), status, content_type, body };
                    if answers.send(answered).is_err() {
                        return;
                    }
                    break;
                }
                Err(reason) => {
                    // The same reason over and over says nothing new.
                    if reason != told {
                        tracing::warn!(witness, reason, "not cosigned yet");
                        told = reason;
                    }
                    std::thread::sleep(wait);
                    wait = WAITS.1.min(wait * 2);
                }
            }
        }
    }
}

/// Status, media type and body; an error where the witness may answer later.
fn post(agent: &ureq::Agent, url: &str, body: &[u8]) -> Result<(u16, Option<String>, Vec<u8>), String> {
    let sent = agent.post(url).header("content-type", "text/plain; charset=utf-8").send(body);
    let mut answer = sent.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    if status == 429 || status >= 500 {
        return Err(format!("status {status}"));
    }
    let content_type = answer.headers().get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = answer.body_mut().with_config().limit(LONGEST).read_to_vec().map_err(|error| error.to_string())?;
    Ok((status, content_type, body))
}
