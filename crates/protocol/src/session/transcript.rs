//! The transcript of one alignment: equal at both sides, so that their logs can be joined.

use serde::Serialize;
use tally_crypto::transcript::{Digest, Transcript};

use crate::alignment::{SealedRow, ToBank, ToPlatform};

/// Running hashes over what each side sends and over the rows; they may interleave on the wire, each keeps its order.
pub(super) struct AlignmentTranscript {
    to_bank: Transcript,
    to_platform: Transcript,
    rows: Transcript,
}

impl AlignmentTranscript {
    pub(super) fn new() -> Self {
        Self {
            to_bank: Transcript::new("to-bank"),
            to_platform: Transcript::new("to-platform"),
            rows: Transcript::new("rows"),
        }
    }

    pub(super) fn sent_to_bank(&mut self, message: &ToBank) {
        append(&mut self.to_bank, message);
    }

    pub(super) fn sent_to_platform(&mut self, message: &ToPlatform) {
        append(&mut self.to_platform, message);
    }

    pub(super) fn rows(&mut self, rows: &[SealedRow]) {
        for row in rows {
            append(&mut self.rows, row);
        }
    }

    pub(super) fn digest(&self) -> Digest {
        let parts = [&self.to_bank, &self.to_platform, &self.rows].map(|part| part.clone().digest());
        Digest::of("tallystick/alignment/v2", &parts.each_ref().map(|part| part.as_bytes().as_slice()))
    }
}

fn append(transcript: &mut Transcript, message: &impl Serialize) {
    // Panic safety: serialising to a growing vector cannot fail for types without custom errors.
    transcript.append(&postcard::to_allocvec(message).expect("messages serialise"));
}
