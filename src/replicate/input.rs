//! Turns what a job asks for into what its model takes.
//!
//! Replicate answers 422 to a value out of range and silently drops a field it does not know, so
//! every field is named, ranged and rounded after [`catalogue`], and each change is told.

use serde_json::{Map, Value, json};

use super::catalogue::{self, Guidance, Model, Seed, Size, SourceImage, Steps};

/// Sides above this, in pixels, are a mistake and no wish: no known model reaches a third of it.
const MAX_SIDE: u32 = 16_384;

/// A picture as a job's payload describes it.
#[derive(Clone, Debug)]
pub struct ImageRequest {
    pub prompt: String,
    pub negative_prompt: Option<String>,
    /// `owner/name`, `owner/name:version` or a version alone: 64 lowercase hex digits.
    pub model_id: String,
    pub model_version: Option<String>,
    /// In pixels.
    pub width: u32,
    pub height: u32,
    pub num_inference_steps: u32,
    pub guidance_scale: f64,
    pub seed: Option<i64>,
    pub source_image_url: Option<String>,
    /// From 0, keep the source picture, to 1, ignore it.
    pub strength: Option<f64>,
}

/// The body of a create, as far as the model decides it.
#[derive(Debug, PartialEq)]
pub struct ModelInput {
    /// What `POST /v1/predictions` takes as `version`: `owner/name`, `owner/name:64hex` or `64hex`.
    pub version: String,
    pub input: Map<String, Value>,
    /// One short sentence for each thing that is not sent as the job has it. They repeat numbers
    /// and field names, never the payload's texts.
    pub adjustments: Vec<String>,
}

/// Builds the input for the request's model.
///
/// A model of the catalogue gets only fields it has, within its limits. Any other gets the fields
/// of the stable-diffusion family as they are in the request.
///
/// `default_seed` is used where a model of the catalogue takes a seed and the request has none.
/// Derived from the job's id it makes the input a fingerprint of the job.
///
/// The error is a sentence that names the field. The request fails for good: empty texts, sides of
/// 0 or over 16384 pixels, guidance or strength out of range, a malformed model id or version, a
/// source picture for a model that takes none.
pub fn build(request: &ImageRequest, default_seed: u32) -> Result<ModelInput, String> {
    check(request)?;
    let (model, version) = match reference(&request.model_id, request.model_version.as_deref())? {
        Reference::Name { name, version } => {
            let model = catalogue::find(name);
            let version = version.or(model.and_then(|model| model.version));
            (model, version.map_or(name.to_owned(), |version| format!("{name}:{version}")))
        }
        Reference::Version(version) => (catalogue::find(version), version.to_owned()),
    };
    let mut built = ModelInput { version, input: Map::new(), adjustments: Vec::new() };
    match model {
        Some(model) => built.fill(model, request, default_seed)?,
        None => built.fill_plain(request)?,
    }
    Ok(built)
}

impl ModelInput {
    fn fill(&mut self, model: &Model, request: &ImageRequest, default_seed: u32) -> Result<(), String> {
        self.put("prompt", request.prompt.as_str());
        for (field, text) in model.fixed {
            self.put(field, *text);
        }
        self.put_size(&model.size, request.width, request.height);
        self.put_steps(model.steps.as_ref(), request.num_inference_steps);
        self.put_guidance(model.guidance.as_ref(), request.guidance_scale);
        self.put_negative_prompt(model.negative_prompt, request.negative_prompt.as_deref());
        self.put_seed(model.seed.as_ref(), request.seed, default_seed);
        match (&model.image, request.source_image_url.as_deref()) {
            (Some(image), Some(url)) => self.put_image(image, url, request.strength),
            (None, Some(_)) => {
                return Err(format!("source_image_url: the model {} takes no picture", model.id));
            }
            (_, None) => self.drop_strength(request.strength, "there is no source_image_url"),
        }
        Ok(())
    }

