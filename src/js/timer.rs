//! The platform's timers.

use crate::notify::Notify;
use futures_util::future::{FutureExt, LocalBoxFuture};
use gloo_timers::callback::Timeout;
use std::rc::Rc;
use std::time::Duration;

/// Calls a function once after a time, unless dropped before.
///
/// Deno 2.1.4 may call a timer once more that was cleared in the very tick in which it fell due. gloo's closure would
/// be freed by then and throw, which ends the isolate; this one is left to JavaScript's garbage collector.
pub struct Timer(Option<Timeout>);

impl Timer {
    pub fn after(duration: Duration, call: impl FnOnce() + 'static) -> Timer {
        Timer(Some(Timeout::new(duration.as_millis().min(i32::MAX as u128) as u32, call)))
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(timeout) = self.0.take() {
            drop(timeout.cancel().into_js_value());
        }
    }
}

pub fn sleep(duration: Duration) -> LocalBoxFuture<'static, ()> {
    async move {
        let notify = Rc::new(Notify::default());
        let timer = Timer::after(duration, {
            let notify = notify.clone();
            move || notify.notify()
        });
        notify.notified().await;
        drop(timer);
    }
    .boxed_local()
}
