//! Turns a job's request into its model's input.
//!
//! Replicate answers 422 to a value out of range and silently drops an unknown field. So every field is named, limited
//! and rounded by the model's description, and each change is reported.
//!
//! A setting that a job leaves out is left to the model. The first version sent 30 steps and a guidance of 7.5 instead,
//! the values of Stable Diffusion: a model made for 4 steps refuses the first, and the second burns the pictures of
//! every other family. Only an unknown model still gets them, because such models are usually of that family and their
//! jobs were written for that version.

use serde_json::{Map, Value};

use super::description::{Model, Outputs, Pictures, Pixels, Preset, Range, Seed, Size};
use super::request::{ChosenSeed, Request, Target, is_name, is_version};
use super::schema;
use crate::address::is_address;
use crate::json::{self, number};
use crate::text::cut;

/// The width and height for a job that gives none.
const DEFAULT_SIDE: u32 = 1024;
/// The fields that hold the payload's own texts unchanged.
pub const TEXTS: [&str; 2] = ["prompt", "negative_prompt"];
/// Limits of an outline: of each text, of each URL, and of the whole.
const TEXT_MAX_CHARACTERS: usize = 200;
const ADDRESS_MAX_CHARACTERS: usize = 1000;
const OUTLINE_MAX_BYTES: usize = 8 * 1024;
/// The reason if neither the catalogue nor the schema has a field known to mean a payload's field.
const UNKNOWN_FIELD: &str = "dropped: the model has no known field for it";

/// The part of a create's body that the model decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelInput {
    /// The `version` of `POST /v1/predictions`: `owner/name`, `owner/name:64hex` or `64hex`.
    pub version: String,
    pub input: Map<String, Value>,
    /// The field of `input` that holds the URLs of source pictures, if there are any. Each attempt may sign them anew.
    pub source_field: Option<String>,
    /// One short sentence for each setting that is sent differently or not at all. They repeat numbers and field names,
    /// never the payload's texts.
    pub adjustments: Vec<String>,
}

/// Builds the input for the request's model.
///
/// `published` has the version's schema (`components`), its `version` and `is_official`. The input gets only that
/// schema's fields, within its limits; without a readable schema, those that the catalogue knows. For a model in
/// neither it gets the stable-diffusion family's fields, as in the request.
///
/// A default seed is sent unless the model is known to take none. It is derived from the job's id, so that the input is
/// a fingerprint of the job.
///
/// The error is a sentence that names the field, and is final: the model does not take source pictures, or needs one
/// and there is none, or needs another field that a job cannot give.
pub fn build(request: &Request, published: Option<&Value>) -> Result<ModelInput, String> {
    let Target { known, ref version, .. } = request.target;
    let mut version = version.clone();
    // Only official models are called without a version; the schema's fields are those of this version.
    let latest = published.filter(|published| published.get("is_official").is_some_and(|it| *it == false));
    if let Some(latest) = latest.and_then(|published| published.get("version")?.as_str())
        && is_version(latest)
        && is_name(&version)
    {
        version = format!("{version}:{latest}");
    }
    let id = known.map_or(request.model_id.as_str(), |model| model.id);
    let mut built = ModelInput { version, ..ModelInput::default() };
    match (published.and_then(|published| schema::read(id, published, known)), known) {
        (Some(model), _) => built.fill(&model, request)?,
        (None, Some(model)) => built.fill(model, request)?,
        (None, None) => built.fill_plain(request)?,
    }
    Ok(built)
}

/// Shortens an input for keeping and showing: long texts to their beginning, URLs without their queries, `data:` URIs
/// without the picture. Nulls were not sent and are left out.
pub fn outline(input: &Map<String, Value>) -> Map<String, Value> {
    let mut outline = Map::new();
    let mut left = OUTLINE_MAX_BYTES;
    let (texts, others): (Vec<_>, Vec<_>) = input.iter().partition(|(field, _)| TEXTS.contains(&field.as_str()));
    let texts =
        texts.into_iter().map(|(field, text)| (field, text.as_str().map_or(Value::Null, |text| short(text).into())));
    for (field, value) in texts.chain(others.into_iter().map(|(field, value)| (field, shown(value)))) {
        let bytes = json::text(&value).len();
        let value = if bytes > left { format!("… ({bytes} bytes)").into() } else { value };
        if !value.is_null() && field.len() < left {
            left = left.saturating_sub(json::text(&value).len() + field.len());
            outline.insert(field.clone(), value);
        }
    }
    outline
}

