//! Reads a picture's format and size from its first bytes. The size is the one that a viewer shows, turned by its EXIF
//! (JPEG, PNG, WebP) or its container (AVIF).
//!
//! The crate imagesize is not used: it reads no EXIF, gives up at JPEG's fill bytes and AVIF's long boxes, and takes a
//! GIF's screen for its size even if that is empty.

use super::svg;

/// Bytes that almost always hold the size: only a JPEG's header may come later, after a long preview.
pub const HEAD_BYTES: usize = 64 * 1024;
/// The most bytes that are searched for a picture's size.
pub const HEAD_MAX_BYTES: usize = 1024 * 1024;

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

/// The format if the bytes begin a picture of one of the six.
pub fn format(head: &[u8]) -> Option<Format> {
    let starts = [(&b"\x89PNG"[..], Format::Png), (b"\xff\xd8\xff", Format::Jpeg), (b"GIF8", Format::Gif)];
    if let Some((_, format)) = starts.iter().find(|(start, _)| head.starts_with(start)) {
        return Some(*format);
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        return Some(Format::Webp);
    }
    if is_avif(head) {
        return Some(Format::Avif);
    }
    svg::is_svg(head).then_some(Format::Svg)
}

/// Width and height in pixels, if `head` has them. For an SVG they are its `width` and `height` in CSS pixels, else
/// those of its `viewBox`, rounded. `None` also if one of them is 0.
pub fn dimensions(format: Format, head: &[u8]) -> Option<(u32, u32)> {
    let (width, height) = match format {
        Format::Png => png(head),
        Format::Jpeg => jpeg(head),
        Format::Webp => webp(head),
        Format::Gif => gif(head),
        Format::Avif => avif(head),
        Format::Svg => svg::dimensions(head),
    }?;
    (width > 0 && height > 0).then_some((width, height))
}

/// Reads a number of up to four bytes, most significant first.
fn big(bytes: &[u8], at: usize, length: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

/// Reads a number of up to four bytes, least significant first.
fn little(bytes: &[u8], at: usize, length: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

/// True if EXIF says that the picture lies on its side: orientations 5 to 8.
fn lies(exif: &[u8]) -> bool {
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let number: fn(&[u8], usize, usize) -> Option<u32> = if exif.starts_with(b"II") { little } else { big };
    let orientation = || {
        let directory = number(exif, 4, 4)? as usize;
        let count = number(exif, directory, 2)? as usize;
        (0..count).find_map(|entry| {
            let at = directory.checked_add(2 + entry * 12)?;
            (number(exif, at, 2)? == 0x0112).then(|| number(exif, at + 8, 2))?
        })
    };
    orientation().is_some_and(|orientation| (5..=8).contains(&orientation))
}

fn turned((width, height): (u32, u32), lies: bool) -> (u32, u32) {
    if lies { (height, width) } else { (width, height) }
}

fn png(head: &[u8]) -> Option<(u32, u32)> {
    let (mut at, mut size, mut exif) = (8, None, None);
    // EXIF counts only before the pixels.
    while let (Some(length), Some(name)) = (big(head, at, 4), head.get(at + 4..at + 8)) {
        let end = (at + 8).checked_add(length as usize)?;
        let content = head.get(at + 8..end.min(head.len())).unwrap_or_default();
        match name {
            b"IHDR" => size = Some((big(content, 0, 4)?, big(content, 4, 4)?)),
            b"eXIf" => exif = Some(content),
            b"IDAT" => break,
            _ => {}
        }
        at = end.checked_add(4)?;
    }
    Some(turned(size?, exif.is_some_and(lies)))
}

fn jpeg(head: &[u8]) -> Option<(u32, u32)> {
    let (mut at, mut size, mut exif) = (2, None, None);
    while let (Some(start), Some(marker)) = (big(head, at, 1), big(head, at + 1, 1)) {
        match (start, marker) {
            // Stray bytes, which every decoder skips, and fill bytes.
            (..0xff, _) | (_, 0x00 | 0xff) => at += 1,
            // Markers without content.
            (_, 0x01 | 0xd0..=0xd8) => at += 2,
            // The pixels, or the end.
            (_, 0xda | 0xd9) => break,
            _ => {
                let Some(length) = big(head, at + 2, 2) else { break };
                let end = at + 2 + (length as usize).max(2);
                let content = head.get(at + 4..end.min(head.len())).unwrap_or_default();
                match marker {
                    0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                        size = Some((big(content, 3, 2)?, big(content, 1, 2)?));
                    }
                    0xe1 if content.starts_with(b"Exif\0\0") => exif = exif.or(Some(content)),
                    _ => {}
                }
                at = end;
            }
        }
    }
    Some(turned(size?, exif.is_some_and(lies)))
}

fn webp(head: &[u8]) -> Option<(u32, u32)> {
    let (mut at, mut size, mut exif) = (12, None, None);
    let mut has_exif = false;
    while let (Some(name), Some(length)) = (head.get(at..at + 4), little(head, at + 4, 4)) {
        let end = (at + 8).checked_add(length as usize)?;
        let content = head.get(at + 8..end.min(head.len())).unwrap_or_default();
        match name {
            b"VP8X" => {
                has_exif = big(content, 0, 1)? & 0x08 != 0;
                size = Some((little(content, 4, 3)? + 1, little(content, 7, 3)? + 1));
            }
            b"VP8L" if size.is_none() => {
                let bits = little(content, 1, 4)?;
                size = Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1));
            }
            b"VP8 " if size.is_none() => {
                size = Some((little(content, 6, 2)? & 0x3fff, little(content, 8, 2)? & 0x3fff));
            }
            b"EXIF" => exif = Some(content),
            _ => {}
        }
        at = end.checked_add(length as usize % 2)?;
    }
    // EXIF comes after the pixels, so more must be read.
    if has_exif && exif.is_none() && at > head.len() && head.len() < HEAD_MAX_BYTES {
        return None;
    }
    Some(turned(size?, exif.is_some_and(lies)))
}

