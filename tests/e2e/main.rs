//! The whole of it: real Postgres, REST and Storage, the function in Deno, the stand-in of Replicate.
//!
//! `E2E_POSTGRES` says which Postgres: `embedded` (the default) or `system`. Each test has a stack of
//! its own, so that one may kill what another one uses.

mod cancel;
mod errors;
mod functions;
mod gateway;
mod kills;
mod models;
mod moving;
mod notify;
mod outcomes;
mod queue;
mod routes;
mod support;
mod users;
mod webhooks;
