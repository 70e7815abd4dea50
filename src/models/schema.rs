//! Reads a model's description from the schema that Replicate publishes with each version:
//! `latest_version.openapi_schema` of `GET /v1/models/{owner}/{name}`.
//!
//! Fields are recognised by their names, and only fields of the schema are used. The catalogue adds only the facts that
//! schemas leave to prose: the steps to which sizes are rounded, the number of source pictures, the size of a preset.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::description::{Model, Named, Outputs, Pictures, Pixels, Preset, Range, Seed, Size, Strength};

const STEPS: &[&str] = &["num_inference_steps", "steps"];
const GUIDANCE: &[&str] = &["guidance", "guidance_scale", "cfg", "cfg_scale"];
const OUTPUTS: &[&str] = &["num_outputs", "number_of_images", "max_images", "num_images"];
const PICTURES: &[&str] = &[
    "image",
    "input_image",
    "image_prompt",
    "image_input",
    "input_images",
    "images",
    "reference_images",
    "init_image",
    "source_image",
];
const STRENGTH: &[&str] = &["prompt_strength", "strength", INVERTED_STRENGTH];
/// Sets how much of the picture stays; the others set how much of it goes.
const INVERTED_STRENGTH: &str = "image_prompt_strength";
const NAMED_SIZES: &[&str] = &["size", "resolution", "image_size"];
const PRESETS: &[&str] = &["megapixels", "resolution", "size", "image_size"];
/// The value of `aspect_ratio` or `size` that makes a model use `width` and `height`.
const CUSTOM: &str = "custom";
/// The limits if neither the schema nor the catalogue has any: models of all kinds take these.
const PIXELS: Pixels<'static> =
    Pixels { min: 256, max: 2048, step: 8, widths: Cow::Borrowed(&[]), heights: Cow::Borrowed(&[]), custom: None };
/// The most references followed to a property's type; they may be circular.
const DEPTH: u32 = 4;

/// Describes the model `id` by `published`; `None` if no inputs can be read from it.
pub fn read<'a>(id: &'a str, published: &'a Value, known: Option<&Model<'static>>) -> Option<Model<'a>> {
    let schemas = published.get("components")?.get("schemas")?;
    let input = schemas.get("Input")?;
    let schema = Schema { schemas, properties: input.get("properties")?.as_object()? };
    let strength = schema.range(STRENGTH);
    let mut required = texts(input.get("required"));
    required.retain(|field| *field != "prompt");
    let pictures = schema.pictures(strength, &required, known.and_then(|known| known.pictures.as_ref()));
    Some(Model {
        id,
        version: known.and_then(|known| known.version),
        prompt: schema.has("prompt"),
        size: schema.size(known.map(|known| &known.size)),
        steps: schema.range(STEPS),
        guidance: schema.range(GUIDANCE),
        negative_prompt: schema.has("negative_prompt"),
        seed: schema.seed(),
        formats: schema.formats(),
        outputs: schema.outputs(),
        pictures,
        required: Cow::Owned(required),
    })
}

struct Schema<'a> {
    schemas: &'a Value,
    properties: &'a Map<String, Value>,
}

impl<'a> Schema<'a> {
    fn has(&self, field: &str) -> bool {
        self.properties.contains_key(field)
    }

    fn first(&self, fields: &[&'static str]) -> Option<&'static str> {
        fields.iter().copied().find(|field| self.has(field))
    }

    /// The value of `key` in the property, or in the schema that it refers to.
    fn facet(&self, field: &str, key: &str) -> Option<&'a Value> {
        facet(self.schemas, self.properties.get(field)?, key, DEPTH)
    }

    fn limit(&self, field: &str, key: &str) -> Option<f64> {
        self.facet(field, key).and_then(Value::as_f64)
    }

    /// The field's allowed values; empty if it takes any.
    fn texts(&self, field: &str) -> Vec<&'a str> {
        texts(self.facet(field, "enum"))
    }