/// The screen's size, or the first frame's if that is larger, as viewers do.
fn gif(head: &[u8]) -> Option<(u32, u32)> {
    let screen = (little(head, 6, 2)?, little(head, 8, 2)?);
    let table = |flags: u32| if flags & 0x80 != 0 { 3 << ((flags & 7) + 1) } else { 0 };
    let mut at = 13 + table(big(head, 10, 1)?);
    loop {
        match big(head, at, 1) {
            // An extension: blocks, ended by an empty one.
            Some(0x21) => {
                at += 2;
                while let Some(length @ 1..) = big(head, at, 1) {
                    at += 1 + length as usize;
                }
                at += 1;
            }
            Some(0x2c) => {
                let frame = (little(head, at + 5, 2)?, little(head, at + 7, 2)?);
                return Some(if frame.0 > screen.0 || frame.1 > screen.1 { frame } else { screen });
            }
            _ => return Some(screen),
        }
    }
}

/// The names and contents of the boxes in an ISO container or in a box, up to the first incomplete one.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut at = 0_usize;
    std::iter::from_fn(move || {
        let name = bytes.get(at.checked_add(4)?..at + 8)?;
        let (header, length) = match big(bytes, at, 4)? {
            0 => (8, bytes.len() - at),
            1 => (
                16,
                usize::try_from(u64::from(big(bytes, at + 8, 4)?) << 32 | u64::from(big(bytes, at + 12, 4)?)).ok()?,
            ),
            length => (8, length as usize),
        };
        let end = at.checked_add(length)?;
        let content = bytes.get(at + header..end)?;
        at = end;
        Some((name, content))
    })
}

fn is_avif(head: &[u8]) -> bool {
    let brands = boxes(head).next().filter(|(name, _)| name == b"ftyp").map_or(&[][..], |(_, brands)| brands);
    let known = [&b"avif"[..], b"avis", b"avio", b"MA1A", b"MA1B"];
    // The major brand, a version, and the compatible brands.
    brands.chunks(4).enumerate().any(|(place, brand)| place != 1 && known.contains(&brand))
}

/// The size of the primary item, turned by its properties.
fn avif(head: &[u8]) -> Option<(u32, u32)> {
    let find = |bytes, wanted: &[u8]| boxes(bytes).find(|(name, _)| *name == wanted).map(|(_, content)| content);
    let meta = find(head, b"meta")?.get(4..)?;
    let properties = find(meta, b"iprp")?;
    let listed: Vec<(&[u8], &[u8])> = boxes(find(properties, b"ipco")?).collect();
    let size = |content: &[u8]| Some((big(content, 4, 4)?, big(content, 8, 4)?));
    let primary = find(meta, b"pitm").and_then(|item| big(item, 4, if item.first() == Some(&0) { 2 } else { 4 }));
    let own = primary.zip(find(properties, b"ipma")).and_then(|(item, associations)| associated(associations, item));
    let own: Vec<(&[u8], &[u8])> = match own {
        Some(places) => places.iter().filter_map(|place| listed.get(place.checked_sub(1)?).copied()).collect(),
        None => listed.clone(),
    };
    let sizes = |boxes: &[(&[u8], &[u8])]| {
        let sizes = boxes.iter().filter(|(name, _)| name == b"ispe").filter_map(|(_, content)| size(content));
        sizes.max_by_key(|(width, height)| u64::from(*width) * u64::from(*height))
    };
    let turns = own.iter().find(|(name, _)| name == b"irot").and_then(|(_, content)| big(content, 0, 1));
    Some(turned(sizes(&own).or_else(|| sizes(&listed))?, turns.is_some_and(|turns| turns & 1 == 1)))
}

