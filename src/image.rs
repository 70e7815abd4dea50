//! What a picture is, by its own first bytes.

use imagesize::{ImageType, blob_size, image_type};

/// Bytes that almost always hold the size: every header but that of a JPEG behind a long preview.
pub const HEAD_BYTES: usize = 64 * 1024;
/// Bytes looked at before a picture's size is given up.
pub const HEAD_BYTES_MOST: usize = 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Png,
    Jpeg,
    Webp,
    Gif,
    Avif,
    Svg,
}

impl Format {
    pub fn extension(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Jpeg => "jpg",
            Format::Webp => "webp",
            Format::Gif => "gif",
            Format::Avif => "avif",
            Format::Svg => "svg",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::Png => "image/png",
            Format::Jpeg => "image/jpeg",
            Format::Webp => "image/webp",
            Format::Gif => "image/gif",
            Format::Avif => "image/avif",
            Format::Svg => "image/svg+xml",
        }
    }
}

/// The format, if the bytes begin one of the six.
pub fn format(head: &[u8]) -> Option<Format> {
    match image_type(head) {
        Ok(ImageType::Png) => Some(Format::Png),
        Ok(ImageType::Jpeg) => Some(Format::Jpeg),
        Ok(ImageType::Webp) => Some(Format::Webp),
        Ok(ImageType::Gif) => Some(Format::Gif),
        Ok(ImageType::Heif(imagesize::Compression::Av1)) => Some(Format::Avif),
        _ => svg_root(head).map(|_| Format::Svg),
    }
}

/// Width and height in pixels, if they lie within `head`. An SVG's are those of its `width` and
/// `height`, else of its `viewBox`, rounded.
pub fn dimensions(format: Format, head: &[u8]) -> Option<(u32, u32)> {
    match format {
        Format::Svg => svg_dimensions(svg_root(head)?),
        Format::Png | Format::Jpeg | Format::Webp | Format::Gif | Format::Avif => {
            let size = blob_size(head).ok()?;
            Some((u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?))
        }
    }
}

/// The root tag of an SVG document, from `<svg` to its `>`, past a prologue and comments.
fn svg_root(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head may end inside a character.
        Err(error) => std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?,
    };
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        if let Some(after) = rest.strip_prefix("<svg") {
            let end = after.find('>')?;
            return after.starts_with([' ', '\t', '\r', '\n', '>']).then(|| after.get(..end))?;
        }
        let close = if rest.starts_with("<!--") {
            "-->"
        } else if rest.starts_with("<?xml") || rest.starts_with("<!DOCTYPE") {
            ">"
        } else {
            return None;
        };
        rest = rest.split_once(close)?.1.trim_start();
    }
}

fn svg_dimensions(root: &str) -> Option<(u32, u32)> {
    let pixels = |value: &str| {
        let number = crate::error::number(value.trim().trim_end_matches("px"))?;
        (0.5..1e6).contains(&number).then_some(number.round() as u32)
    };
    let written = || Some((pixels(attribute(root, "width")?)?, pixels(attribute(root, "height")?)?));
    let view_box = || {
        let mut numbers = attribute(root, "viewBox")?.split([' ', ',']).filter(|part| !part.is_empty()).skip(2);
        Some((pixels(numbers.next()?)?, pixels(numbers.next()?)?))
    };
    written().or_else(view_box)
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.match_indices(name).find_map(|(at, _)| {
        tag.get(..at)?.ends_with(char::is_whitespace).then_some(())?;
        let value = tag.get(at + name.len()..)?.trim_start().strip_prefix('=')?.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        value.get(1..)?.split_once(quote).map(|(value, _)| value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svg_sizes_are_read_from_the_root_tag() {
        let table: [(&str, Option<(u32, u32)>); 7] = [
            (r#"<svg xmlns="x" width="640" height="480.4px">"#, Some((640, 480))),
            (r#"<svg viewBox='0 0 1024 768'>"#, Some((1024, 768))),
            (r#"<svg width="100%" height="100%" viewBox="0,0,10,20">"#, Some((10, 20))),
            (r#"<svg stroke-width="3" data-width="4">"#, None),
            ("\u{feff}<?xml version=\"1.0\"?>\n<!-- <svg width=\"1\"> -->\n<svg width='2' height='3'/>", Some((2, 3))),
            (r#"<svg width="1e99" height="1">"#, None),
            ("<svg>", None),
        ];
        for (document, size) in table {
            assert_eq!(format(document.as_bytes()), Some(Format::Svg), "{document}");
            assert_eq!(dimensions(Format::Svg, document.as_bytes()), size, "{document}");
        }
    }

    #[test]
    fn what_is_no_picture_has_no_format() {
        for head in
            [&b""[..], b"<", b"<html><svg width='1'></html>", b"{\"detail\":\"no\"}", b"%PDF-1.7", b"<svgx>", b"\x89PN"]
        {
            assert_eq!(format(head), None, "{head:?}");
        }
    }
}
