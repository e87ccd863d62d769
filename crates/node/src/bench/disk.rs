//! How long a disk takes to make four kilobytes durable.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two probes of a disk under load: few beside the syncs of what is measured.
const BETWEEN: Duration = Duration::from_millis(50);

/// Median milliseconds of a sync.
pub(super) fn median_sync(folder: &Path) -> std::io::Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut times = (0..65).map(|_| sync(&mut file)).collect::<std::io::Result<Vec<_>>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Milliseconds of one sync.
fn sync(file: &mut File) -> std::io::Result<f64> {
    file.write_all(&[0x55; 4096])?;
    let began = Instant::now();
    file.sync_data()?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

/// A disk that is watched while something else is measured: a disk that pauses makes everything wait that is to be durable.
pub(super) struct Watched {
    stop: Sender<()>,
    thread: JoinHandle<std::io::Result<f64>>,
}

impl Watched {
    /// Begins to watch the disk under `folder`.
    pub(super) fn start(folder: &Path) -> std::io::Result<Self> {
        let mut file = tempfile::tempfile_in(folder)?;
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let mut longest = 0.0f64;
            while stopped.recv_timeout(BETWEEN) == Err(RecvTimeoutError::Timeout) {
                longest = longest.max(sync(&mut file)?);
            }
            Ok(longest)
        });
        Ok(Self { stop, thread })
    }

    /// Milliseconds of the longest sync so far.
    pub(super) fn longest(self) -> std::io::Result<f64> {
        drop(self.stop);
        self.thread.join().unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()))
    }
}
