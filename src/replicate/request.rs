//! What a job asks for, and the model that it asks.

use super::catalogue::{self, Model};
use crate::fields::fields;
use crate::json::{self, number};

/// Sides above this, in pixels, are a mistake and no wish: no known model reaches a third of it.
const MAX_SIDE: u32 = 16_384;
const FORMATS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];
const MAX_OUTPUTS: u32 = 10;

fields! {
    /// A picture as a job's payload describes it.
    #[derive(Clone, Debug, Default)]
    pub struct ImageRequest {
        prompt: String,
        negative_prompt: Option<String>,
        /// `owner/name`, `owner/name:version` or a version alone: 64 lowercase hex digits.
        model_id: String,
        model_version: Option<String>,
        /// Pixels, as is the height.
        width: Option<u32>,
        height: Option<u32>,
        num_inference_steps: Option<u32>,
        guidance_scale: Option<f64>,
        seed: Option<i64>,
        /// `png`, `jpg`, `jpeg` or `webp`.
        output_format: Option<String>,
        /// 1 to 10.
        num_outputs: Option<u32>,
        /// The picture to start from; or several, in their order, in `source_image_urls`.
        source_image_url: Option<String>,
        source_image_urls: Option<Vec<String>>,
        /// 0 keeps the source picture, 1 ignores it.
        strength: Option<f64>,
    }
}

impl ImageRequest {
    /// Checks the request, and finds its model. The errors are those of `input::build` that no model has a part in.
    pub fn target(&self) -> Result<Target, String> {
        self.check()?;
        let reference = reference(&self.model_id, self.model_version.as_deref())?;
        let is_pinned = reference.version().is_some();
        let (known, version) = match reference {
            Reference::Name { name, version } => {
                let known = catalogue::find(name);
                let version = version.or(known.and_then(|model| model.version));
                (known, version.map_or(name.to_owned(), |version| format!("{name}:{version}")))
            }
            Reference::Version(version) => match catalogue::find(version) {
                Some(known) => (Some(known), format!("{}:{version}", known.id)),
                None => (None, version.to_owned()),
            },
        };
        Ok(Target { known, version, is_pinned })
    }

    /// Where the source pictures are, in their order.
    pub fn source_images(&self) -> Vec<&str> {
        let list = self.source_image_urls.iter().flatten();
        list.chain(&self.source_image_url).map(String::as_str).collect()
    }

    /// The payload's name for them.
    pub fn source_field(&self) -> &'static str {
        if self.source_images().len() > 1 { "source_image_urls" } else { "source_image_url" }
    }

    fn check(&self) -> Result<(), String> {
        if self.prompt.trim().is_empty() {
            return Err("prompt is empty".to_owned());
        }
        for (field, side) in [("width", self.width), ("height", self.height)] {
            if let Some(side) = side.filter(|side| !(1..=MAX_SIDE).contains(side)) {
                return Err(format!("{field} is {side}, not from 1 to {MAX_SIDE} pixels"));
            }
        }
        if let Some(scale) = self.guidance_scale.filter(|scale| !(0.0..f64::INFINITY).contains(scale)) {
            return Err(format!("guidance_scale is {}, not a number from 0 up", json::text(&number(scale))));
        }
        if let Some(strength) = self.strength.filter(|strength| !(0.0..=1.0).contains(strength)) {
            let strength = json::text(&number(strength));
            return Err(format!("strength is {strength}, not from 0 (keep the picture) to 1 (ignore it)"));
        }
        if let Some(format) = self.output_format.as_deref().filter(|format| !FORMATS.contains(format)) {
            return Err(format!("output_format is {}, not {}", quoted(format), FORMATS.join(", ")));
        }
        if let Some(count) = self.num_outputs.filter(|count| !(1..=MAX_OUTPUTS).contains(count)) {
            return Err(format!("num_outputs is {count}, not from 1 to {MAX_OUTPUTS}"));
        }
        if self.source_image_url.is_some() && self.source_image_urls.is_some() {
            return Err("source_image_url and source_image_urls are both there".to_owned());
        }
        if self.source_images().iter().any(|url| url.trim().is_empty()) {
            return Err(format!("{} is empty", self.source_field()));
        }
        Ok(())
    }
}

/// What a job is to be sent to.
pub struct Target {
    /// None: the catalogue does not have the model.
    pub known: Option<&'static Model<'static>>,
    /// `owner/name`, `owner/name:64hex` or `64hex`.
    pub version: String,
    /// The version is the job's, and not the catalogue's.
    pub is_pinned: bool,
}

/// What a job calls its model by.
enum Reference<'a> {
    Name { name: &'a str, version: Option<&'a str> },
    Version(&'a str),
}

fn reference<'a>(model_id: &'a str, model_version: Option<&'a str>) -> Result<Reference<'a>, String> {
    let reference = match model_id.split_once(':') {
        Some((name, version)) if is_name(name) && is_version(version) => {
            Reference::Name { name, version: Some(version) }
        }
        None if is_name(model_id) => Reference::Name { name: model_id, version: model_version },
        None if is_version(model_id) => Reference::Version(model_id),
        Some(_) | None => {
            return Err(format!(
                "model_id {} is neither owner/name nor owner/name:version nor a version of 64 lowercase hex digits",
                quoted(model_id)
            ));
        }
    };
    if let Some(wanted) = model_version {
        if !is_version(wanted) {
            return Err(format!("model_version {} is not of 64 lowercase hex digits", quoted(wanted)));
        }
        if reference.version() != Some(wanted) {
            return Err(format!("model_version {wanted} is not the version in model_id"));
        }
    }
    Ok(reference)
}

impl Reference<'_> {
    fn version(&self) -> Option<&str> {
        match self {
            Reference::Name { version, .. } => *version,
            Reference::Version(version) => Some(version),
        }
    }
}

pub fn is_version(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub fn is_name(text: &str) -> bool {
    let is_part = |part: &str| {
        part.len() <= 100
            && part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    text.split_once('/').is_some_and(|(owner, name)| is_part(owner) && is_part(name))
}

/// A text from outside, escaped and cut, for a message.
fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(100).collect::<String>())
}
