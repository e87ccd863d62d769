//! The seam: one machine a party, whatever the engine.

use tally_crypto::seed::Seed;

use super::messages::{Announcement, Misbehaved, ToBank, ToPlatform};
use super::rows::Keyed;
use super::{Engine, Identifiers, Terms, dh, vole};

/// What a machine asks of its caller after an input.
#[derive(Debug)]
pub struct Step<M> {
    /// Messages to send, in order.
    pub send: Vec<M>,
    /// Row secrets that became known; each identifier's comes once.
    pub keyed: Vec<Keyed>,
    /// Whether every identifier has its secret and no message is awaited.
    pub done: bool,
}

impl<M> Step<M> {
    pub(super) fn send(send: Vec<M>) -> Self {
        Self { send, keyed: Vec::new(), done: false }
    }

    pub(super) fn quiet() -> Self {
        Self::send(Vec::new())
    }
}

/// Label of the platform's commitment to its set.
const OFFERED: &str = "tallystick/offered-set/v2";

/// The platform's machine.
pub struct Platform(PlatformEngine);

enum PlatformEngine {
    Dh(Box<dh::Platform>),
    Vole(Box<vole::Platform>),
}

/// The bank's machine.
pub struct Bank(BankEngine);

enum BankEngine {
    Dh(Box<dh::Bank>),
    Vole(Box<vole::Bank>),
}

impl Platform {
    /// Starts with `identifiers`; `rows` is the number to announce, at least theirs. Everything random comes from `seed`,
    /// which serves this session alone, so that a restarted node repeats itself.
    ///
    /// # Errors
    /// Fails if an identifier cannot be evaluated, or if the engine was withdrawn.
    pub fn start(
        terms: &Terms,
        identifiers: Identifiers,
        rows: u64,
        seed: &Seed,
    ) -> Result<(Self, Step<ToBank>), Misbehaved> {
        let set = identifiers.commitment(OFFERED, seed);
        let announcement = Announcement { rows, set, public_key: None };
        Ok(match terms.engine {
            Engine::Voprf | Engine::Oprf => {
                let (machine, step) = dh::Platform::start(terms, &identifiers, announcement, seed)?;
                (Self(PlatformEngine::Dh(Box::new(machine))), step)
            }
            Engine::VoleV1 => return Err(Misbehaved::Withdrawn),
            Engine::Vole => {
                let (machine, step) = vole::Platform::start(terms, identifiers, announcement, seed);
                (Self(PlatformEngine::Vole(Box::new(machine))), step)
            }
        })
    }

    /// Starts 2HashDH from evaluations that were kept from earlier sessions of the key's epoch.
    ///
    /// # Errors
    /// Fails if an identifier is not among them.
    pub fn start_kept(
        terms: &Terms,
        identifiers: &Identifiers,
        rows: u64,
        (key, kept): (dh::EpochKey, &dh::Evaluations),
        seed: &Seed,
    ) -> Result<(Self, Step<ToBank>), Misbehaved> {
        let set = identifiers.commitment(OFFERED, seed);
        let announcement = Announcement { rows, set, public_key: None };
        let (machine, step) = dh::Platform::start_kept(terms, identifiers, (key, kept), announcement, seed)?;
        Ok((Self(PlatformEngine::Dh(Box::new(machine))), step))
    }

    /// Applies a message of the bank.
    ///
    /// # Errors
    /// Says how the bank broke the protocol.
    pub fn receive(&mut self, message: ToPlatform) -> Result<Step<ToBank>, Misbehaved> {
        match &mut self.0 {
            PlatformEngine::Dh(machine) => machine.receive(message),
            PlatformEngine::Vole(machine) => machine.receive(message),
        }
    }
}

impl Bank {
    /// Waits for the platform's announcement. Everything random comes from `seed`, which serves this session alone.
    ///
    /// # Errors
    /// Fails if there are more identifiers than the contract allows to evaluate, or if the engine was withdrawn.
    pub fn new(terms: &Terms, identifiers: Identifiers, seed: &Seed) -> Result<Self, Misbehaved> {
        let asked = identifiers.len() as u64;
        if asked > terms.cap {
            return Err(Misbehaved::OverCap { asked, cap: terms.cap });
        }
        Ok(Self(match terms.engine {
            Engine::Voprf | Engine::Oprf => BankEngine::Dh(Box::new(dh::Bank::new(terms, identifiers, seed))),
            Engine::VoleV1 => return Err(Misbehaved::Withdrawn),
            Engine::Vole => BankEngine::Vole(Box::new(vole::Bank::new(terms, identifiers, seed))),
        }))
    }

    /// Applies a message of the platform.
    ///
    /// # Errors
    /// Says how the platform broke the protocol.
    pub fn receive(&mut self, message: ToBank) -> Result<Step<ToPlatform>, Misbehaved> {
        match &mut self.0 {
            BankEngine::Dh(machine) => machine.receive(message),
            BankEngine::Vole(machine) => machine.receive(message),
        }
    }
}