/// The positions of an item's properties, from 1.
fn associated(associations: &[u8], item: u32) -> Option<Vec<usize>> {
    let (version, flags) = (big(associations, 0, 1)?, big(associations, 1, 3)?);
    let (id_length, place_length) = (if version == 0 { 2 } else { 4 }, if flags & 1 == 0 { 1 } else { 2 });
    let essential = 1_u32 << (8 * place_length - 1);
    let mut at = 8;
    for _ in 0..big(associations, 4, 4)? {
        let id = big(associations, at, id_length)?;
        let count = big(associations, at + id_length, 1)? as usize;
        at += id_length + 1;
        if id == item {
            let place = |n| Some((big(associations, at + n * place_length, place_length)? & !essential) as usize);
            return (0..count).map(place).collect();
        }
        at += count * place_length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exif(orientation: u8, is_little: bool) -> Vec<u8> {
        if is_little {
            [&b"II*\0\x08\0\0\0\x02\0"[..], &[0; 12], &[0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]].concat()
        } else {
            [&b"MM\0*\0\0\0\x08\0\x01"[..], &[1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0]].concat()
        }
    }

    fn chunk(name: &[u8], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32).to_be_bytes()[..], name, content, &[0; 4]].concat()
    }

    fn png_of(width: u32, height: u32, more: &[u8]) -> Vec<u8> {
        let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 6, 0, 0, 0]].concat();
        [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &header), more, &chunk(b"IDAT", &[0; 9])].concat()
    }

    fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
        [&[0xff, marker][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat()
    }

    fn jpeg_of(before: &[u8]) -> Vec<u8> {
        let frame = segment(0xc2, &[8, 0, 48, 0, 64, 3]);
        [&b"\xff\xd8"[..], before, &frame, &segment(0xda, &[0])].concat()
    }

    fn riff(chunks: &[u8]) -> Vec<u8> {
        [&b"RIFF"[..], &(chunks.len() as u32 + 4).to_le_bytes(), b"WEBP", chunks].concat()
    }

    fn webp_chunk(name: &[u8], content: &[u8]) -> Vec<u8> {
        [name, &(content.len() as u32).to_le_bytes()[..], content, &[0][..content.len() % 2]].concat()
    }

    fn iso(name: &[u8], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes()[..], name, content].concat()
    }

    fn long_iso(name: &[u8], content: &[u8]) -> Vec<u8> {
        [&1_u32.to_be_bytes()[..], name, &(content.len() as u64 + 16).to_be_bytes(), content].concat()
    }

    fn avif_of(brands: &[u8], is_long: bool, turns: u8) -> Vec<u8> {
        let wrap = if is_long { long_iso } else { iso };
        let size = |width: u32, height: u32| {
            iso(b"ispe", &[&[0; 4][..], &width.to_be_bytes(), &height.to_be_bytes()].concat())
        };
        // The thumbnail's size, which claims to be larger, and the picture's.
        let list = [size(900, 900), size(64, 48), iso(b"irot", &[turns])].concat();
        let associations = [&[0, 0, 0, 0, 0, 0, 0, 2][..], &[0, 7, 1, 1], &[0, 1, 2, 0x82, 3]].concat();
        let properties = wrap(b"iprp", &[wrap(b"ipco", &list), iso(b"ipma", &associations)].concat());
        let meta = [&[0; 4][..], &iso(b"pitm", &[0, 0, 0, 0, 0, 1]), &properties].concat();
        [iso(b"ftyp", brands), wrap(b"meta", &meta)].concat()
    }

    #[test]
    fn sizes_are_what_a_viewer_shows() {
        let upright = chunk(b"eXIf", &exif(3, true));
        let lying = chunk(b"eXIf", &exif(6, false));
        let app1 = |orientation| segment(0xe1, &[&b"Exif\0\0"[..], &exif(orientation, true)].concat());
        let vp8x = |flags: u8| webp_chunk(b"VP8X", &[flags, 0, 0, 0, 63, 0, 0, 47, 0, 0]);
        let vp8 = webp_chunk(b"VP8 ", &[0, 0, 0, 0x9d, 1, 0x2a, 64, 0x40, 48, 0x80]);
        let vp8l = webp_chunk(b"VP8L", &[0x2f, 63, 0xc0, 0x0b, 0]);
        let gif_of = |screen: [u8; 2], frame: [u8; 2]| {
            let head = [&b"GIF89a"[..], &[screen[0], 0, screen[1], 0, 0x80, 0, 0], &[0; 6]].concat();
            [&head[..], &[0x21, 0xf9, 4, 0, 0, 0, 0, 0], &[0x2c, 0, 0, 0, 0, frame[0], 0, frame[1], 0]].concat()
        };
        let table = vec![
            (Format::Png, png_of(64, 48, &[]), Some((64, 48))),
            (Format::Png, png_of(64, 48, &upright), Some((64, 48))),
            (Format::Png, png_of(64, 48, &lying), Some((48, 64))),
            (Format::Png, png_of(2_415_919_104, 1, &[]), Some((2_415_919_104, 1))),
            (Format::Png, png_of(0, 48, &[]), None),
            (Format::Jpeg, jpeg_of(&[]), Some((64, 48))),
            (Format::Jpeg, jpeg_of(&[0xff, 0xff, 0xff]), Some((64, 48))),
            (Format::Jpeg, jpeg_of(&[&app1(8)[..], &[0xff]].concat()), Some((48, 64))),
            (Format::Jpeg, jpeg_of(&[&app1(8)[..], b"\0a\xff\0b"].concat()), Some((48, 64))),
            (Format::Jpeg, jpeg_of(&app1(1)), Some((64, 48))),
            (Format::Jpeg, jpeg_of(&segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0")), Some((64, 48))),
            (Format::Webp, riff(&vp8), Some((64, 48))),
            (Format::Webp, riff(&vp8l), Some((64, 48))),
            (Format::Webp, riff(&[vp8x(0), vp8.clone()].concat()), Some((64, 48))),
            (Format::Webp, riff(&[vp8x(8), vp8.clone(), webp_chunk(b"EXIF", &exif(5, true))].concat()), Some((48, 64))),
            (
                Format::Webp,
                riff(
                    &[vp8x(8), vp8l.clone(), webp_chunk(b"EXIF", &[&b"Exif\0\0"[..], &exif(7, false)].concat())]
                        .concat(),
                ),
                Some((48, 64)),
            ),
            (Format::Gif, gif_of([64, 48], [10, 10]), Some((64, 48))),
            (Format::Gif, gif_of([0, 0], [64, 48]), Some((64, 48))),
            (Format::Gif, gif_of([10, 10], [64, 48]), Some((64, 48))),
            (Format::Gif, gif_of([0, 0], [0, 0]), None),
            (Format::Avif, avif_of(b"avif\0\0\0\0mif1", false, 0), Some((64, 48))),
            (Format::Avif, avif_of(b"mif1\0\0\0\0miafMA1Bavif", true, 1), Some((48, 64))),
            (Format::Avif, avif_of(b"mif1\0\0\0\0mif1miafavif", true, 2), Some((64, 48))),
            (Format::Avif, avif_of(b"avif\0\0\0\0", true, 3), Some((48, 64))),
        ];
        for (kind, bytes, size) in table {
            assert_eq!(
                (format(&bytes), dimensions(kind, &bytes)),
                (Some(kind), size),
                "{:?}",
                String::from_utf8_lossy(&bytes)
            );
            // A cut picture has its size or none, never another.
            for length in 0..bytes.len() {
                let cut = dimensions(kind, &bytes[..length]);
                assert!(
                    cut.is_none()
                        || cut == size
                        || size.is_none_or(|(w, h)| cut == Some((h, w)))
                        || kind == Format::Gif,
                    "{kind:?} {length}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_picture_has_no_format() {
        let heic = iso(b"ftyp", b"heic\0\0\0\0mif1");
        for head in [
            &b""[..],
            b"<",
            b"<html><svg width='1'></html>",
            b"{\"detail\":\"no\"}",
            b"%PDF-1.7",
            b"<svgx>",
            b"\x89PN",
            &heic,
            b"\0\0\0\x14ftypmp42avif",
        ] {
            assert_eq!(format(head), None, "{head:?}");
        }
    }
}