/// Shortens a payload's text as [`outline`] does.
pub fn short(text: &str) -> String {
    match cut(text, TEXT_MAX_CHARACTERS) {
        whole if whole.len() == text.len() => whole,
        start => format!("{start} ({} characters)", text.chars().count()),
    }
}

fn shown(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with("data:") => {
            format!("{} ({} characters)", cut(text, 30), text.len()).into()
        }
        Value::String(text) if is_address(text) => {
            cut(text.split('?').next().unwrap_or_default(), ADDRESS_MAX_CHARACTERS).into()
        }
        Value::String(text) => short(text).into(),
        Value::Array(values) => values.iter().map(shown).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.clone(),
    }
}

impl ModelInput {
    /// The URLs of the source pictures in the input.
    pub fn sources(&mut self) -> &mut [Value] {
        match self.source_field.as_ref().and_then(|field| self.input.get_mut(field)) {
            Some(Value::Array(sources)) => sources,
            Some(source) => std::slice::from_mut(source),
            None => &mut [],
        }
    }

    fn fill(&mut self, model: &Model<'_>, request: &Request) -> Result<(), String> {
        match (model.prompt, request.sources.is_empty()) {
            (true, _) => self.put_text("prompt", &request.prompt),
            (false, false) => self.adjustments.push(format!("prompt {UNKNOWN_FIELD}")),
            (false, true) => return Err(format!("prompt: the model {} has no known field for it", model.id)),
        }
        self.put_size(model, request);
        let steps = request.num_inference_steps.map(f64::from);
        self.put_number("num_inference_steps", model.steps.as_ref(), steps);
        self.put_number("guidance_scale", model.guidance.as_ref(), request.guidance_scale);
        self.put_negative_prompt(model.negative_prompt, request.negative_prompt.as_deref());
        self.put_seed(model.seed.as_ref(), request.seed);
        self.put_format(&model.formats, request.output_format.as_deref());
        self.put_outputs(model.outputs.as_ref(), request.num_outputs);
        self.put_pictures(model.id, model.pictures.as_ref(), request)?;
        let missing = |field: &&&str| !self.input.contains_key(**field);
        match model.required.iter().find(missing) {
            None => Ok(()),
            Some(field) if model.pictures.as_ref().is_some_and(|pictures| pictures.field == *field) => {
                Err(format!("source_image_url: the model {} needs a picture, and there is none", model.id))
            }
            Some(field) => Err(format!("model_id: the model {} needs {field}, which the job does not give", model.id)),
        }
    }

    fn fill_plain(&mut self, request: &Request) -> Result<(), String> {
        if !request.sources.is_empty() {
            return Err(format!(
                "{}: the model {} is not in the catalogue, so how it takes a picture is unknown",
                request.source_field(),
                self.version
            ));
        }
        self.put_text("prompt", &request.prompt);
        self.put_negative_prompt(true, request.negative_prompt.as_deref());
        self.put("width", Value::from(request.width.unwrap_or(DEFAULT_SIDE)));
        self.put("height", Value::from(request.height.unwrap_or(DEFAULT_SIDE)));
        self.put("num_inference_steps", Value::from(request.num_inference_steps.unwrap_or(30)));
        self.put("guidance_scale", number(request.guidance_scale.unwrap_or(7.5)));
        // Replicate drops it if the model has no seed; otherwise it distinguishes the job's prediction from others.
        self.put("seed", Value::from(request.seed.number));
        let unknown = "dropped: the model is not in the catalogue";
        if let Some(format) = &request.output_format {
            self.adjustments.push(format!("output_format {format} {unknown}"));
        }
        if let Some(count) = request.num_outputs {
            self.adjusted("num_outputs", &Value::from(count), unknown);
        }
        self.drop_strength(request.strength, "there is no source_image_url");
        Ok(())
    }

