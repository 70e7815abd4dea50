//! A job's request, and the model that it is for.

use super::catalogue;
use super::description::Model;
use crate::fields::fields;
use crate::json::{self, number};

/// The largest side in pixels; more is a mistake, because no known model reaches a third of it.
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

/// A request, read and checked: only fields that may be absent are optional.
#[derive(Debug)]
pub struct Request {
    pub prompt: String,
    pub negative_prompt: Option<String>,
    /// As in the payload.
    pub model_id: String,
    pub target: Target,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub num_inference_steps: Option<u32>,
    pub guidance_scale: Option<f64>,
    pub seed: ChosenSeed,
    pub output_format: Option<String>,
    pub num_outputs: Option<u32>,
    /// The URLs of the source pictures, in their order.
    pub sources: Vec<String>,
    pub strength: Option<f64>,
}

/// A seed before it is fitted to the model.
#[derive(Debug, Clone, Copy)]
pub struct ChosenSeed {
    pub number: i64,
    /// The job gave no seed.
    pub is_default: bool,
}

impl Request {
    /// Checks the fields and finds their model. The error is a sentence that names the field: an empty text, a side of
    /// 0 or over 16384 pixels, guidance or strength out of range, an unknown format, a malformed model id or version.
    pub fn new(fields: ImageRequest, default_seed: u32) -> Result<Request, String> {
        fields.check()?;
        let ImageRequest { model_id, model_version, source_image_url, source_image_urls, .. } = fields;
        Ok(Request {
            target: Target::of(&model_id, model_version.as_deref())?,
            model_id,
            prompt: fields.prompt,
            negative_prompt: fields.negative_prompt,
            width: fields.width,
            height: fields.height,
            num_inference_steps: fields.num_inference_steps,
            guidance_scale: fields.guidance_scale,
            seed: ChosenSeed {
                number: fields.seed.unwrap_or(i64::from(default_seed)),
                is_default: fields.seed.is_none(),
            },
            output_format: fields.output_format,
            num_outputs: fields.num_outputs,
            sources: source_image_urls.unwrap_or_default().into_iter().chain(source_image_url).collect(),
            strength: fields.strength,
        })
    }

    /// The payload's field for the sources.
    pub fn source_field(&self) -> &'static str {
        source_field(self.sources.len())
    }
}

fn source_field(count: usize) -> &'static str {
    if count > 1 { "source_image_urls" } else { "source_image_url" }
}

impl ImageRequest {
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
        let sources: Vec<&String> = self.source_image_urls.iter().flatten().chain(&self.source_image_url).collect();
        if sources.iter().any(|url| url.trim().is_empty()) {
            return Err(format!("{} is empty", source_field(sources.len())));
        }
        Ok(())
    }
}

/// The model that a job is sent to.
#[derive(Debug)]
pub struct Target {
    /// `None` if the catalogue does not have the model.
    pub known: Option<&'static Model<'static>>,
    /// `owner/name`, `owner/name:64hex` or `64hex`.
    pub version: String,
    /// The version comes from the job, not from the catalogue.
    pub is_pinned: bool,
}

impl Target {
    fn of(model_id: &str, model_version: Option<&str>) -> Result<Target, String> {
        let reference = reference(model_id, model_version)?;
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
}

/// A job's name for its model.
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

/// Escapes and cuts a text from outside for a message.
fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(100).collect::<String>())
}
