//! Long messages in parts of at most a mebibyte, and back.

use crate::link::Outgoing;
use crate::wire::{Frame, Part, frame::Kind};

/// Bytes of a message in one frame; leaves room for the rest of the frame below 1 MiB.
const PART_BYTES: usize = (1 << 20) - 4096;
/// Largest message taken in.
pub(crate) const MESSAGE_BYTES: usize = 256 << 20;
/// Largest frame taken in.
pub(crate) const FRAME_BYTES: usize = 1 << 20;

/// The frames of a message; the receipt goes with the first.
pub(crate) fn split(message: Outgoing, mut receipt: Vec<u8>) -> impl Iterator<Item = Frame> {
    let parts = message.body.len().div_ceil(PART_BYTES).max(1);
    (0..parts).map(move |part| {
        let from = part * PART_BYTES;
        let to = message.body.len().min(from + PART_BYTES);
        Frame {
            kind: Some(Kind::Part(Part {
                sequence: message.sequence,
                session: message.session.clone(),
                kind: message.kind.clone(),
                receipt: std::mem::take(&mut receipt),
                part: u32::try_from(part).unwrap_or(u32::MAX),
                parts: u32::try_from(parts).unwrap_or(u32::MAX),
                body: message.body[from..to].to_vec(),
            })),
        }
    })
}

/// A message that arrived whole, before its receipt is verified.
pub(crate) struct Arrived {
    pub(crate) sequence: u64,
    pub(crate) session: String,
    pub(crate) kind: String,
    pub(crate) body: Vec<u8>,
    pub(crate) receipt: Vec<u8>,
}

/// A message on its way in.
#[derive(Default)]
pub(crate) struct Reassembly {
    first: Option<Part>,
    next: u32,
}

impl Reassembly {
    /// Takes in a part; the message, if it was the last.
    pub(crate) fn take(&mut self, part: Part) -> Result<Option<Arrived>, &'static str> {
        if part.parts == 0 || part.part != self.next || part.part >= part.parts {
            return Err("the peer sent the parts of a message out of order");
        }
        let whole = match self.first.take() {
            None => part,
            Some(mut whole) => {
                if (whole.sequence, whole.parts) != (part.sequence, part.parts) {
                    return Err("the peer mixed the parts of two messages");
                }
                if whole.body.len() + part.body.len() > MESSAGE_BYTES {
                    return Err("the peer sent a message of more than 256 MiB");
                }
                whole.body.extend_from_slice(&part.body);
                whole
            }
        };
        self.next += 1;
        if self.next < whole.parts {
            self.first = Some(whole);
            return Ok(None);
        }
        self.next = 0;
        let Part { sequence, session, kind, body, receipt, .. } = whole;
        Ok(Some(Arrived { sequence, session, kind, body, receipt }))
    }
}