    fn range(&self, fields: &[&'static str]) -> Option<Range<'a>> {
        let field = self.first(fields)?;
        let kind = self.facet(field, "type");
        let is_integer = |kind: &Value| *kind == "integer";
        Some(Range {
            field,
            min: self.limit(field, "minimum").unwrap_or(f64::MIN),
            max: self.limit(field, "maximum").unwrap_or(f64::MAX),
            whole: kind
                .is_some_and(|kind| is_integer(kind) || kind.as_array().is_some_and(|all| all.iter().any(is_integer))),
            among: Cow::Owned(self.numbers(field)),
        })
    }

    fn numbers(&self, field: &str) -> Vec<f64> {
        let mut numbers = Vec::new();
        if let Some(Value::Array(values)) = self.facet(field, "enum") {
            for value in values {
                numbers.extend(value.as_f64());
            }
        }
        numbers
    }

    fn seed(&self) -> Option<Seed> {
        self.has("seed").then(|| {
            let limit = |key| self.facet("seed", key).and_then(Value::as_i64);
            let max = limit("maximum");
            // A negative seed means no seed, unless the model says that it takes all.
            let min = limit("minimum").unwrap_or(if max.is_some() { 0 } else { i64::MIN });
            Seed { min, max: max.unwrap_or(i64::MAX) }
        })
    }

    fn size(&self, known: Option<&Size<'static>>) -> Size<'a> {
        let texts = self.texts("aspect_ratio");
        let matching = texts.iter().copied().find(|text| text.starts_with("match"));
        let ratios = sides(&texts, ':');
        let custom = ["aspect_ratio", "size"].into_iter().find(|field| self.texts(field).contains(&CUSTOM));
        // If there are ratios and no value `custom`, width and height mean something else.
        if self.has("width") && self.has("height") && (custom.is_some() || ratios.is_empty()) {
            let pixels = self.pixels(known.and_then(|known| known.pixels.as_ref()).unwrap_or(&PIXELS));
            let pixels = Some(Pixels { custom: custom.map(|field| (field, CUSTOM)), ..pixels });
            return Size { pixels, matching, own_default: known.is_none(), ..Size::default() };
        }
        let named = NAMED_SIZES.iter().find_map(|field| {
            let sizes = sides(&self.texts(field), 'x');
            (!sizes.is_empty()).then_some(Named { field, sizes: Cow::Owned(sizes) })
        });
        let own_default = known.is_none();
        let known = known.and_then(|known| known.preset.as_ref());
        let preset = PRESETS.iter().find_map(|field| self.preset(field, known.filter(|known| known.field == *field)));
        Size { pixels: None, ratios: Cow::Owned(ratios), named, preset, matching, own_default }
    }

    fn preset(&self, field: &'static str, known: Option<&Preset<'static>>) -> Option<Preset<'a>> {
        let known = known.map_or(&[][..], |known| &known.pixels);
        let mut pixels = Vec::new();
        for text in self.texts(field) {
            let listed = known.iter().find(|(name, _)| *name == text).map(|(_, pixels)| *pixels);
            if let Some(area) = listed.or_else(|| area(field, text)) {
                pixels.push((text, area));
            }
        }
        (!pixels.is_empty()).then_some(Preset { field, pixels: Cow::Owned(pixels) })
    }

    /// The limits that hold for both sides, each a multiple of the step.
    fn pixels(&self, otherwise: &Pixels<'_>) -> Pixels<'a> {
        let limits = |key| ["width", "height"].map(|field| self.limit(field, key).map(|limit| limit as u32));
        let [step, _] = limits("multipleOf");
        let [min_width, min_height] = limits("minimum");
        let [max_width, max_height] = limits("maximum");
        let step = step.unwrap_or(otherwise.step).max(1);
        let min = min_width.max(min_height).unwrap_or(otherwise.min);
        let max = max_width.unwrap_or(u32::MAX).min(max_height.unwrap_or(u32::MAX));
        let max = if max == u32::MAX { otherwise.max } else { max };
        let [widths, heights] = ["width", "height"].map(|field| {
            Cow::Owned(self.numbers(field).iter().map(|side| *side as u32).filter(|side| *side > 0).collect())
        });
        let min = min.max(1).div_ceil(step).saturating_mul(step);
        Pixels { min, max: (max / step * step).max(min), step, widths, heights, custom: None }
    }

    fn formats(&self) -> Cow<'a, [&'a str]> {
        let formats = self.texts("output_format");
        if formats.is_empty() && self.has("output_format") {
            Cow::Borrowed(&["png", "jpg", "webp"])
        } else {
            Cow::Owned(formats)
        }
    }

    fn outputs(&self) -> Option<Outputs<'a>> {
        let field = self.first(OUTPUTS)?;
        let (switch, on) = ("sequential_image_generation", "auto");
        Some(Outputs {
            field,
            max: self.limit(field, "maximum").map_or(u32::MAX, |max| max as u32).max(1),
            with: self.texts(switch).contains(&on).then_some((switch, on)),
        })
    }

    fn pictures(
        &self,
        strength: Option<Range<'a>>,
        required: &[&str],
        known: Option<&Pictures<'static>>,
    ) -> Option<Pictures<'a>> {
        let needed = PICTURES.iter().copied().find(|field| required.contains(field));
        let field = needed.or_else(|| self.first(PICTURES))?;
        let list = self.facet(field, "items").is_some();
        let known = known.filter(|known| known.field == field);
        let most = self.facet(field, "maxItems").and_then(Value::as_u64).map(|most| most as u32);
        Some(Pictures {
            field,
            list,
            most: most.or(known.and_then(|known| known.most)).filter(|_| list),
            follows: known.is_some_and(|known| known.follows),
            // A model whose prompt cannot change the whole picture changes the masked part.
            mask: self.has("mask") && strength.is_none(),
            strength: strength.map(|range| Strength { inverted: range.field == INVERTED_STRENGTH, range }),
        })
    }
}

