//! Checks a value against a JSON schema in the words of the Go library gojsonschema, which Replicate uses (its
//! `locales.go` has the sentences). Supports the keywords of the models' inputs and the request bodies: type, nullable,
//! required, properties, additionalProperties, items, enum, minimum, maximum, format uri.

use serde_json::{Map, Value};

/// One entry of `invalid_fields`.
#[derive(Debug, PartialEq)]
pub struct Violation {
    pub kind: &'static str,
    /// path from the root, dotted; empty for the root itself
    pub field: String,
    pub description: String,
}

/// Collects all violations: a node's own first, then those below it.
///
/// `path` is the node's place in the request; `name` is its name in the sentences, for an input without the leading
/// `input.`.
pub fn check(schema: &Value, value: &Value, path: &str, name: &str, found: &mut Vec<Violation>) {
    let mut add = |kind, description| found.push(Violation { kind, field: path.to_owned(), description });

    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if let Some(expected) = schema["type"].as_str()
        && !is_of_type(expected, value)
    {
        add("invalid_type", format!("Invalid type. Expected: {expected}, given: {}", type_name(value)));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
        add("enum", format!("{name} must be one of the following: {}", allowed.join(", ")));
    }
    if let (Some(number), Some(maximum)) = (value.as_f64(), schema["maximum"].as_f64())
        && number > maximum
    {
        add("number_lte", format!("Must be less than or equal to {}", schema["maximum"]));
    }
    if let (Some(number), Some(minimum)) = (value.as_f64(), schema["minimum"].as_f64())
        && number < minimum
    {
        add("number_gte", format!("Must be greater than or equal to {}", schema["minimum"]));
    }
    if let (Some(text), "uri") = (value.as_str(), schema["format"].as_str().unwrap_or_default())
        && !is_uri(text)
    {
        add("format", "Does not match format 'uri'".to_owned());
    }
    if let Some(object) = value.as_object() {
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(required) {
                add("required", format!("{required} is required"));
            }
        }
        if schema["additionalProperties"] == false {
            for unknown in object.keys().filter(|key| schema["properties"].get(key).is_none()) {
                add("additional_property_not_allowed", format!("Additional property {unknown} is not allowed"));
            }
        }
        for (key, below) in schema["properties"].as_object().unwrap_or(&Map::new()) {
            if let Some(value) = object.get(key) {
                check(below, value, &join(path, key), &join(name, key), found);
            }
        }
    }
    if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
        for (index, item) in items.iter().enumerate() {
            let index = index.to_string();
            check(schema, item, &join(path, &index), &join(name, &index), found);
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn is_of_type(expected: &str, value: &Value) -> bool {
    let given = type_name(value);
    given == expected || (expected == "number" && given == "integer")
}

/// A number without a fraction is an integer in any spelling, also `4.0`.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.as_f64().is_some_and(|n| n.fract() == 0.0) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// gojsonschema accepts a text that Go can parse, with a scheme and without a backslash.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    !rest.is_empty()
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        && !text.contains(|c: char| c == '\\' || c == ' ' || c.is_control())
}
