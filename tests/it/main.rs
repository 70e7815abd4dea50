//! What the worker says and hears, tested natively.

mod inputs;
