//! The way out of one connection: messages are signed for and cut into frames here, beside the caller's thread.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use prost::Message as _;
use tally_audit::{Sent, SignedReceipt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_stream::Stream;

use crate::VERSION;
use crate::frames;
use crate::link::{Outgoing, Shared, locked};
use crate::wire::{Acknowledgement, AddCheckpoint, Frame, Hello, frame::Kind};

/// What waits to leave.
pub(crate) enum Parcel {
    Message(Outgoing),
    /// Of the number that stands there when it leaves.
    Acknowledgement(Arc<AtomicU64>),
    /// About the checkpoint that lies there when it leaves.
    Ask(Arc<Mutex<Option<Vec<u8>>>>),
    /// With its place among the answers that wait.
    Answer {
        frame: Frame,
        _place: OwnedSemaphorePermit,
    },
}

/// The frames for one peer, a hello first.
pub(crate) struct Outbound {
    peer: String,
    shared: Arc<Shared>,
    parcels: UnboundedReceiver<Parcel>,
    frames: VecDeque<Frame>,
}

impl Outbound {
    /// The frames for `peer`, and where to put what shall leave.
    pub(crate) fn new(peer: &str, shared: &Arc<Shared>) -> (UnboundedSender<Parcel>, Self) {
        let (sender, parcels) = unbounded_channel();
        let hello = Hello { name: shared.me.name.clone(), version: VERSION };
        let frames = VecDeque::from([Frame { kind: Some(Kind::Hello(hello)) }]);
        (sender, Self { peer: peer.into(), shared: shared.clone(), parcels, frames })
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.parcels.len()
    }

    fn open(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Acknowledgement(highest) => {
                let sequence = highest.swap(0, Ordering::Relaxed);
                self.frames.push_back(Frame { kind: Some(Kind::Acknowledgement(Acknowledgement { sequence })) });
            }
            Parcel::Ask(last) => {
                let body = locked(&last).take();
                let asks = body.map(|body| Frame { kind: Some(Kind::AddCheckpoint(AddCheckpoint { body })) });
                self.frames.extend(asks);
            }
            Parcel::Answer { frame, .. } => self.frames.push_back(frame),
            Parcel::Message(message) => {
                let Outgoing { sequence, session, kind, body, receipt } = &message;
                let (from, to) = (&self.shared.me.name, &self.peer);
                let sent = Sent { from, to, sequence: *sequence, session, kind, body };
                let receipt = SignedReceipt::sign(receipt, &sent, &self.shared.me.key).encode();
                self.frames.extend(frames::split(message, receipt));
            }
        }
    }
}

impl Stream for Outbound {
    type Item = Frame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        while self.frames.is_empty() {
            match self.parcels.poll_recv(cx) {
                Poll::Ready(Some(parcel)) => self.open(parcel),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        let frame = self.frames.pop_front();
        let bytes = frame.as_ref().map_or(0, Frame::encoded_len);
        self.shared.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        Poll::Ready(frame)
    }
}
