//! What is on its way to a peer: a window of bytes and one message, however much waits for it in the store.
//!
//! A peer that reads slowly, or not at all, costs the memory of one window. Messages leave in the order of their numbers: once
//! one had to wait, those behind it wait too, and are read from the store when there is room again.

use std::collections::VecDeque;

/// With so many bytes on their way to a peer, nothing further leaves until some have arrived.
const WINDOW: usize = 16 << 20;

/// What a message takes beside its bytes.
const MESSAGE: usize = 1024;

/// The messages that one connection has been handed and that its peer has not acknowledged.
#[derive(Debug)]
pub(super) struct UnderWay {
    /// Number and bytes of each, in order.
    messages: VecDeque<(u64, usize)>,
    bytes: usize,
    /// Number of the last one that was handed over.
    last: u64,
    /// Further ones wait in the store.
    behind: bool,
}

impl UnderWay {
    /// A new connection: whatever has not been acknowledged waits in the store.
    pub(super) fn new() -> Self {
        Self { messages: VecDeque::new(), bytes: 0, last: 0, behind: true }
    }

    /// Whether a message that has just become durable may leave at once; if not, it is among those that wait.
    pub(super) fn takes(&mut self, number: u64, length: usize) -> bool {
        self.behind = self.behind || !self.has_room();
        if !self.behind {
            self.take(number, length);
        }
        !self.behind
    }

    /// Takes the next one of those that wait.
    pub(super) fn take(&mut self, number: u64, length: usize) {
        self.messages.push_back((number, length));
        self.bytes += length + MESSAGE;
        self.last = number;
    }

    /// The peer has everything up to `number`.
    pub(super) fn arrived(&mut self, number: u64) {
        while let Some((_, length)) = self.messages.pop_front_if(|(first, _)| *first <= number) {
            self.bytes -= length + MESSAGE;
        }
    }

    /// Behind which number to read on, if messages wait and there is room.
    pub(super) fn reads_on(&self) -> Option<u64> {
        (self.behind && self.has_room()).then_some(self.last)
    }

    /// Nothing waits any more.
    pub(super) fn caught_up(&mut self) {
        self.behind = false;
    }

    fn has_room(&self) -> bool {
        self.bytes < WINDOW
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a peer that acknowledges when it likes: everything leaves once, in order, within the window.
        #[test]
        fn everything_leaves_in_order_within_the_window(
            stored in 0u64..20,
            steps in proptest::collection::vec((any::<bool>(), 0usize..WINDOW), 1..60),
        ) {
            let length = |number: u64| (number as usize * 7_654_321) % (WINDOW / 2);
            let (mut way, mut next, mut left) = (UnderWay::new(), stored, Vec::new());
            for (post, amount) in steps {
                if post {
                    next += 1;
                    if way.takes(next, length(next)) {
                        left.push(next);
                    }
                } else if let Some(&number) = left.get(amount % left.len().max(1)) {
                    way.arrived(number);
                }
                while let Some(last) = way.reads_on() {
                    if last == next {
                        way.caught_up();
                        break;
                    }
                    way.take(last + 1, length(last + 1));
                    left.push(last + 1);
                }
                let bytes: usize = way.messages.iter().map(|(_, length)| length + MESSAGE).sum();
                prop_assert_eq!(bytes, way.bytes);
                prop_assert!(way.bytes <= WINDOW + WINDOW / 2 + MESSAGE);
            }
            prop_assert!(left.iter().copied().eq(1..=left.len() as u64));
            way.arrived(u64::MAX);
            prop_assert!(way.bytes == 0 && (way.reads_on().is_some() || left.len() as u64 == next));
        }
    }
}
