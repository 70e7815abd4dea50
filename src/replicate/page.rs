//! Reads a page of predictions row by row: a hundred of them, with their inputs, logs and outputs, may be more than an
//! isolate holds.

use crate::json;
use serde_json::Value;

/// A larger row is skipped; this worker's predictions, with inputs of at most 1 MiB, are far smaller.
const ROW_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Reads a page chunk by chunk.
#[derive(Default)]
pub struct Page {
    depth: u32,
    in_string: bool,
    is_escaped: bool,
    /// The current row.
    row: Vec<u8>,
    /// The page without its rows.
    frame: Vec<u8>,
}

impl Page {
    /// Returns the rows that this chunk completes; skips rows that cannot be read.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<Value> {
        let mut rows = Vec::new();
        for byte in chunk {
            let depth = self.depth;
            if self.in_string {
                self.in_string = self.is_escaped || *byte != b'"';
                self.is_escaped = !self.is_escaped && *byte == b'\\';
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
            }
            // The page is an object at depth 1, its list at 2, the rows at 3.
            match depth.max(self.depth) {
                0 | 1 => self.frame.push(*byte),
                2 if matches!(byte, b'[' | b']' | b'{' | b'}') && !self.in_string => self.frame.push(*byte),
                2 => {}
                _ if self.row.len() < ROW_MAX_BYTES => self.row.push(*byte),
                _ => {}
            }
            if depth == 3 && self.depth == 2 {
                rows.extend(json::read(&String::from_utf8_lossy(&std::mem::take(&mut self.row))));
            }
        }
        rows
    }

    /// The page without its rows, after its last chunk; `None` if it is not JSON.
    pub fn frame(self) -> Option<Value> {
        json::read(&String::from_utf8_lossy(&self.frame)).filter(|_| self.depth == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str, size: usize) -> (Vec<Value>, Option<Value>) {
        let mut page = Page::default();
        let rows = text.as_bytes().chunks(size).flat_map(|chunk| page.push(chunk)).collect();
        (rows, page.frame())
    }

    #[test]
    fn rows_come_one_by_one_however_they_are_cut() {
        let text = r#"{"next": "https://a/?cursor=\"b\"", "previous":null,
            "results": [{"id":"a","input":{"p":"}]\\\"ä"}}, null, "dep-8x2-y", 7, [1,[2]], {"id":"b","logs":"\ud83d"}]}"#;
        let frame = json!({ "next": "https://a/?cursor=\"b\"", "previous": null, "results": [] });
        let rows = vec![
            json!({ "id": "a", "input": { "p": "}]\\\"ä" } }),
            json!([1, [2]]),
            json!({ "id": "b", "logs": "\u{fffd}" }),
        ];
        for size in [1, 2, 7, 1000] {
            assert_eq!(read(text, size), (rows.clone(), Some(frame.clone())), "{size}");
        }
    }

    #[test]
    fn what_is_no_page_has_no_frame() {
        for text in ["", "<html>", "{\"results\":[{}", "nonsense"] {
            assert_eq!(read(text, 3).1, None, "{text}");
        }
    }
}
