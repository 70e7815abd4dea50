//! Turns `src/replicate/models.json` into the constants behind `replicate::catalogue::MODELS`, so
//! that the wasm parses nothing. What does not fit stops the build with the model's id and the field.
//!
//! The types here have the names and fields of those in `src/replicate/catalogue.rs`, which says
//! what they mean. Their `Debug` form is Rust source: printing them writes the constants.

#![expect(dead_code, reason = "most fields are read by Debug alone")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::{self, Debug, Formatter};
use std::path::Path;
use std::{env, fs};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

const CATALOGUE: &str = "src/replicate/models.json";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={CATALOGUE}");
    let source = catalogue(&fs::read_to_string(CATALOGUE)?)?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("models.rs"), source)?;
    Ok(())
}

/// The catalogue as Rust source.
pub fn catalogue(json: &str) -> Result<String, String> {
    let entries: Vec<Map<String, Value>> =
        serde_json::from_str(json).map_err(|error| format!("{CATALOGUE}: {error}"))?;
    let mut ids = BTreeSet::new();
    let mut models = Vec::new();
    for (place, entry) in entries.into_iter().enumerate() {
        let name = match entry.get("id") {
            Some(id) => format!("the model {id}"),
            None => format!("the entry number {}", place + 1),
        };
        let model = Model::read(Entry(entry)).map_err(|error| format!("{CATALOGUE}: {name}: {error}"))?;
        if !ids.insert(model.id.clone()) {
            return Err(format!("{CATALOGUE}: {name}: id: it is there twice"));
        }
        models.push(model);
    }
    Ok(format!("{{ use std::borrow::Cow::Borrowed; &{models:#?} }}\n"))
}

/// An entry, read field by field, so that an error can name the field.
struct Entry(Map<String, Value>);

impl Entry {
    fn take<T: DeserializeOwned>(&mut self, field: &str) -> Result<T, String> {
        serde_json::from_value(self.0.remove(field).unwrap_or_default()).map_err(|error| format!("{field}: {error}"))
    }

    /// The value, or the type's empty one where there is none.
    fn take_or_default<T: DeserializeOwned + Default>(&mut self, field: &str) -> Result<T, String> {
        Ok(self.take::<Option<T>>(field)?.unwrap_or_default())
    }
}

#[derive(Debug)]
struct Model {
    id: String,
    version: Option<String>,
    prompt: bool,
    size: Size,
    steps: Option<Range>,
    guidance: Option<Range>,
    negative_prompt: bool,
    seed: Option<Seed>,
    formats: List<String>,
    outputs: Option<Outputs>,
    pictures: Option<Pictures>,
    required: List<String>,
}

impl Model {
    fn read(mut entry: Entry) -> Result<Model, String> {
        // These are for the reader of the file only.
        let source: String = entry.take("source")?;
        check(!source.trim().is_empty(), "source", "it is empty")?;
        let confidence: String = entry.take("confidence")?;
        let levels = ["high", "medium-high", "medium", "low"];
        check(levels.contains(&confidence.as_str()), "confidence", "it is not high, medium-high, medium or low")?;
        entry.take::<Option<String>>("note")?;

        let steps: Option<Range> = entry.take("steps")?;
        let model = Model {
            id: entry.take("id")?,
            version: entry.take("version")?,
            prompt: true,
            size: entry.take("size")?,
            steps: steps.map(|steps| Range { whole: true, ..steps }),
            guidance: entry.take("guidance")?,
            negative_prompt: entry.take_or_default("negative_prompt")?,
            seed: entry.take("seed")?,
            formats: entry.take_or_default("formats")?,
            outputs: entry.take("outputs")?,
            pictures: entry.take("pictures")?,
            required: entry.take_or_default("required")?,
        };
        if let Some(field) = entry.0.keys().next() {
            return Err(format!("{field}: there is no such field"));
        }
        model.check()?;
        Ok(model)
    }

