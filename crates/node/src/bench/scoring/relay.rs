//! A slower network: bytes between bank and platform arrive later than they left, as many as ever.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::failure::{self, Failure};

/// Listens on a free port and passes everything on to `target`, `delay` later in each direction; the port.
pub(super) fn start(target: String, delay: Duration) -> Result<u16, Failure> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(failure::unavailable)?;
    listener.set_nonblocking(true).map_err(failure::unavailable)?;
    let port = listener.local_addr().map_err(failure::unavailable)?.port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failure::internal)?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(join(near, target.clone(), delay));
            }
        });
    });
    Ok(port)
}

async fn join(near: TcpStream, target: String, delay: Duration) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    // A relay that waits for more bytes would add to the round trip.
    let _ = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::join!(pass(near_in, far_out, delay), pass(far_in, near_out, delay));
}

async fn pass(mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf, delay: Duration) {
    let (sender, mut late) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let reading = async move {
        let mut buffer = vec![0; 65_536];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if sender.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, bytes)) = late.recv().await {
            tokio::time::sleep_until(due.into()).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}
