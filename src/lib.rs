//! A background job worker that lives in a Supabase project.
//!
//! Jobs are rows of the table `job_queue`. [`drain::drain`] claims them, runs the handler of each job's type, and
//! settles every outcome. [`server::handle`] answers HTTP requests. Only `js` (built for wasm32) knows JavaScript: the
//! network, the clock, chance and the log are ports of [`ctx`] and [`http`].
//!
//! ARCHITECTURE.md lists the floors of the modules; no module uses one above its own (`cargo xtask tidy`).

#![warn(clippy::too_many_lines)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod address;
pub mod config;
pub mod ctx;
pub mod drain;
pub mod error;
pub mod fields;
pub mod handlers;
pub mod hosts;
pub mod http;
pub mod job;
mod json;
pub mod log;
pub mod models;
pub mod notify;
pub mod postgrest;
pub mod queue;
pub mod replicate;
pub mod server;
pub mod storage;
pub mod text;
pub mod webhook;

#[cfg(target_arch = "wasm32")]
mod js;
