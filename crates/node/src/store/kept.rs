//! What was read last, kept until it is written anew: records that every score needs and that seldom change.

use std::cell::RefCell;
use std::sync::Arc;

use crate::failure::Failure;

/// One thing that was read, or nothing yet.
#[derive(Debug)]
pub(super) struct Kept<T>(RefCell<Option<Arc<T>>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(RefCell::new(None))
    }
}

impl<T> Kept<T> {
    /// What is kept; read where nothing is.
    pub(super) fn or_read(&self, read: impl FnOnce() -> Result<T, Failure>) -> Result<Arc<T>, Failure> {
        if let Some(kept) = &*self.0.borrow() {
            return Ok(Arc::clone(kept));
        }
        let value = Arc::new(read()?);
        *self.0.borrow_mut() = Some(Arc::clone(&value));
        Ok(value)
    }

    /// Changes what is kept, if anything is, as the store was changed.
    pub(super) fn change(&self, change: impl FnOnce(&mut T))
    where
        T: Clone,
    {
        if let Some(kept) = &mut *self.0.borrow_mut() {
            change(Arc::make_mut(kept));
        }
    }

    /// Forgets it: it was written anew, or what was written was undone.
    pub(super) fn forget(&self) {
        *self.0.borrow_mut() = None;
    }
}
