//! JSON read and made here. serde_json's own ways to make it, `json!` and `Display`, each make a copy of their code
//! wherever they are used, some kilobytes of the wasm together.

use serde_json::{Map, Value};

/// Values nested deeper are read as null; serde_json gives up at 128.
const DEPTH_MOST: usize = 120;

/// Reads what a service has sent, also where JavaScript and Python are less strict than serde_json: half a surrogate
/// pair becomes U+FFFD, a control character a space; what is nested too deep, is no number (`NaN`, `Infinity`) or one
/// that no `f64` can hold becomes null. None: it is no JSON.
pub fn read(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().or_else(|| serde_json::from_str(&mended(text)?).ok())
}

/// The text with all that [`read`] says put right; none where it ends too soon.
fn mended(text: &str) -> Option<String> {
    let mut rest = text.trim_start_matches('\u{feff}');
    let mut mended = String::with_capacity(rest.len());
    let mut depth = 0;
    while let Some(c) = rest.chars().next() {
        let mut kept = rest.get(..c.len_utf8())?;
        rest = rest.get(c.len_utf8()..)?;
        match c {
            '"' => {
                let (string, after) = string(rest)?;
                rest = after;
                if depth <= DEPTH_MOST {
                    mended.push('"');
                    mended += &string;
                }
                kept = "\"";
            }
            '{' | '[' => {
                depth += 1;
                if depth == DEPTH_MOST + 1 {
                    mended += "null";
                }
            }
            '}' | ']' => {
                depth = usize::checked_sub(depth, 1)?;
                if depth == DEPTH_MOST {
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
                if depth <= DEPTH_MOST {
                    mended += if is_none { "null" } else { &word };
                }
                continue;
            }
            _ => {}
        }
        if depth <= DEPTH_MOST {
            mended += kept;
        }
    }
    Some(mended)
}

/// The rest of a string up to its quote, mended, and what follows the quote.
fn string(text: &str) -> Option<(String, &str)> {
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
            mended.push(' ');
            rest = from.get(1..)?;
            continue;
        };
        let unit = |text: &str| u16::from_str_radix(text.strip_prefix('u')?.get(..4)?, 16).ok();
        let length = match (unit(escape), escape.get(5..).and_then(|after| unit(after.strip_prefix('\\')?))) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 11,
            (Some(0xd800..=0xdfff), _) => {
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

/// JSON without NUL, which Postgres keeps in no text: what was sent by others is kept without it, not refused.
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
        // Behind an odd number of backslashes it is one of them, and four zeros.
        if escapes % 2 == 1 {
            kept += NUL;
        }
        rest = after;
    }
    kept + rest
}

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
