//! How much of what a peer sends may wait: its reader goes on as soon as there is room again.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::frames::MESSAGE_BYTES;

/// Bytes of one peer's events that may wait; the longest message fits.
const BYTES: u32 = MESSAGE_BYTES as u32;
/// What an event takes beside the bytes that it carries.
const EVENT_BYTES: u32 = 1024;

/// The place of an event among those of its peer that wait. It is given back when dropped: whoever has dealt with the event
/// drops it then.
#[derive(Debug, Default)]
pub struct Room {
    _taken: Option<OwnedSemaphorePermit>,
}

/// The room that one peer has, over all of its connections.
#[derive(Clone)]
pub(crate) struct Rooms(Arc<Semaphore>);

impl Rooms {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(BYTES as usize)))
    }

    /// Room for an event that carries so many bytes; waits until there is some.
    pub(crate) async fn take(&self, bytes: usize) -> Room {
        let bytes = u32::try_from(bytes).unwrap_or(BYTES).saturating_add(EVENT_BYTES).min(BYTES);
        let taken = match self.0.clone().try_acquire_many_owned(bytes) {
            Ok(taken) => Some(taken),
            // It is never closed.
            Err(_) => self.0.clone().acquire_many_owned(bytes).await.ok(),
        };
        Room { _taken: taken }
    }

    /// Room for an event that carries next to nothing, if there is some now.
    pub(crate) fn try_take(&self) -> Option<Room> {
        let taken = self.0.clone().try_acquire_many_owned(EVENT_BYTES).ok()?;
        Some(Room { _taken: Some(taken) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_fill_no_more_than_the_room() {
        let rooms = Rooms::new();
        let all: Vec<_> = std::iter::from_fn(|| rooms.try_take()).collect();
        assert_eq!(all.len(), (BYTES / EVENT_BYTES) as usize);
        drop(all);
        assert!(rooms.try_take().is_some());
    }

    #[tokio::test]
    async fn who_has_taken_all_room_waits_until_some_is_given_back() {
        let rooms = Rooms::new();
        let first = rooms.take(usize::MAX).await;
        let waiting = tokio::spawn({
            let rooms = rooms.clone();
            async move { rooms.take(0).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        drop(waiting.await.unwrap());
        assert_eq!(rooms.0.available_permits(), BYTES as usize);
    }
}
