//! Long messages in parts of at most a mebibyte, and back.

use tally_crypto::transcript::Digest;

use crate::link::{Incoming, Outgoing};
use crate::wire::{Frame, Part, frame::Kind};

/// Bytes of a message in one frame; leaves room for the rest of the frame below 1 MiB.
const PART_BYTES: usize = (1 << 20) - 4096;
/// Largest message taken in.
const MESSAGE_BYTES: usize = 256 << 20;
/// Largest frame taken in.
pub(crate) const FRAME_BYTES: usize = 1 << 20;

/// The frames of a message.
pub(crate) fn split(message: Outgoing) -> impl Iterator<Item = Frame> {
    let parts = message.body.len().div_ceil(PART_BYTES).max(1);
    (0..parts).map(move |part| {
        let from = part * PART_BYTES;
        let to = message.body.len().min(from + PART_BYTES);
        Frame {
            kind: Some(Kind::Part(Part {
                sequence: message.sequence,
                session: message.session.clone(),
                kind: message.kind.clone(),
                receipt_index: message.receipt.index(),
                receipt_leaf: message.receipt.leaf().0.to_vec(),
                part: u32::try_from(part).unwrap_or(u32::MAX),
                parts: u32::try_from(parts).unwrap_or(u32::MAX),
                body: message.body[from..to].to_vec(),
            })),
        }
    })
}

/// A message on its way in.
#[derive(Default)]
pub(crate) struct Reassembly {
    first: Option<Part>,
    next: u32,
}

impl Reassembly {
    /// Takes in a part; the message, if it was the last.
    pub(crate) fn take(&mut self, part: Part) -> Result<Option<Incoming>, &'static str> {
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
        let leaf = whole.receipt_leaf.try_into().map_err(|_| "the peer sent a receipt that is not a leaf hash")?;
        Ok(Some(Incoming {
            sequence: whole.sequence,
            session: whole.session,
            kind: whole.kind,
            body: whole.body,
            receipt_index: whole.receipt_index,
            receipt_leaf: Digest(leaf),
        }))
    }
}