    fn put_size(&mut self, model: &Model<'_>, request: &Request) {
        let size = &model.size;
        let is_asked = request.width.is_some() || request.height.is_some();
        let (width, height) = (request.width.unwrap_or(DEFAULT_SIDE), request.height.unwrap_or(DEFAULT_SIDE));
        let has_source = !request.sources.is_empty();
        if has_source && model.pictures.as_ref().is_some_and(|pictures| pictures.follows) {
            if is_asked {
                let why = "dropped: the picture has the size of its source";
                self.adjustments.push(format!("width {width} x height {height} {why}"));
            }
            return;
        }
        match size.matching {
            Some(text) if has_source && !is_asked => return self.put_text("aspect_ratio", text),
            _ if size.own_default && !is_asked => return,
            _ => {}
        }
        let mut sent = String::new();
        if let Some(pixels) = &size.pixels {
            if let Some((field, value)) = pixels.custom {
                self.put_text(field, value);
            }
            let (sent_width, sent_height) = fit(width, height, pixels);
            self.put("width", Value::from(sent_width));
            self.put("height", Value::from(sent_height));
            if (sent_width, sent_height) == (width, height) {
                return;
            }
            sent = format!("-> width {sent_width} x height {sent_height}");
        }
        let shape = nearest_shape(size, width, height);
        let preset =
            size.preset.as_ref().filter(|preset| shape.as_ref().is_none_or(|(field, _)| *field != preset.field));
        if let Some((field, text)) = shape {
            sent = format!("-> {field} {text}");
            self.put(field, Value::String(text));
        }
        if let Some((field, text)) = preset.and_then(|preset| nearest_preset(preset, width, height)) {
            sent.push_str(if sent.is_empty() { "-> " } else { ", " });
            sent = sent + field + " " + text;
            self.put_text(field, text);
        }
        if is_asked {
            let sent = if sent.is_empty() { UNKNOWN_FIELD } else { &sent };
            self.adjustments.push(format!("width {width} x height {height} {sent}"));
        }
    }

    fn put_number(&mut self, name: &str, range: Option<&Range<'_>>, wanted: Option<f64>) {
        match (range, wanted) {
            (_, None) => {}
            (None, Some(wanted)) => self.adjusted(name, &number(wanted), UNKNOWN_FIELD),
            (Some(range), Some(wanted)) => {
                let sent = number(within(range, wanted));
                if sent != number(wanted) {
                    self.adjusted(name, &number(wanted), &format!("-> {}", json::text(&sent)));
                }
                self.put(range.field, sent);
            }
        }
    }

    fn put_negative_prompt(&mut self, taken: bool, wanted: Option<&str>) {
        match wanted {
            Some(text) if taken => self.put_text("negative_prompt", text),
            Some("") | None => {}
            Some(_) => self.adjustments.push(format!("negative_prompt {UNKNOWN_FIELD}")),
        }
    }

    fn put_seed(&mut self, seed: Option<&Seed>, chosen: ChosenSeed) {
        let ChosenSeed { number, is_default } = chosen;
        let sent = seed.map(|seed| fitted(seed, number));
        if sent != Some(number) && !is_default {
            let what = sent.map_or(UNKNOWN_FIELD.to_owned(), |sent| format!("-> {sent}"));
            self.adjusted("seed", &Value::from(number), &what);
        }
        if let Some(sent) = sent {
            self.put("seed", Value::from(sent));
        }
    }

    fn put_format(&mut self, formats: &[&str], wanted: Option<&str>) {
        let Some(wanted) = wanted else { return };
        let is_jpg = |format: &str| format == "jpg" || format == "jpeg";
        for format in formats {
            if *format == wanted || (is_jpg(format) && is_jpg(wanted)) {
                return self.put_text("output_format", format);
            }
        }
        self.adjustments.push(match formats {
            [] => format!("output_format {wanted} {UNKNOWN_FIELD}"),
            formats => format!("output_format {wanted} dropped: the model has {}", formats.join(", ")),
        });
    }

    fn put_outputs(&mut self, outputs: Option<&Outputs<'_>>, wanted: Option<u32>) {
        match (outputs, wanted) {
            (_, None) | (None, Some(1)) => {}
            (None, Some(wanted)) => self.adjusted("num_outputs", &Value::from(wanted), "dropped: the model makes one"),
            (Some(outputs), Some(wanted)) => {
                let sent = wanted.min(outputs.max);
                self.put(outputs.field, Value::from(sent));
                if let (Some((field, value)), true) = (outputs.with, sent > 1) {
                    self.put_text(field, value);
                    let what = format!("-> {} {sent}: the model makes as many as it likes, up to this", outputs.field);
                    self.adjusted("num_outputs", &Value::from(wanted), &what);
                } else if sent != wanted {
                    self.adjusted("num_outputs", &Value::from(wanted), &format!("-> {sent}"));
                }
            }
        }
    }

