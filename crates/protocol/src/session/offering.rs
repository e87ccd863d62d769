//! The platform's side of the alignment with one bank, and the rows that it seals for it.

use tally_crypto::seed::Seed;

use super::join::ROWS_PER_MESSAGE;
use super::messages::FromPlatform;
use super::transcript::AlignmentTranscript;
use super::withdrawal::Offered;
use crate::alignment::{self, Keyed, Misbehaved, Step, ToBank, ToPlatform, pad_rows, seal_rows};

/// The alignment with one bank.
pub(super) struct BankAlignment {
    pub(super) machine: alignment::Platform,
    pub(super) transcript: AlignmentTranscript,
    pub(super) keyed: Vec<Keyed>,
    pub(super) payloads: Vec<Vec<u8>>,
    pub(super) announced: u64,
    pub(super) aligned: bool,
}

impl BankAlignment {
    pub(super) fn receive(
        &mut self,
        message: ToPlatform,
        seed: &Seed,
        offered: &mut Offered,
    ) -> Result<Vec<FromPlatform>, Misbehaved> {
        self.transcript.sent_to_platform(&message);
        let step = self.machine.receive(message)?;
        self.take(step, seed, offered)
    }

    /// What a step sends; once every row has its key, the sealed rows go with it.
    pub(super) fn take(
        &mut self,
        step: Step<ToBank>,
        seed: &Seed,
        offered: &mut Offered,
    ) -> Result<Vec<FromPlatform>, Misbehaved> {
        step.send.iter().for_each(|message| self.transcript.sent_to_bank(message));
        let mut send: Vec<_> = step.send.into_iter().map(FromPlatform::Alignment).collect();
        self.keyed.extend(step.keyed);
        if step.done {
            let mut rows = seal_rows(&self.keyed, &self.payloads)?;
            let withdrawn = offered.keyed(self.keyed.iter().map(|keyed| (keyed.row, &keyed.secret)));
            rows.retain(|row| !withdrawn.contains(&row.tag));
            let length = self.payloads.first().map_or(0, Vec::len);
            let mut rng = seed.rng("tallystick/padding", &[self.transcript.digest().as_bytes()]);
            pad_rows(&mut rows, self.announced as usize, length, &mut rng);
            self.transcript.rows(&rows);
            send.extend(rows.chunks(ROWS_PER_MESSAGE).map(|chunk| FromPlatform::Rows(chunk.to_vec())));
            (self.keyed, self.payloads) = (Vec::new(), Vec::new());
        }
        Ok(send)
    }
}
