//! The load: calls that leave at their time, over a few connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::service::Service;
use crate::failure::{self, Failure};

/// Connections of the loan system.
const CONNECTIONS: usize = 8;

/// A caller with its connections.
pub(super) struct Load {
    runtime: Runtime,
    connections: Vec<SendRequest<Full<Bytes>>>,
    bodies: Arc<[Bytes]>,
    next: Arc<AtomicUsize>,
    host: String,
    token: String,
}

/// So many calls a second, for so many seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    pub(super) rate: u32,
    pub(super) seconds: u32,
}

/// One call: when it was due, what came, and how long after.
#[derive(Clone, Copy, Debug)]
struct Answer {
    due: Duration,
    /// HTTP status; 0 where none came.
    status: u16,
    took: Duration,
}

/// What a phase gave.
pub(super) struct Outcome {
    answers: Vec<Answer>,
    elapsed: Duration,
}

impl Load {
    /// Connects to the service.
    pub(super) fn new(service: &Service) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(failure::internal)?;
        let connect = |_| runtime.block_on(connect(service));
        let connections = (0..CONNECTIONS).map(connect).collect::<Result<_, _>>()?;
        let bodies = service.applicants.iter().map(|body| Bytes::from(body.to_string())).collect();
        let next = Arc::new(AtomicUsize::new(0));
        Ok(Self { runtime, connections, bodies, next, host: service.address.clone(), token: service.token.clone() })
    }

    /// Calls at the rate of `phase` until it is over and everything is answered.
    pub(super) fn run(&self, phase: Phase) -> Result<Outcome, Failure> {
        let count = phase.rate as usize * phase.seconds as usize;
        let gap = Duration::from_secs(1) / phase.rate;
        let began = Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        for place in 0..count {
            let due = gap * u32::try_from(place).map_err(failure::internal)?;
            // The runtime's own timer is a millisecond late at worst, and as late in every call of a steady rate.
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            let request = self.request()?;
            let connection = self.connections[place % CONNECTIONS].clone();
            let call = async move {
                let status = call(connection, request).await.unwrap_or(0);
                Answer { due, status, took: began.elapsed().saturating_sub(due) }
            };
            calls.spawn_on(call, self.runtime.handle());
        }
        let answers = self.runtime.block_on(calls.join_all());
        Ok(Outcome { answers, elapsed: began.elapsed() })
    }

    fn request(&self) -> Result<hyper::Request<Full<Bytes>>, Failure> {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % self.bodies.len();
        hyper::Request::post(format!("https://{}/v1/scores", self.host))
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Full::new(self.bodies[place].clone()))
            .map_err(failure::internal)
    }
}

async fn connect(service: &Service) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = tokio::net::TcpStream::connect(&service.address).await.map_err(failure::unavailable)?;
    stream.set_nodelay(true).map_err(failure::unavailable)?;
    let name = ServerName::try_from("localhost").map_err(failure::internal)?;
    let tls = TlsConnector::from(Arc::clone(&service.tls)).connect(name, stream).await.map_err(failure::unavailable)?;
    let (sender, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(tls)).await.map_err(failure::unavailable)?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn call(
    mut connection: SendRequest<Full<Bytes>>,
    request: hyper::Request<Full<Bytes>>,
) -> Result<u16, hyper::Error> {
    connection.ready().await?;
    let answer = connection.send_request(request).await?;
    let status = answer.status().as_u16();
    answer.into_body().collect().await?;
    Ok(status)
}

impl Outcome {
    pub(super) fn calls(&self) -> usize {
        self.answers.len()
    }

    /// Calls without a score.
    pub(super) fn errors(&self) -> usize {
        self.answers.iter().filter(|answer| answer.status != 200).count()
    }

    /// The same among those that were due early.
    pub(super) fn errors_within(&self, first: Duration) -> usize {
        self.answers.iter().filter(|answer| answer.status != 200 && answer.due < first).count()
    }

    /// How many calls ended with each status.
    pub(super) fn answers(&self) -> BTreeMap<u16, usize> {
        let mut counts = BTreeMap::new();
        self.answers.iter().for_each(|answer| *counts.entry(answer.status).or_default() += 1);
        counts
    }

    /// Scores a second.
    pub(super) fn achieved_per_s(&self) -> f64 {
        (self.calls() - self.errors()) as f64 / self.elapsed.as_secs_f64()
    }

    /// A quantile of the latency of scores, milliseconds.
    pub(super) fn quantile_ms(&self, share: f64) -> f64 {
        self.quantile(share, |status| status == 200)
    }

    /// The same of calls that were turned away.
    pub(super) fn shed_quantile_ms(&self, share: f64) -> f64 {
        self.quantile(share, |status| matches!(status, 429 | 503))
    }

    fn quantile(&self, share: f64, of: impl Fn(u16) -> bool) -> f64 {
        let mut times: Vec<_> =
            self.answers.iter().filter(|answer| of(answer.status)).map(|answer| answer.took).collect();
        times.sort_unstable();
        let place = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
        times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}
