//! Real pictures that are cheap to make: a plain vertical gradient, one of eight skies.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Cursor;

use anyhow::Context;
use axum::body::Bytes;
use image::{ImageFormat, RgbImage};
use serde::Deserialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Png,
    Jpg,
    Webp,
    Svg,
}

/// Everything that determines a picture's bytes, so that each is encoded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Picture {
    pub format: Format,
    pub width: u32,
    pub height: u32,
    /// 0..8
    pub colour: u8,
}

impl Format {
    pub fn by_name(name: &str) -> Option<Format> {
        match name {
            "png" => Some(Format::Png),
            "jpg" | "jpeg" => Some(Format::Jpg),
            "webp" => Some(Format::Webp),
            "svg" => Some(Format::Svg),
            _ => None,
        }
    }

    pub fn extension(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Jpg => "jpg",
            Format::Webp => "webp",
            Format::Svg => "svg",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::Png => "image/png",
            Format::Jpg => "image/jpeg",
            Format::Webp => "image/webp",
            Format::Svg => "image/svg+xml",
        }
    }
}

/// The colours of the top and the bottom.
const SKIES: [([u8; 3], [u8; 3]); 8] = [
    ([38, 52, 92], [244, 178, 140]),
    ([92, 152, 178], [250, 232, 196]),
    ([58, 44, 88], [226, 122, 122]),
    ([44, 110, 106], [232, 226, 176]),
    ([120, 144, 196], [246, 214, 224]),
    ([24, 38, 66], [98, 150, 170]),
    ([214, 128, 98], [252, 222, 168]),
    ([92, 108, 92], [222, 226, 206]),
];

/// One of the eight skies, chosen by whatever makes pictures differ: prompt, seed, number.
pub fn colour(of: impl Hash) -> u8 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    (hasher.finish() % 8) as u8
}

impl Picture {
    /// A megapixel costs 12 to 62 ms optimised and some 250 to 450 ms unoptimised: call it outside the async threads
    /// and keep the bytes.
    pub fn encode(self) -> anyhow::Result<Bytes> {
        let format = match self.format {
            Format::Png => ImageFormat::Png,
            Format::Jpg => ImageFormat::Jpeg,
            Format::Webp => ImageFormat::WebP,
            Format::Svg => return Ok(self.svg().into()),
        };
        let (top, bottom) = self.ends();
        let mix = |from: u8, to: u8, y: u32| {
            let (from, to, y, height) = (u64::from(from), u64::from(to), u64::from(y), u64::from(self.height));
            ((from * (height - y) + to * y) / height) as u8
        };
        let mut pixels = Vec::with_capacity(self.width as usize * self.height as usize * 3);
        for y in 0..self.height {
            let colour: [u8; 3] = std::array::from_fn(|channel| mix(top[channel], bottom[channel], y));
            // A row has one colour: copying it is much cheaper than setting each pixel.
            pixels.extend(colour.repeat(self.width as usize));
        }
        let picture = RgbImage::from_raw(self.width, self.height, pixels)
            .with_context(|| format!("{self:?} has no {}x{} pixels", self.width, self.height))?;
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).with_context(|| format!("encode {self:?}"))?;
        Ok(bytes.into_inner().into())
    }

    fn svg(self) -> String {
        let Picture { width, height, .. } = self;
        let hex = |[red, green, blue]: [u8; 3]| format!("#{red:02x}{green:02x}{blue:02x}");
        let (top, bottom) = self.ends();
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"><rect width="{width}" height="{height}" fill="{}"/><circle cx="{}" cy="{}" r="{}" fill="{}"/></svg>"#,
            hex(top),
            width / 2,
            height / 2,
            width.min(height) / 3,
            hex(bottom),
        )
    }

    fn ends(self) -> ([u8; 3], [u8; 3]) {
        SKIES[usize::from(self.colour) % SKIES.len()]
    }
}
