//! Reads and makes JSON. serde_json's own ways to make it, `json!` and `Display`, copy their code to every place that
//! uses them: some kilobytes of wasm together.

use serde_json::{Map, Value};

/// [`read`] turns values nested deeper into null; serde_json fails at 128.
const MAX_DEPTH: usize = 120;

/// Reads JSON from a service, including text that JavaScript and Python accept but serde_json does not. Half a
/// surrogate pair becomes U+FFFD and a control character a space. A value nested too deep, `NaN`, `Infinity` or a
/// number that no `f64` can hold becomes null. Returns `None` if the text is not JSON.
pub fn read(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().or_else(|| serde_json::from_str(&mended(text, &mut None)?).ok())
}

/// Reads a caller's JSON, of which nothing may be changed or lost. The error is the rest of a sentence about the text:
/// what is wrong, and where. (serde_json's own words would add 1 KB.)
pub fn read_whole(text: &str) -> Result<Value, String> {
    serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
        let mut repair = None;
        let is_json = mended(text, &mut repair).is_some_and(|text| serde_json::from_str::<Value>(&text).is_ok());
        let (line, column) = (error.line(), error.column());
        match repair.filter(|_| is_json) {
            Some(found) => format!("must not hold {found}: see line {line} column {column}"),
            None => format!("is not JSON: wrong at line {line} column {column}"),
        }
    })
}

/// Makes the repairs that [`read`] lists, and names what the first one was made to. Returns `None` if the text ends too
/// soon.
fn mended(text: &str, repair: &mut Option<&'static str>) -> Option<String> {
    let mut rest = text.trim_start_matches('\u{feff}');
    let mut mended = String::with_capacity(rest.len());
    let mut depth = 0;
    while let Some(c) = rest.chars().next() {
        let mut kept = rest.get(..c.len_utf8())?;
        rest = rest.get(c.len_utf8()..)?;
        match c {
            '"' => {
                let (string, after) = string(rest, repair)?;
                rest = after;
                if depth <= MAX_DEPTH {
                    mended.push('"');
                    mended += &string;
                }
                kept = "\"";
            }
            '{' | '[' => {
                depth += 1;
                if depth == MAX_DEPTH + 1 {
                    repair.get_or_insert("values nested so deep");
                    mended += "null";
                }
            }
            '}' | ']' => {
                depth = usize::checked_sub(depth, 1)?;
                if depth == MAX_DEPTH {
                    continue;
                }
            }
            '-' | '0'..='9' | 'N' | 'I' => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
                let (more, after) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
                rest = after;
                let word = format!("{c}{more}");
                let is_large = serde_json::from_str::<Value>(&word).is_err()
                    && word.chars().all(|c| c.is_ascii_digit() || matches!(c, 'e' | 'E' | '+' | '-' | '.'));
                let is_none = is_large || matches!(&*word, "NaN" | "Infinity" | "-Infinity");
                if is_none {
                    repair.get_or_insert("a number that is too large or none");
                }
                if depth <= MAX_DEPTH {
                    mended += if is_none { "null" } else { &word };
                }
                continue;
            }
            _ => {}
        }
        if depth <= MAX_DEPTH {
            mended += kept;
        }
    }
    Some(mended)
}

/// Returns the rest of a string up to its quote, mended as by [`mended`], and the text after the quote.
fn string<'a>(text: &'a str, repair: &mut Option<&'static str>) -> Option<(String, &'a str)> {
    let mut mended = String::new();
    let mut rest = text;
    loop {
        let plain = rest.find(|c: char| matches!(c, '"' | '\\') || c < ' ')?;
        let (before, from) = rest.split_at(plain);
        mended += before;
        if let Some(after) = from.strip_prefix('"') {
            return Some((mended, after));
        }
        let Some(escape) = from.strip_prefix('\\') else {
            repair.get_or_insert("a control character that is not escaped");
            mended.push(' ');
            rest = from.get(1..)?;
            continue;
        };
        let unit = |text: &str| u16::from_str_radix(text.strip_prefix('u')?.get(..4)?, 16).ok();
        let length = match (unit(escape), escape.get(5..).and_then(|after| unit(after.strip_prefix('\\')?))) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 11,
            (Some(0xd800..=0xdfff), _) => {
                repair.get_or_insert("half a character (an escape from \\ud800 to \\udfff without its other half)");
                mended.push('\u{fffd}');
                rest = escape.get(5..)?;
                continue;
            }
            (Some(_), _) => 5,
            (None, _) => escape.chars().next()?.len_utf8(),
        };
        mended.push('\\');
        mended += escape.get(..length)?;
        rest = escape.get(length..)?;
    }
}

