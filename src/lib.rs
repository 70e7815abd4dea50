//! A background job worker that lives in a Supabase project.
//!
//! Jobs lie in the table `job_queue`. [`worker::drain`] claims them, runs the handler of each job's
//! type, and settles every outcome in one RPC. [`server::handle`] is the HTTP face of it. Nothing
//! here knows JavaScript: the network, the clock and the log are the three traits of [`ctx`], and
//! `js` (built for wasm32 only) puts the platform behind them.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod address;
pub mod bell;
pub mod config;
pub mod ctx;
pub mod error;
pub mod event;
pub mod fields;
pub mod handlers;
pub mod hosts;
pub mod image;
pub mod job;
mod json;
pub mod queue;
pub mod replicate;
pub mod server;
pub mod source;
pub mod storage;
pub mod svg;
pub mod worker;

#[cfg(target_arch = "wasm32")]
mod js;
