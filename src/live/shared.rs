//! `Owned` and `Shared`: a value that one owner writes and others only read.

use std::sync::Arc;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::sync::RwLockWriteGuard;

use crate::base::lock;

/// The owner's handle; there is one for each value, since it cannot be cloned.
#[derive(Debug, Default)]
pub struct Owned<T>(Arc<RwLock<T>>);

impl<T> Owned<T> {
    /// Owns a value that nobody else reads yet.
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(value)))
    }

    /// A handle that can only read.
    pub fn share(&self) -> Shared<T> {
        Shared(Arc::clone(&self.0))
    }

    /// Locks for reading. Locks are held for a copy or a look, never over I/O.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        lock::read(&self.0)
    }

    /// Locks for writing.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        lock::write(&self.0)
    }
}

/// A reader's handle; made by [`Owned::share`].
#[derive(Debug)]
pub struct Shared<T>(Arc<RwLock<T>>);

impl<T> Shared<T> {
    /// Locks for reading. Locks are held for a copy or a look, never over I/O.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        lock::read(&self.0)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
