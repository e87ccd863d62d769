//! A door: how every listener of a process takes in connections.
//!
//! A connection takes a place before anything is read from it, and before a handshake costs anything. Places are bounded, in total
//! and for each source, and the bounds of all doors of a process lie below the number of files that it may open: strangers leave
//! the store, the log and the keys the descriptors that they need. Who comes when every place is taken gets the place of a stranger
//! (the one that has waited longest, of the source that holds the most), or is turned away at once where none is a stranger any
//! more. Whoever has shown who it is ([`Pass::keep`]) holds its place until it goes.
//!
//! What one client can do: take the places of its own source. With as many sources as there are places it can take them all, and
//! strangers must be quicker with their handshake than it is with new connections; those who are in stay in. A failure to accept
//! (no descriptors, no memory, a client that has gone) ends nothing: the door pauses where it must, and says in the journal what
//! happened, at once the first time and then once a minute in sum.

mod complaints;
mod places;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;

pub use complaints::{Complaints, Trouble};
pub use places::{Bounds, Pass, Place, Places, Source, Taking};

/// Connections that wait in the system's queue until they are accepted: they take no descriptor of the process.
const BACKLOG: u32 = 1024;

/// Pause after a failure to accept: others may close what the process lacks.
pub const PAUSE: Duration = Duration::from_millis(100);

/// A listener with bounded places.
pub struct Door {
    listener: TcpListener,
    places: Arc<Places>,
    complaints: Complaints,
}

impl Door {
    /// Listens on `address` (host:port); `name` is what the journal calls the door. In the context of a runtime.
    ///
    /// # Errors
    /// The system's, of the last address that the name stands for.
    pub fn bind(address: &str, name: &'static str, bounds: Bounds) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the name stands for no address");
        for address in address.to_socket_addrs()? {
            match listen(address) {
                Ok(listener) => {
                    let (places, complaints) = (Places::new(bounds), Complaints::new(name));
                    return Ok(Self { listener, places, complaints });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection that has a place. It can be dropped at any moment without losing a connection.
    pub async fn next(&mut self) -> Guest {
        loop {
            match self.accept().await {
                Some(Ok((tcp, from))) => {
                    if let Some(guest) = self.admit(tcp, from) {
                        return guest;
                    }
                }
                Some(Err(error)) => {
                    let gone =
                        matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset);
                    self.complaints.note(Trouble::Accept(error), Instant::now());
                    if !gone {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                None => self.complaints.tell(Instant::now()),
            }
        }
    }

    /// What the system says next; nothing when it is time to tell of the troubles so far.
    async fn accept(&self) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        match self.complaints.due() {
            Some(due) => tokio::time::timeout_at(due.into(), self.listener.accept()).await.ok(),
            None => Some(self.listener.accept().await),
        }
    }

    fn admit(&mut self, tcp: TcpStream, from: SocketAddr) -> Option<Guest> {
        let Some(place) = self.places.take(Source::of(from.ip())) else {
            // It is not waited for: nothing of it stays behind in the system either.
            let _ = tcp.set_zero_linger();
            self.complaints.note(Trouble::TurnedAway, Instant::now());
            return None;
        };
        if place.of_another {
            self.complaints.note(Trouble::Replaced, Instant::now());
        }
        let _ = tcp.set_nodelay(true);
        let (lost, place) = place.split();
        Some(Guest { tcp, from, lost: Some(lost), place })
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A connection with its place. It breaks when another one gets the place.
pub struct Guest {
    // Closed before its place is free.
    tcp: TcpStream,
    from: SocketAddr,
    /// Ends when the place is lost; nothing once it has.
    lost: Option<oneshot::Receiver<()>>,
    place: Place,
}

impl Guest {
    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.from
    }

    /// What keeps its place.
    pub fn pass(&self) -> Pass {
        self.place.pass()
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let lost = match &mut self.lost {
            None => true,
            Some(lost) => Pin::new(lost).poll(context).is_ready(),
        };
        if !lost {
            return Ok(());
        }
        self.lost = None;
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "its place went to another connection"))
    }
}

impl AsyncRead for Guest {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.tcp).poll_read(context, into)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.tcp).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
