//! Where the engine leaves the answer to a command.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::failure::Failure;

/// Where the answer to a command goes: one answer a command.
#[derive(Clone)]
pub(crate) struct Reply {
    answer: UnboundedSender<Result<Value, Failure>>,
    _place: Option<Arc<OwnedSemaphorePermit>>,
}

/// The other end: a thread or a task may wait for it, and gets nothing if the node stops.
pub(crate) type Awaited = UnboundedReceiver<Result<Value, Failure>>;

impl Reply {
    /// Both ends.
    pub(crate) fn channel() -> (Self, Awaited) {
        let (answer, awaited) = unbounded_channel();
        (Self { answer, _place: None }, awaited)
    }

    /// The same, with a place that is taken until the engine is done, whether or not anybody still waits.
    pub(crate) fn with(self, place: &Arc<OwnedSemaphorePermit>) -> Self {
        Self { _place: Some(Arc::clone(place)), ..self }
    }

    /// Answers. Whoever asked may have gone; the work is done all the same.
    pub(crate) fn send(&self, answer: Result<Value, Failure>) {
        drop(self.answer.send(answer));
    }
}
