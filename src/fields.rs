//! Reads outside JSON field by field, so that what does not fit is one sentence that names the field.
//!
//! serde's derived readers cannot name it without `serde_path_to_error`, and a second copy of every
//! reader costs more wasm than this.

use crate::error::cut;
use crate::json;
use serde_json::{Map, Value};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A JSON object under a name for messages. A field that is null counts as absent.
pub struct Fields<'a> {
    name: &'static str,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub fn of(name: &'static str, value: &'a Value) -> Result<Fields<'a>, String> {
        let map = value.as_object().ok_or_else(|| format!("{name} must be an object, found {}", shown(value)))?;
        Ok(Fields { name, map })
    }

    pub fn value(&self, field: &str) -> Option<&'a Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    pub fn text(&self, field: &str) -> Result<Option<&'a str>, String> {
        self.read(field, "a string", Value::as_str)
    }

    /// A list of strings.
    pub fn texts(&self, field: &str) -> Result<Option<Vec<&'a str>>, String> {
        self.read(field, "a list of nothing but strings", |value| value.as_array()?.iter().map(Value::as_str).collect())
    }

    /// False where it is absent.
    pub fn flag(&self, field: &str) -> Result<bool, String> {
        Ok(self.read(field, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    pub fn number(&self, field: &str) -> Result<Option<f64>, String> {
        self.read(field, "a number", Value::as_f64)
    }

    /// A whole number; `1024.0` is one too.
    pub fn integer(&self, field: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, String> {
        let whole = |value: &Value| {
            let number = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9.0e15);
            value.as_i64().or(number.map(|number| number as i64)).filter(|number| range.contains(number))
        };
        self.read(field, format_args!("a whole number from {} to {}", range.start(), range.end()), whole)
    }

    /// The value that must be there.
    pub fn required<T>(&self, field: &str, value: Option<T>) -> Result<T, String> {
        value.ok_or_else(|| format!("{}: {field} is missing", self.name))
    }

    /// Refuses fields that nobody would read.
    pub fn only(&self, known: &[&str]) -> Result<(), String> {
        match self.map.keys().find(|field| !known.contains(&field.as_str())) {
            None => Ok(()),
            Some(field) => {
                Err(format!("{}: {} is not a field, known are {}", self.name, cut(field, 100), known.join(", ")))
            }
        }
    }

    fn read<T>(
        &self,
        field: &str,
        wanted: impl Display,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let refused = || format!("{}: {field} must be {wanted}, found {}", self.name, shown(value));
        read(value).ok_or_else(refused).map(Some)
    }
}

/// A time from outside, up to whole milliseconds; none where it is below 0, or above a thousand years. (The standard
/// library's conversion would add half a kilobyte.)
pub fn seconds(seconds: f64) -> Option<Duration> {
    (0.0..=3.2e10).contains(&seconds).then(|| Duration::from_millis((seconds * 1000.0).ceil() as u64))
}

/// Of texts, which may be prompts or keys and end in logs, only that they are.
fn shown(value: &Value) -> String {
    let text = json::text(value);
    let kind = match value {
        _ if !text.contains('"') => return cut(&text, 100),
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => "a string",
    };
    kind.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_time_is_never_cut_short() {
        let table =
            [(0.0, Some(0)), (0.0004, Some(1)), (1.5, Some(1500)), (-0.001, None), (1e300, None), (f64::NAN, None)];
        for (time, milliseconds) in table {
            assert_eq!(seconds(time), milliseconds.map(Duration::from_millis), "{time}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let value = json!({
            "width": 1024.0, "height": "tall", "steps": 1.5, "seed": null, "prompt": ["a"], "big": 1e300,
            "mixed": ["a", 1],
        });
        let fields = Fields::of("payload", &value).unwrap();
        assert_eq!(fields.integer("width", 0..=2000), Ok(Some(1024)));
        assert_eq!(fields.integer("seed", 0..=9), Ok(None));
        assert_eq!(fields.number("big"), Ok(Some(1e300)));
        assert_eq!(fields.texts("prompt"), Ok(Some(vec!["a"])));
        let refusals = [
            (
                fields.integer("height", 0..=9).unwrap_err(),
                "payload: height must be a whole number from 0 to 9, found a string",
            ),
            (
                fields.integer("steps", 0..=9).unwrap_err(),
                "payload: steps must be a whole number from 0 to 9, found 1.5",
            ),
            (
                fields.integer("big", 0..=9).unwrap_err(),
                "payload: big must be a whole number from 0 to 9, found 1e+300",
            ),
            (fields.number("height").unwrap_err(), "payload: height must be a number, found a string"),
            (fields.text("prompt").unwrap_err(), "payload: prompt must be a string, found a list"),
            (fields.texts("mixed").unwrap_err(), "payload: mixed must be a list of nothing but strings, found a list"),
            (fields.required::<()>("user_id", None).unwrap_err(), "payload: user_id is missing"),
            (fields.only(&["width"]).unwrap_err(), "payload: big is not a field, known are width"),
            (Fields::of("body", &json!([1])).err().unwrap(), "body must be an object, found [1]"),
        ];
        for (found, expected) in refusals {
            assert_eq!(found, expected);
        }
    }
}
