//! Reads JSON from outside field by field, so that an error is one sentence that names the field.
//!
//! serde's derived readers cannot name the field without `serde_path_to_error`, and a second copy of every reader costs
//! more wasm than this module.

use crate::json;
use crate::text::cut;
use serde_json::{Map, Value};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A JSON object, with the name that messages give it. A null field counts as absent.
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

    /// A time in a form that Postgres takes: `2026-11-23T10:00:00Z`, also with fractional seconds, or with another zone
    /// or none.
    pub fn time(&self, field: &str) -> Result<Option<&'a str>, String> {
        let moment = |value: &'a Value| value.as_str().filter(|text| is_time(text));
        self.read(field, "a time such as 2026-11-23T10:00:00Z", moment)
    }

    pub fn number(&self, field: &str) -> Result<Option<f64>, String> {
        self.read(field, "a number", Value::as_f64)
    }

    /// A whole number; `1024.0` counts as one.
    pub fn integer(&self, field: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, String> {
        let whole = |value: &Value| {
            let number = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9.0e15);
            value.as_i64().or(number.map(|number| number as i64)).filter(|number| range.contains(number))
        };
        self.read(field, format_args!("a whole number from {} to {}", range.start(), range.end()), whole)
    }

    /// Returns the value, or an error if it is absent.
    pub fn required<T>(&self, field: &str, value: Option<T>) -> Result<T, String> {
        value.ok_or_else(|| format!("{}: {field} is missing", self.name))
    }

    /// Fails if the object has a field that is not in `known`.
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

