//! A slower network: bytes between bank and platform arrive later than they left, as many as ever.
//!
//! Threads that sleep keep the delay to a tenth of a millisecond, where an asynchronous runtime's timer is up to one late.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{self, Failure};

/// Listens on a free port and passes everything on to `target`, `delay` later in each direction; the port.
pub(super) fn start(target: String, delay: Duration) -> Result<u16, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failure::unavailable)?;
    let port = listener.local_addr().map_err(failure::unavailable)?.port();
    thread::spawn(move || {
        while let Ok((near, _)) = listener.accept() {
            // A connection that cannot be passed on is closed; the bank dials again.
            let _ = join(&near, &target, delay);
        }
    });
    Ok(port)
}

fn join(near: &TcpStream, target: &str, delay: Duration) -> std::io::Result<()> {
    let far = TcpStream::connect(target)?;
    // A relay that waits for more bytes would add to the round trip.
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    pass(near.try_clone()?, far.try_clone()?, delay);
    pass(far, near.try_clone()?, delay);
    Ok(())
}

/// Passes on one direction, in order, until either side closes.
fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, late) = channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in late {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
}