    fn put_pictures(&mut self, id: &str, pictures: Option<&Pictures<'_>>, request: &Request) -> Result<(), String> {
        let urls = &request.sources;
        let Some(first) = urls.first() else {
            self.drop_strength(request.strength, "there is no source_image_url");
            return Ok(());
        };
        let refused = |why: &str| Err(format!("{}: the model {id} {why}", request.source_field()));
        let Some(pictures) = pictures else { return refused("takes no picture") };
        if pictures.mask {
            return refused("needs a mask with its picture, which a job cannot give");
        }
        let most = if pictures.list { pictures.most } else { Some(1) };
        if let Some(most) = most.filter(|most| urls.len() > *most as usize) {
            return refused(&format!("takes {most} at most, and there are {}", urls.len()));
        }
        if pictures.list {
            self.put(pictures.field, urls.iter().map(String::as_str).collect());
        } else {
            self.put_text(pictures.field, first);
        }
        self.source_field = Some(pictures.field.to_owned());
        match (&pictures.strength, request.strength) {
            (_, None) => {}
            (None, wanted) => self.drop_strength(wanted, "the model has no known field for it"),
            (Some(strength), Some(wanted)) => {
                // 1 - 0.9 is 0.09999999999999998; six decimal places are enough.
                let turned = if strength.inverted { ((1.0 - wanted) * 1e6).round() / 1e6 } else { wanted };
                let (field, sent) = (strength.range.field, within(&strength.range, turned));
                if strength.inverted || sent != wanted {
                    self.adjusted("strength", &number(wanted), &format!("-> {field} {}", json::text(&number(sent))));
                }
                self.put(field, number(sent));
            }
        }
        Ok(())
    }

    fn drop_strength(&mut self, wanted: Option<f64>, why: &str) {
        if let Some(wanted) = wanted {
            self.adjusted("strength", &number(wanted), &format!("dropped: {why}"));
        }
    }

    fn put(&mut self, field: &str, value: Value) {
        self.input.insert(field.to_owned(), value);
    }

    fn put_text(&mut self, field: &str, text: &str) {
        self.put(field, Value::String(text.to_owned()));
    }

    fn adjusted(&mut self, field: &str, wanted: &Value, what: &str) {
        self.adjustments.push(format!("{field} {} {what}", json::text(wanted)));
    }
}

/// The seed to send for the chosen one.
fn fitted(seed: &Seed, chosen: i64) -> i64 {
    if (seed.min..=seed.max).contains(&chosen) {
        return chosen;
    }
    let least = seed.min.max(0);
    let count = seed.max.saturating_sub(least).max(0).saturating_add(1);
    least.saturating_add(chosen.rem_euclid(count))
}

/// True if some catalogue may have sent this seed for the chosen one. The ranges of models end at or just below a power
/// of 2 or of 10, and begin at 0 or 1. In smaller ranges a seed proves too little.
pub fn may_be_sent_for(sent: i64, chosen: i64) -> bool {
    let ends = (15..63).map(|bits| 1_i64 << bits).chain((4..19).map(|digits| 10_i64.pow(digits)));
    let mut seeds = ends.flat_map(|end| [(0, end - 1), (0, end), (1, end - 1), (1, end)]);
    sent == chosen || seeds.any(|(min, max)| fitted(&Seed { min, max }, chosen) == sent)
}

/// `f64::clamp`, whose panic would print an `f64`.
fn clamped(value: f64, min: f64, max: f64) -> f64 {
    value.max(min).min(max)
}

fn within(range: &Range<'_>, wanted: f64) -> f64 {
    let fitting = clamped(wanted, range.min, range.max);
    let fitting = if range.whole { fitting.round() } else { fitting };
    let nearer = |a: &f64, b: &f64| (a - fitting).abs().total_cmp(&(b - fitting).abs());
    range.among.iter().copied().min_by(nearer).unwrap_or(fitting)
}

/// The distance of two sizes as a quotient from 1 up, which orders as the absolute logarithm does.
fn apart(a: u32, b: u32) -> f64 {
    let quotient = f64::from(a) / f64::from(b);
    quotient.max(1.0 / quotient)
}

/// The field and value nearest in ratio; of equals the nearest in area; of equals the first.
fn nearest_shape<'a>(size: &Size<'a>, width: u32, height: u32) -> Option<(&'a str, String)> {
    let wanted = f64::from(width) / f64::from(height);
    let area = width.saturating_mul(height);
    let named = size.named.as_ref().map_or(("", &[][..]), |named| (named.field, &named.sizes));
    let mut nearest = None;
    let mut shortest = (f64::INFINITY, f64::INFINITY);
    for (field, joiner, shapes) in [("aspect_ratio", ':', &*size.ratios), (named.0, 'x', named.1)] {
        for &(width, height) in shapes {
            let ratio = f64::from(width) / f64::from(height);
            let away = if joiner == 'x' { apart(u32::from(width) * u32::from(height), area) } else { 1.0 };
            let distance = ((ratio / wanted).max(wanted / ratio), away);
            if distance < shortest {
                (nearest, shortest) = (Some((field, joiner, width, height)), distance);
            }
        }
    }
    nearest.map(|(field, joiner, width, height)| (field, format!("{width}{joiner}{height}")))
}