/// A type that a field of [`fields!`] may have.
pub trait Kind: Sized {
    /// Reads the field; `None` if it is absent.
    fn get(fields: &Fields<'_>, field: &str) -> Result<Option<Self>, String>;

    /// The field's lines in a TypeScript interface, with its documentation above.
    #[cfg(test)]
    fn typescript(field: &str, docs: &str) -> String;
}

/// Defines a struct that is read from a JSON object. A field that may be absent is an `Option`; a field that is another
/// such struct reads its fields from the same object. Callers' types, `npm/payloads.d.ts`, are generated from it.
macro_rules! fields {
    ($(#[$attribute:meta])* $visible:vis struct $name:ident {
        $($(#[doc = $doc:literal])* $field:ident: $kind:ty,)*
    }) => {
        $(#[$attribute])*
        $visible struct $name {
            $($(#[doc = $doc])* pub $field: $kind,)*
        }

        impl $name {
            pub fn read(fields: &$crate::fields::Fields<'_>) -> Result<$name, String> {
                Ok($name { $($field: fields.required(stringify!($field), $crate::fields::Kind::get(fields, stringify!($field))?)?,)* })
            }

            /// The lines of the struct's TypeScript interface.
            #[cfg(test)]
            pub fn typescript() -> String {
                [$(<$kind as $crate::fields::Kind>::typescript(stringify!($field), concat!($($doc,)*)),)*].concat()
            }
        }

        impl $crate::fields::Kind for $name {
            fn get(fields: &$crate::fields::Fields<'_>, _: &str) -> Result<Option<$name>, String> {
                $name::read(fields).map(Some)
            }

            #[cfg(test)]
            fn typescript(_: &str, _: &str) -> String {
                $name::typescript()
            }
        }
    };
}
pub(crate) use fields;

macro_rules! kind {
    ($kind:ty, $typescript:literal, $get:expr) => {
        impl Kind for $kind {
            fn get(fields: &Fields<'_>, field: &str) -> Result<Option<$kind>, String> {
                $get(fields, field)
            }

            #[cfg(test)]
            fn typescript(field: &str, docs: &str) -> String {
                let docs = if docs.is_empty() { String::new() } else { format!("  /**{docs} */\n") };
                format!("{docs}  {field}: {};\n", $typescript)
            }
        }
    };
}

kind!(String, "string", |fields: &Fields<'_>, field| Ok(fields.text(field)?.map(str::to_owned)));
kind!(Vec<String>, "string[]", |fields: &Fields<'_>, field| {
    Ok(fields.texts(field)?.map(|texts| texts.into_iter().map(str::to_owned).collect()))
});
kind!(u32, "number", |fields: &Fields<'_>, field| {
    Ok(fields.integer(field, 0..=i64::from(u32::MAX))?.map(|number| number as u32))
});
kind!(i64, "number", |fields: &Fields<'_>, field| fields.integer(field, i64::MIN..=i64::MAX));
kind!(f64, "number", |fields: &Fields<'_>, field| fields.number(field));
kind!(Map<String, Value>, "Record<string, unknown>", |fields: &Fields<'_>, field| {
    Ok(fields.read(field, "an object", Value::as_object)?.cloned())
});
kind!(bool, "boolean", |fields: &Fields<'_>, field| fields.read(field, "true or false", Value::as_bool));

impl<T: Kind> Kind for Option<T> {
    fn get(fields: &Fields<'_>, field: &str) -> Result<Option<Option<T>>, String> {
        T::get(fields, field).map(Some)
    }

    #[cfg(test)]
    fn typescript(field: &str, docs: &str) -> String {
        T::typescript(field, docs)
            .replace(&format!("  {field}: "), &format!("  {field}?: "))
            .replace(";\n", " | null;\n")
    }
}

/// A number of seconds from outside, rounded up to whole milliseconds; `None` if it is below 0 or above a thousand
/// years. (The standard library's conversion would add half a kilobyte.)
pub fn seconds(seconds: f64) -> Option<Duration> {
    (0.0..=3.2e10).contains(&seconds).then(|| Duration::from_millis((seconds * 1000.0).ceil() as u64))
}

/// True for a calendar date, a time of day and a zone as RFC 3339 writes them. As in Postgres, a space may stand for
/// the T, and the zone, its colon or its minutes may be missing.
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
    let Some((moment, rest)) = shape.split_at_checked("0000-00-00T00:00:00".len()) else { return false };
    let zone = rest.strip_prefix('.').map_or(rest, |rest| rest.trim_start_matches('0'));
    let has_shape = matches!(moment, "0000-00-00T00:00:00" | "0000-00-00t00:00:00" | "0000-00-00 00:00:00")
        && matches!(zone, "" | "Z" | "z" | "+00" | "-00" | "+0000" | "-0000" | "+00:00" | "-00:00");
    let number = |at: std::ops::Range<usize>| text.get(at).and_then(|digits| digits.parse().ok()).unwrap_or(0_u32);
    let (year, month) = (number(0..4), number(5..7));
    let days = match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let is_date = year > 0 && (1..=12).contains(&month) && (1..=days).contains(&number(8..10));
    let is_time = number(11..13) < 24 && number(14..16) < 60 && number(17..19) < 60;
    // Postgres accepts zones up to 15:59 from UTC.
    let offset = text.len() - zone.len();
    let is_zone = number(offset + 1..offset + 3) < 16 && number(text.len().saturating_sub(2)..text.len()) < 60;
    has_shape && is_date && is_time && is_zone
}

/// Describes a value. Texts may be prompts or keys and the message may be logged, so only their type is shown.
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
    fn a_moment_is_of_the_calendar_and_has_a_zone() {
        let taken = [
            "2026-11-23T10:00:00Z",
            "2026-11-23T10:00:00",
            "2026-11-23t10:00:00.123456789z",
            "2026-11-23 10:00:00+00",
            "2024-02-29T23:59:59.5-08:00",
            "2026-11-23T10:00:00+0530",
            "9999-12-31T00:00:00-15:59",
        ];
        for text in taken {
            assert!(is_time(text), "{text}");
        }
        let refused = [
            "",
            "tomorrow",
            "infinity",
            "2026-11-23",
            "2026-11-23T10:00Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-31T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T10:60:00Z",
            "2026-11-23T10:00:60Z",
            "2026-11-23T10:00:00+16:00",
            "2026-11-23T10:00:00+1",
            "2026-11-23T10:00:00+01:",
            "2026-11-23T10:00:00 Z",
            "+026-11-23T10:00:00Z",
            "0000-01-01T00:00:00Z",
            "2026-11-23T10:00:00Z\0",
            "2026-11-23T10:00:0٣Z",
            "２026-11-23T10:00:00Z",
        ];
        for text in refused {
            assert!(!is_time(text), "{text}");
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
