//! The transcript of one alignment: equal at both sides, so that their logs can be joined.

use serde::Serialize;
use tally_crypto::transcript::{Digest, Transcript};

use crate::alignment::{Announcement, Blinded, Evaluated, SealedRow};

/// Running hashes over the four kinds of message; kinds may interleave on the wire, each kind keeps its order.
pub(super) struct AlignmentTranscript {
    announced: Transcript,
    rows: Transcript,
    blinded: Transcript,
    evaluated: Transcript,
}

impl AlignmentTranscript {
    pub(super) fn new(announcement: &Announcement) -> Self {
        let mut transcript = Self {
            announced: Transcript::new("announced"),
            rows: Transcript::new("rows"),
            blinded: Transcript::new("blinded"),
            evaluated: Transcript::new("evaluated"),
        };
        append(&mut transcript.announced, announcement);
        transcript
    }

    pub(super) fn rows(&mut self, rows: &[SealedRow]) {
        for row in rows {
            append(&mut self.rows, row);
        }
    }

    pub(super) fn blinded(&mut self, blinded: &Blinded) {
        append(&mut self.blinded, blinded);
    }

    pub(super) fn evaluated(&mut self, evaluated: &Evaluated) {
        append(&mut self.evaluated, evaluated);
    }

    pub(super) fn digest(&self) -> Digest {
        let parts = [&self.announced, &self.rows, &self.blinded, &self.evaluated].map(|part| part.clone().digest());
        Digest::of("tallystick/alignment/v1", &parts.each_ref().map(|part| part.as_bytes().as_slice()))
    }
}

fn append(transcript: &mut Transcript, message: &impl Serialize) {
    // Panic safety: serialising to a growing vector cannot fail for types without custom errors.
    transcript.append(&postcard::to_allocvec(message).expect("messages serialise"));
}
