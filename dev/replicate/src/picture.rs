//! Real pictures, cheaply: a plain vertical gradient in one of sixteen colours.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Cursor;

use anyhow::Context;
use axum::body::Bytes;
use image::{ImageFormat, Rgb, RgbImage};
use serde::Deserialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Png,
    Jpg,
    Webp,
    Svg,
}

/// Everything that decides a picture's bytes, so that they are made once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Picture {
    pub format: Format,
    pub width: u32,
    pub height: u32,
    /// 0..16
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

/// One of the sixteen colours, by what makes pictures differ: prompt, seed, number.
pub fn colour(of: impl Hash) -> u8 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    (hasher.finish() % 16) as u8
}

impl Picture {
    /// Costs tens of milliseconds for a megapixel: call it off the async threads and keep the bytes.
    pub fn encode(self) -> anyhow::Result<Bytes> {
        let format = match self.format {
            Format::Png => ImageFormat::Png,
            Format::Jpg => ImageFormat::Jpeg,
            Format::Webp => ImageFormat::WebP,
            Format::Svg => return Ok(self.svg().into()),
        };
        let (top, bottom) = self.ends();
        let picture = RgbImage::from_fn(self.width, self.height, |_, y| {
            let mix = |from: u8, to: u8| {
                (u64::from(from) * u64::from(self.height - y) + u64::from(to) * u64::from(y)) / u64::from(self.height)
            };
            Rgb(std::array::from_fn(|channel| mix(top[channel], bottom[channel]) as u8))
        });
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
        let level = |bit: u8| if self.colour >> bit & 1 == 1 { 230 } else { 60 };
        let top = [level(0), level(1), level(2)];
        (top, if self.colour >> 3 & 1 == 1 { [20, 20, 20] } else { [250, 250, 250] })
    }
}