/// Removes NUL from JSON, because no Postgres text holds it: input from others is kept without it rather than refused.
pub fn without_nul(json: String) -> String {
    const NUL: &str = "\\u0000";
    if !json.contains(NUL) {
        return json;
    }
    let mut kept = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some((before, after)) = rest.split_once(NUL) {
        kept += before;
        let escapes = before.len() - before.trim_end_matches('\\').len();
        // After an odd number of backslashes the match's own is escaped, and `u0000` is text.
        if escapes % 2 == 1 {
            kept += NUL;
        }
        rest = after;
    }
    kept + rest
}

/// Makes an object with these fields.
pub fn object(fields: Vec<(&str, Value)>) -> Value {
    let mut object = Map::new();
    for (name, value) in fields {
        object.insert(name.to_owned(), value);
    }
    object.into()
}

/// The JSON text of a value.
pub fn text(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Makes a whole number without a fraction, as Replicate returns it: inputs are recognised by comparison, and
/// serde_json does not equate 7.0 and 7. Messages use it too, because formatting an `f64` would add 7 KB.
pub fn number(value: f64) -> Value {
    let whole = value as i64;
    if whole as f64 == value { Value::from(whole) } else { Value::from(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_javascript_reads_is_read() {
        let table = [
            (r#"{"logs":"a\ud83d"}"#, json!({ "logs": "a\u{fffd}" })),
            (r#"{"logs":"\ud83d\ud83d\ude00\ude00"}"#, json!({ "logs": "\u{fffd}\u{1f600}\u{fffd}" })),
            (
                r#"["\udc00\ud800x","\ud83d\n","\\ud83d","\ud83d\\"]"#,
                json!(["\u{fffd}\u{fffd}x", "\u{fffd}\n", "\\ud83d", "\u{fffd}\\"]),
            ),
            (r#"{"\ud83d":1,"ä\ud83d":2}"#, json!({ "\u{fffd}": 1, "ä\u{fffd}": 2 })),
            ("\u{feff}[1]", json!([1])),
            (
                r#"[NaN,Infinity,-Infinity,1e400,-1e400,1.5,-2,1e3]"#,
                json!([null, null, null, null, null, 1.5, -2, 1e3]),
            ),
            ("[\"a\tb\nc\"]", json!(["a b c"])),
            (r#"["NaN 1e400 {[ \"}]",1e999]"#, json!(["NaN 1e400 {[ \"}]", null])),
        ];
        for (text, value) in table {
            assert_eq!(read(text), Some(value), "{text}");
        }
    }

    #[test]
    fn what_is_nested_too_deep_spoils_nothing_beside_it() {
        let deep = |levels: usize| format!("{}\"x]\"{}", "[{\"a\":".repeat(levels), "}]".repeat(levels));
        let read_all = read(&format!("{{\"deep\":{},\"id\":\"p1\"}}", deep(2000))).unwrap();
        assert_eq!(read_all["id"], "p1");
        assert!(read_all["deep"][0]["a"][0]["a"].is_array());
        assert_eq!(read(&deep(50)), serde_json::from_str(&deep(50)).ok());
    }

    #[test]
    fn what_is_no_json_is_none() {
        for text in
            ["", "{", "\"a", "\"\\", "\"\\u12", "nul", "[1}", "]", "<html>", "{\"a\":}", "\"\\ud83", "Name", "[1,]"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn of_a_callers_json_nothing_is_changed() {
        let deep = "[".repeat(128) + &"]".repeat(128);
        let table = [
            ("[1,\n1e400]", "must not hold a number that is too large or none: see line 2 column 5"),
            ("[NaN]", "must not hold a number that is too large or none: see line 1 column 2"),
            (&deep, "must not hold values nested so deep: see line 1 column 128"),
            (
                r#"{"a":"b\ud83d"}"#,
                "must not hold half a character (an escape from \\ud800 to \\udfff without its other half): see line 1 column 14",
            ),
            (
                r#"{"\ude00":1}"#,
                "must not hold half a character (an escape from \\ud800 to \\udfff without its other half): see line 1 column 8",
            ),
            ("[\"a\tb\"]", "must not hold a control character that is not escaped: see line 1 column 4"),
            ("[1e400,]", "is not JSON: wrong at line 1 column 6"),
            ("", "is not JSON: wrong at line 1 column 0"),
        ];
        for (text, wrong) in table {
            assert_eq!(read_whole(text), Err(wrong.to_owned()), "{text}");
        }
        assert_eq!(read_whole("\u{feff}[\"\\ud83d\\ude00\",1e300]"), Ok(json!(["\u{1f600}", 1e300])));
    }

    #[test]
    fn nul_is_left_out() {
        let table = [
            (r#"{"a":"b\u0000c"}"#, r#"{"a":"bc"}"#),
            (r#"["\\u0000","\\\u0000","\u0000\u0000"]"#, r#"["\\u0000","\\",""]"#),
            (r#"["a"]"#, r#"["a"]"#),
        ];
        for (text, kept) in table {
            assert_eq!(without_nul(text.to_owned()), kept, "{text}");
        }
    }
}