fn nearest_preset<'a>(preset: &'a Preset<'_>, width: u32, height: u32) -> Option<(&'a str, &'a str)> {
    let area = width.saturating_mul(height);
    let mut nearest = None;
    let mut shortest = f64::INFINITY;
    for (name, pixels) in preset.pixels.iter() {
        let distance = apart(*pixels, area);
        if distance < shortest {
            (nearest, shortest) = (Some((preset.field, *name)), distance);
        }
    }
    nearest
}

/// The size with both sides in `min..=max` and multiples of `step`, keeping the ratio as well as that allows: a size
/// that fits is only rounded, one too large or too small is scaled first. If only some sides are taken, the two nearest
/// in ratio, and of equals the nearest in area.
fn fit(width: u32, height: u32, pixels: &Pixels<'_>) -> (u32, u32) {
    let &Pixels { min, max, step, .. } = pixels;
    let mut nearest = None;
    let mut shortest = (f64::INFINITY, f64::INFINITY);
    for &a in pixels.widths.iter() {
        for &b in pixels.heights.iter() {
            let quotient = f64::from(a) * f64::from(height) / f64::from(b) / f64::from(width);
            let areas = apart(a.saturating_mul(b), width.saturating_mul(height));
            let distance = (quotient.max(1.0 / quotient), areas);
            if distance < shortest {
                (nearest, shortest) = (Some((a, b)), distance);
            }
        }
    }
    if let Some(nearest) = nearest {
        return nearest;
    }
    let long = f64::from(width.max(height));
    let short = f64::from(width.min(height));
    let scale = (f64::from(max) / long).min(1.0).max(f64::from(min) / short);
    let side = |side: u32| {
        let steps = (f64::from(side) * scale / f64::from(step)).round();
        clamped(steps * f64::from(step), f64::from(min), f64::from(max)) as u32
    };
    (side(width), side(height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_outline_is_small_and_opens_nothing() {
        let map = |value: Value| value.as_object().unwrap().clone();
        let long = "ä".repeat(500_000);
        let start = format!("{}… (500000 characters)", "ä".repeat(200));
        let table = [
            (
                json!({ "prompt": "a? https://b/?c", "seed": 7, "mask": null }),
                json!({ "prompt": "a? https://b/?c", "seed": 7 }),
            ),
            (json!({ "prompt": long, "negative_prompt": long }), json!({ "prompt": start, "negative_prompt": start })),
            (json!({ "image": "https://a/sign/b.png?token=c" }), json!({ "image": "https://a/sign/b.png" })),
            (
                json!({ "image_input": ["https://a/b.png?c", format!("data:image/png;base64,{}", "A".repeat(400_000))] }),
                json!({ "image_input": ["https://a/b.png", "data:image/png;base64,AAAAAAAA… (400022 characters)"] }),
            ),
            (json!({ "prompt": ["no text"], "style": long }), json!({ "style": start })),
            (json!({ "deep": { "a": long } }), json!({ "deep": "… (1000008 bytes)" })),
        ];
        for (input, expected) in table {
            assert_eq!(Value::from(outline(&map(input))), expected);
        }
        let sources: Vec<String> = (0..20_000).map(|number| format!("https://a/{number}.png?token=b")).collect();
        let fields = (0..20_000).map(|number| (format!("field_{number}"), json!(number)));
        let many: Map<String, Value> =
            fields.chain([("image".to_owned(), json!(sources)), ("prompt".to_owned(), json!("a"))]).collect();
        let many = outline(&many);
        assert_eq!(many["prompt"], "a");
        assert!(json::text(&many.into()).len() < 3 * OUTLINE_MAX_BYTES);
    }

    #[test]
    fn a_seed_is_known_again_in_any_range_that_a_model_may_have() {
        let chosen = 1_754_394_129;
        for (min, max) in
            [(0, 65_535), (0, 99_999), (0, 999_999), (1, 1_000_000), (0, 16_777_215), (0, i64::from(u32::MAX))]
        {
            assert!(may_be_sent_for(fitted(&Seed { min, max }, chosen), chosen), "{min} {max}");
        }
        for chosen in [-1, i64::MIN, i64::MAX, 10_000_000_000] {
            let sent = fitted(&Seed { min: 0, max: 2_147_483_647 }, chosen);
            assert!((0..=2_147_483_647).contains(&sent) && may_be_sent_for(sent, chosen), "{chosen}");
        }
        assert!(![0, 1, 42, 1_754_394_128].into_iter().any(|other| may_be_sent_for(other, chosen)));
    }
}
