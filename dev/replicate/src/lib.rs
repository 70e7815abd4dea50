//! A stand-in for Replicate's HTTP API that runs inside the caller's process.
//!
//! It answers as Replicate does: the checks of body and input with their errors, the life cycle of a prediction, list,
//! cancel, deadlines, rate limits, and output files that are real pictures of the promised format and size, served from
//! a port of their own. It knows the models from `models.json`; a size that no source states is computed from the
//! aspect ratio. An hour after its end a prediction loses its input, output, logs and files.
//!
//! Webhooks are signed and sent as Replicate does, to https and, because a local stack has no TLS, to http; this
//! process sends no TLS either, so https ones get no answer. The final event is retried for about a minute until it is
//! accepted. Replicate does not document an event for an aborted prediction; the stand-in sends none.
//!
//! # Scripted predictions
//!
//! Words in square brackets in the prompt script the prediction; several may be combined.
//!
//! | marker | what follows |
//! |---|---|
//! | `[fail:E005]`, `[fail:nsfw]` | failed: flagged as sensitive (E005) |
//! | `[fail:safety]` | failed: the model's own "NSFW content detected" |
//! | `[fail:PA]` | failed: prediction interrupted (code: PA) |
//! | `[fail:E9828]`, `[fail:E8765]` | failed: an error of Replicate's director |
//! | `[fail:E1000]`, `[fail:E1001]` | failed: unknown error, out of memory |
//! | `[fail:any words]` | failed with these words |
//! | `[fail-once:…]` | the first prediction with this model and input fails so, later ones succeed |
//! | `[hang]` | stays `processing` until it is cancelled or its deadline passes |
//! | `[empty]` | succeeded, output `[]` |
//! | `[fewer]` | one output fewer than asked for |
//! | `[gone]` | input, output, logs and files are removed at the end |
//! | `[output:array]`, `[output:string]` | the output in this shape, whatever the schema says |
//! | `[output:object]` | the output as `{"url": …}` |
//! | `[output:data]` | the output as a `data:` URI |
//! | `[not-an-image]` | the file is an HTML page, served as `text/html` |
//! | `[huge:50MB]` | the file is a PNG header and that many bytes (B, kB, MB, MiB) |
//! | `[no-length]` | the file is sent without Content-Length |
//! | `[slow-body]` | the file comes in pieces, 100 ms apart (a picture in 20, a huge one in 64 KiB each) |
//! | `[file:404]` | the file is answered with this status, always |
//! | `[file:500-once]` | the file is answered with this status once |
//! | `[webhook:lost]` | no event is sent |
//! | `[webhook:twice]` | the final event comes again though it was taken, 1 s later, with the same id |
//! | `[webhook:late:3s]` | the final event is first sent that long after the end (ms, s) |
//! | `[webhook:reordered]` | after the final event comes one from before the end, with an id of its own |
//! | `[webhook:forged]` | the final event is signed with another secret |
//! | `[webhook:stale]` | the final event has a timestamp 10 minutes old, validly signed |
//!
//! Faults of the transport are set from outside: [`Server::fail_next`], [`Server::set_mode`].

#![warn(clippy::too_many_lines)]

mod answer;
mod api;
mod catalogue;
mod clock;
mod create;
mod fault;
mod files;
mod gate;
mod picture;
mod prediction;
mod rate;
mod schema;
mod script;
mod server;
mod state;
mod webhook;

pub use fault::{Endpoint, Fault, Mode};
pub use gate::Request;
pub use prediction::{Prediction, Status};
pub use rate::Rate;
pub use server::{Options, Server};
pub use webhook::Delivery;
