//! Image models: the input of each, and the translation of a job's request into it.

pub mod catalogue;
pub mod description;
pub mod input;
pub mod request;
pub mod schema;