    fn fill_plain(&mut self, request: &ImageRequest) -> Result<(), String> {
        if request.source_image_url.is_some() {
            return Err(format!(
                "source_image_url: the model {} is not in the catalogue, so how it takes a picture is unknown",
                self.version
            ));
        }
        self.put("prompt", request.prompt.as_str());
        self.put_negative_prompt(true, request.negative_prompt.as_deref());
        self.put("width", request.width);
        self.put("height", request.height);
        self.put("num_inference_steps", request.num_inference_steps);
        self.put("guidance_scale", number(request.guidance_scale));
        if let Some(seed) = request.seed {
            self.put("seed", seed);
        }
        self.drop_strength(request.strength, "there is no source_image_url");
        Ok(())
    }

    fn put_size(&mut self, size: &Size, width: u32, height: u32) {
        let sent = match size {
            Size::AspectRatio { ratios, preset } => {
                let wanted = f64::from(width) / f64::from(height);
                let ratio = nearest(ratios.iter(), wanted, |ratio| f64::from(ratio.width) / f64::from(ratio.height));
                let area = f64::from(width) * f64::from(height);
                let preset = preset.as_ref().and_then(|preset| {
                    let (name, _) = nearest(preset.pixels.iter(), area, |(_, pixels)| f64::from(*pixels))?;
                    Some((preset.field, *name))
                });
                let fields = ratio.map(|ratio| ("aspect_ratio", ratio.name)).into_iter().chain(preset);
                let mut sent = Vec::new();
                for (field, text) in fields {
                    self.put(field, text);
                    sent.push(format!("{field} {text}"));
                }
                sent.join(", ")
            }
            Size::Pixels { min, max, step } => {
                let (sent_width, sent_height) = fit(width, height, *min, *max, *step);
                self.put("width", sent_width);
                self.put("height", sent_height);
                if (sent_width, sent_height) == (width, height) {
                    return;
                }
                format!("width {sent_width} x height {sent_height}")
            }
        };
        self.adjustments.push(format!("width {width} x height {height} -> {sent}"));
    }

    fn put_steps(&mut self, steps: Option<&Steps>, wanted: u32) {
        let Some(steps) = steps else {
            return self.adjusted("num_inference_steps", wanted, "dropped: the model has none");
        };
        let sent = wanted.clamp(steps.min, steps.max);
        if sent != wanted {
            self.adjusted("num_inference_steps", wanted, format_args!("-> {sent}"));
        }
        self.put(steps.field, sent);
    }

    fn put_guidance(&mut self, guidance: Option<&Guidance>, wanted: f64) {
        let Some(guidance) = guidance else {
            return self.adjusted("guidance_scale", number(wanted), "dropped: the model has none");
        };
        let sent = clamped(wanted, guidance.min, guidance.max);
        if sent != wanted {
            self.adjusted("guidance_scale", number(wanted), format_args!("-> {}", number(sent)));
        }
        self.put(guidance.field, number(sent));
    }

    fn put_negative_prompt(&mut self, taken: bool, wanted: Option<&str>) {
        match wanted {
            Some(text) if taken => self.put("negative_prompt", text),
            Some("") | None => {}
            Some(_) => self.adjustments.push("negative_prompt dropped: the model has none".to_owned()),
        }
    }

    fn put_seed(&mut self, seed: Option<&Seed>, wanted: Option<i64>, default_seed: u32) {
        let Some(seed) = seed else {
            if let Some(wanted) = wanted {
                self.adjusted("seed", wanted, "dropped: the model has none");
            }
            return;
        };
        let chosen = wanted.unwrap_or(i64::from(default_seed));
        let sent = match seed.max {
            Some(max) if !(0..=max).contains(&chosen) => chosen.rem_euclid(max.saturating_add(1)),
            Some(_) | None => chosen,
        };
        if wanted.is_some_and(|wanted| wanted != sent) {
            self.adjusted("seed", chosen, format_args!("-> {sent}"));
        }
        self.put("seed", sent);
    }

