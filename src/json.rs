//! JSON made here. serde_json's own ways, `json!` and `Display`, each make a copy of their code wherever they are
//! used, some kilobytes of the wasm together.

use serde_json::{Map, Value};

/// An object with these fields.
pub fn object(fields: Vec<(&str, Value)>) -> Value {
    let mut object = Map::new();
    for (name, value) in fields {
        object.insert(name.to_owned(), value);
    }
    object.into()
}

/// The text of a value.
pub fn text(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Whole numbers without a fraction, as JSON comes back from Replicate: an input is recognised by
/// comparison, and to serde_json 7.0 is not 7. Messages show it too: what prints an `f64` would add 7 KB.
pub fn number(value: f64) -> Value {
    let whole = value as i64;
    if whole as f64 == value { Value::from(whole) } else { Value::from(value) }
}