/// The value of `key` in `node`. cog puts enums behind `allOf` and `$ref`, and nullable types behind `anyOf`.
fn facet<'a>(schemas: &'a Value, node: &'a Value, key: &str, depth: u32) -> Option<&'a Value> {
    if let Some(found) = node.get(key).filter(|found| *found != "null") {
        return Some(found);
    }
    let depth = depth.checked_sub(1)?;
    let target = node.get("$ref").and_then(Value::as_str).and_then(|path| schemas.get(path.rsplit('/').next()?));
    let parts = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|key| node.get(key)?.as_array()).flatten();
    target.into_iter().chain(parts).find_map(|node| facet(schemas, node, key, depth))
}

fn texts(list: Option<&Value>) -> Vec<&str> {
    let mut texts = Vec::new();
    if let Some(Value::Array(values)) = list {
        for value in values {
            texts.extend(value.as_str());
        }
    }
    texts
}

/// The texts that are two numbers, such as `16:9` or `1024x768`, in the spelling in which they would be sent.
fn sides(texts: &[&str], joiner: char) -> Vec<(u16, u16)> {
    let side = |text: &str| {
        let is_written_so = text.as_bytes().first().is_some_and(|first| matches!(first, b'1'..=b'9'));
        text.parse::<u64>().ok().filter(|_| is_written_so).and_then(|side| u16::try_from(side).ok())
    };
    let mut all = Vec::new();
    for text in texts {
        if let Some((width, height)) = text.split_once(joiner)
            && let (Some(width), Some(height)) = (side(width), side(height))
        {
            all.push((width, height));
        }
    }
    all
}

/// The approximate number of pixels of a preset such as `2K`, `0.5 MP` or, in `megapixels`, `0.25`.
fn area(field: &str, text: &str) -> Option<u32> {
    let (digits, is_side) = match (text.strip_suffix('K'), text.strip_suffix("MP")) {
        (Some(digits), _) => (digits, true),
        (None, Some(digits)) => (digits.trim_end(), false),
        (None, None) if field == "megapixels" => (text, false),
        (None, None) => return None,
    };
    let (mut number, mut parts) = (0, 0);
    // Longer is no size.
    for byte in digits.bytes().take(6) {
        match byte {
            b'0'..=b'9' => (number, parts) = (number * 10 + u64::from(byte - b'0'), parts * 10),
            b'.' if parts == 0 => parts = 1,
            _ => return None,
        }
    }
    let parts = parts.max(1);
    let pixels = if is_side { (number * 1024 / parts).pow(2) } else { number * 1_048_576 / parts };
    u32::try_from(pixels).ok().filter(|pixels| *pixels > 0)
}