    fn put_image(&mut self, image: &SourceImage, url: &str, wanted: Option<f64>) {
        self.put(image.field, if image.list { json!([url]) } else { json!(url) });
        match (&image.strength, wanted) {
            (Some(strength), Some(wanted)) if strength.inverted => {
                // 1 - 0.9 is 0.09999999999999998; six places are as exact as anyone's wish.
                let sent = number(((1.0 - wanted) * 1e6).round() / 1e6);
                self.adjusted("strength", number(wanted), format_args!("-> {} {sent}", strength.field));
                self.put(strength.field, sent);
            }
            (Some(strength), Some(wanted)) => self.put(strength.field, number(wanted)),
            (None, wanted) => self.drop_strength(wanted, "the model has none"),
            (Some(_), None) => {}
        }
    }

    fn drop_strength(&mut self, wanted: Option<f64>, why: &str) {
        if let Some(wanted) = wanted {
            self.adjusted("strength", number(wanted), format_args!("dropped: {why}"));
        }
    }

    fn put(&mut self, field: &str, value: impl Into<Value>) {
        self.input.insert(field.to_owned(), value.into());
    }

    fn adjusted(&mut self, field: &str, wanted: impl std::fmt::Display, what: impl std::fmt::Display) {
        self.adjustments.push(format!("{field} {wanted} {what}"));
    }
}

/// Whole numbers without a fraction, as JSON comes back from Replicate: an input is recognised by
/// comparison, and to serde_json 7.0 is not 7. Messages show it too: what prints an `f64` would add 7 KB.
fn number(value: f64) -> Value {
    let whole = value as i64;
    if whole as f64 == value { json!(whole) } else { json!(value) }
}

/// `f64::clamp`, but its panic would print an `f64`.
fn clamped(value: f64, min: f64, max: f64) -> f64 {
    value.max(min).min(max)
}

/// The one whose measure is nearest to `wanted` by ratio, the first of equals; `None` of none.
fn nearest<T>(choices: impl Iterator<Item = T>, wanted: f64, measure: impl Fn(&T) -> f64) -> Option<T> {
    // The larger quotient orders as the absolute logarithm does.
    let apart = |choice: &T| (measure(choice) / wanted).max(wanted / measure(choice));
    choices.min_by(|a, b| apart(a).total_cmp(&apart(b)))
}

/// The size with both sides in `min..=max`, multiples of `step`, and the ratio kept as well as that
/// allows: what fits is only rounded, what is too large or small is scaled first.
fn fit(width: u32, height: u32, min: u32, max: u32, step: u32) -> (u32, u32) {
    let long = f64::from(width.max(height));
    let short = f64::from(width.min(height));
    let scale = (f64::from(max) / long).min(1.0).max(f64::from(min) / short);
    let side = |side: u32| {
        let steps = (f64::from(side) * scale / f64::from(step)).round();
        clamped(steps * f64::from(step), f64::from(min), f64::from(max)) as u32
    };
    (side(width), side(height))
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

fn is_version(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_name(text: &str) -> bool {
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

fn check(request: &ImageRequest) -> Result<(), String> {
    if request.prompt.trim().is_empty() {
        return Err("prompt is empty".to_owned());
    }
    for (field, side) in [("width", request.width), ("height", request.height)] {
        if !(1..=MAX_SIDE).contains(&side) {
            return Err(format!("{field} is {side}, not from 1 to {MAX_SIDE} pixels"));
        }
    }
    if !(0.0..f64::INFINITY).contains(&request.guidance_scale) {
        return Err(format!("guidance_scale is {}, not a number from 0 up", number(request.guidance_scale)));
    }
    if let Some(strength) = request.strength.filter(|strength| !(0.0..=1.0).contains(strength)) {
        return Err(format!("strength is {}, not from 0 (keep the picture) to 1 (ignore it)", number(strength)));
    }
    if request.source_image_url.as_deref().is_some_and(|url| url.trim().is_empty()) {
        return Err("source_image_url is empty".to_owned());
    }
    Ok(())
}
