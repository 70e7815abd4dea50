//! Tells a running drain about new work, and about the end of its isolate.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::task::{Poll, Waker};

#[derive(Default)]
pub struct Notify {
    notified: Cell<bool>,
    closing: Cell<bool>,
    listeners: RefCell<Vec<Waker>>,
}

impl Notify {
    /// Reports that a job may be ready: a drain that can still claim does so at once.
    pub fn notify(&self) {
        self.notified.set(true);
        self.wake_listeners();
    }

    pub fn is_notified(&self) -> bool {
        self.notified.get()
    }

    /// Returns whether a notification came, and clears it.
    pub fn take(&self) -> bool {
        self.notified.take()
    }

    /// Resolves when notified or closed.
    pub fn notified(&self) -> impl Future<Output = ()> {
        poll_fn(|context| {
            if self.notified.get() || self.closing.get() {
                return Poll::Ready(());
            }
            let mut listeners = self.listeners.borrow_mut();
            if !listeners.iter().any(|listener| listener.will_wake(context.waker())) {
                listeners.push(context.waker().clone());
            }
            Poll::Pending
        })
    }

    /// Reports that the isolate ends soon: drains begin nothing more.
    pub fn close(&self) {
        self.closing.set(true);
        self.wake_listeners();
    }

    pub fn is_closing(&self) -> bool {
        self.closing.get()
    }

    fn wake_listeners(&self) {
        self.listeners.take().into_iter().for_each(Waker::wake);
    }
}
