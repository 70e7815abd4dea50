//! How a drain at work hears of what happens meanwhile: new work, and the end of the isolate.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::task::{Poll, Waker};

#[derive(Default)]
pub struct Bell {
    rung: Cell<bool>,
    closing: Cell<bool>,
    listeners: RefCell<Vec<Waker>>,
}

impl Bell {
    /// Something may be ready: a drain that can still claim does so at once.
    pub fn ring(&self) {
        self.rung.set(true);
        self.wake_listeners();
    }

    pub fn is_rung(&self) -> bool {
        self.rung.get()
    }

    /// Whether it was rung, which is then over.
    pub fn answer(&self) -> bool {
        self.rung.take()
    }

    /// Waits until it is rung, or closed.
    pub fn heard(&self) -> impl Future<Output = ()> {
        poll_fn(|context| {
            if self.rung.get() || self.closing.get() {
                return Poll::Ready(());
            }
            let mut listeners = self.listeners.borrow_mut();
            if !listeners.iter().any(|listener| listener.will_wake(context.waker())) {
                listeners.push(context.waker().clone());
            }
            Poll::Pending
        })
    }

    /// The isolate ends soon: nothing is begun any more.
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