    /// What the types do not say.
    fn check(&self) -> Result<(), String> {
        let is_id = self.id.split_once('/').is_some_and(|(owner, name)| !owner.is_empty() && !name.is_empty());
        check(is_id, "id", "it is not owner/name")?;
        let is_hash = |text: &String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        check(self.version.as_ref().is_none_or(is_hash), "version", "it is not of 64 hex digits")?;
        if let Some(pixels) = &self.size.pixels {
            let fits = |side: u32| pixels.step > 0 && side.is_multiple_of(pixels.step);
            check(pixels.min <= pixels.max, "size", "min is above max")?;
            check(fits(pixels.min) && fits(pixels.max), "size", "min and max are not multiples of step")?;
        }
        let strength = self.pictures.as_ref().and_then(|pictures| pictures.strength.as_ref());
        for (field, range) in [
            ("steps", self.steps.as_ref()),
            ("guidance", self.guidance.as_ref()),
            ("pictures", strength.map(|strength| &strength.range)),
        ] {
            check(range.is_none_or(|range| range.min <= range.max), field, "min is above max")?;
        }
        let known = ["png", "jpg", "jpeg", "webp"];
        let are_known = self.formats.0.iter().all(|format| known.contains(&format.as_str()));
        check(are_known, "formats", "one is not png, jpg, jpeg or webp")?;
        check(self.outputs.as_ref().is_none_or(|outputs| outputs.max > 0), "outputs", "max is 0")
    }
}

fn check(holds: bool, field: &str, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{field}: {otherwise}")) }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    pixels: Option<Pixels>,
    #[serde(default, rename = "aspect_ratio")]
    ratios: List<Pair<':'>>,
    named: Option<Named>,
    preset: Option<Preset>,
    #[serde(rename = "match")]
    matching: Option<String>,
    #[serde(skip)]
    own_default: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pixels {
    min: u32,
    max: u32,
    step: u32,
    #[serde(skip)]
    widths: List<u32>,
    #[serde(skip)]
    heights: List<u32>,
    custom: Option<Setting>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    field: String,
    sizes: List<Pair<'x'>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Preset {
    field: String,
    pixels: Pairs<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    field: String,
    min: f64,
    max: f64,
    #[serde(skip)]
    whole: bool,
    #[serde(skip)]
    among: List<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(from = "Limits")]
struct Seed {
    min: i64,
    max: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    min: Option<i64>,
    max: Option<i64>,
}

impl From<Limits> for Seed {
    fn from(Limits { min, max }: Limits) -> Seed {
        // A seed below 0 is none, unless the model says that it takes all.
        let min = min.unwrap_or(if max.is_some() { 0 } else { i64::MIN });
        Seed { min, max: max.unwrap_or(i64::MAX) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outputs {
    field: String,
    max: u32,
    with: Option<Setting>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pictures {
    field: String,
    #[serde(default)]
    list: bool,
    most: Option<u32>,
    #[serde(default)]
    follows: bool,
    #[serde(default)]
    mask: bool,
    strength: Option<Strength>,
}

#[derive(Debug, Deserialize)]
#[serde(from = "StrengthEntry")]
struct Strength {
    range: Range,
    inverted: bool,
}

/// Every strength known goes from 0 to 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrengthEntry {
    field: String,
    #[serde(default)]
    inverted: bool,
}

impl From<StrengthEntry> for Strength {
    fn from(StrengthEntry { field, inverted }: StrengthEntry) -> Strength {
        Strength { range: Range { field, min: 0.0, max: 1.0, whole: false, among: List::default() }, inverted }
    }
}

/// A field and its value, printed as a pair.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    field: String,
    value: String,
}

impl Debug for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "({:?}, {:?})", self.field, self.value)
    }
}

/// Two numbers in one text, such as `16:9` or `1024x768`, printed as a pair.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Pair<const JOINER: char>(u16, u16);

impl<const JOINER: char> TryFrom<String> for Pair<JOINER> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let side = |text: &str| text.parse().ok().filter(|side| *side > 0);
        let sides = text.split_once(JOINER).and_then(|(left, right)| Some(Pair(side(left)?, side(right)?)));
        sides.ok_or_else(|| format!("{text:?} is not of the form \"16{JOINER}9\""))
    }
}

impl<const JOINER: char> Debug for Pair<JOINER> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.0, self.1)
    }
}

/// A JSON array, printed as `Borrowed(&[…])`.
#[derive(Deserialize)]
struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    fn default() -> List<T> {
        List(Vec::new())
    }
}

impl<T: Debug> Debug for List<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Borrowed(&")?;
        f.debug_list().entries(&self.0).finish()?;
        f.write_str(")")
    }
}

/// A JSON object, printed as `Borrowed(&[(name, value), …])`.
#[derive(Deserialize)]
struct Pairs<T>(BTreeMap<String, T>);

impl<T: Debug> Debug for Pairs<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Borrowed(&")?;
        f.debug_list().entries(&self.0).finish()?;
        f.write_str(")")
    }
}
