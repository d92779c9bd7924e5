use crate::{Error, Result, Status};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread::ThreadId;

/// Sessions that work in one scratch have this together: it keeps a second thread out while one is inside.
#[derive(Default)]
pub(crate) struct Gate {
    inside: Mutex<Option<ThreadId>>,
    left: Condvar,
}

/// Of [`Gate::enter`].
pub(crate) struct Inside<'g> {
    gate: &'g Gate,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Option<ThreadId>> {
        self.inside.lock().unwrap_or_else(|it| it.into_inner())
    }

    /// For a call on a session. Refused while another thread, or a callback's caller, is inside.
    pub(crate) fn enter(&self) -> Result<Inside<'_>> {
        let mut inside = self.lock();
        if inside.is_some() {
            return Err(Error::new(Status::Busy, "a session that shares the scratch is in use"));
        }
        *inside = Some(std::thread::current().id());
        Ok(Inside { gate: self })
    }

    /// For a drop, which can't be refused: waits for other threads, and for nothing inside a callback.
    pub(crate) fn last(&self) -> Option<Inside<'_>> {
        let here = std::thread::current().id();
        let mut inside = self.lock();
        while let Some(thread) = *inside {
            if thread == here {
                return None;
            }
            inside = self.left.wait(inside).unwrap_or_else(|it| it.into_inner());
        }
        *inside = Some(here);
        Some(Inside { gate: self })
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        *self.gate.lock() = None;
        self.gate.left.notify_all();
    }
}
