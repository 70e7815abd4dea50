//! Texts from outside, made fit to be read, kept and shown.

use crate::json;
use serde_json::Value;

/// The most characters of a remote body in a message.
const DETAIL_MAX_CHARACTERS: usize = 500;

/// Returns the first `characters` of a text, with `…` if something is left out.
pub fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Cleans a remote text for keeping and showing: removes NUL, which no Postgres text holds, and the queries of URLs,
/// which may hold a signature.
pub fn cleaned(text: &str) -> String {
    let text = text.replace('\0', "");
    let mut parts = text.split("://");
    let mut cleaned = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_whitespace() || "\"'<>()".contains(c)).unwrap_or(part.len());
        let (address, rest) = part.split_at(end);
        cleaned = cleaned + "://" + address.split('?').next().unwrap_or_default() + rest;
    }
    cleaned
}

/// The sentence in a remote error body: its `detail`, `message` or `error`, else the whole text; cleaned and cut.
pub fn detail(body: &str) -> String {
    let json = json::read(body);
    let sentence =
        ["detail", "message", "error"].iter().find_map(|key| json.as_ref()?.get(key)?.as_str()).unwrap_or(body).trim();
    if sentence.is_empty() { "no body".to_owned() } else { cut(&cleaned(sentence), DETAIL_MAX_CHARACTERS) }
}

/// Reads a number from a text. JSON's reader is in the module anyway; the standard library's would add 15 KB.
pub fn number(text: &str) -> Option<f64> {
    serde_json::from_str::<Value>(text.trim()).ok()?.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_outside_is_cut_and_without_secrets() {
        let error = "403 Forbidden for url: https://a.co/sign/b.png?token=secret, and 'http://c.co/?d' (e?)";
        assert_eq!(cleaned(error), "403 Forbidden for url: https://a.co/sign/b.png and 'http://c.co/' (e?)");
        assert_eq!(cut("añb", 2), "añ…");
        assert_eq!(cut("añ", 2), "añ");
    }
}
