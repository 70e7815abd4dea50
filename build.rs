//! Turns `src/replicate/models.json` into the constants behind `replicate::catalogue::MODELS`, so
//! that the wasm parses nothing. A field that is misspelt, missing or of a wrong type stops the
//! build with the model's id.
//!
//! The types here have the names and fields of those in `src/replicate/catalogue.rs`, which says
//! what they mean. Their `Debug` form is Rust source: printing them writes the constants.

#![expect(dead_code, reason = "most fields are read by Debug alone")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::{self, Debug, Formatter};
use std::path::Path;
use std::{env, fs};

use serde::Deserialize;
use serde_json::{Map, Value};

const CATALOGUE: &str = "src/replicate/models.json";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={CATALOGUE}");
    let entries: Vec<Map<String, Value>> =
        serde_json::from_str(&fs::read_to_string(CATALOGUE)?).map_err(|error| format!("{CATALOGUE}: {error}"))?;
    let models = entries.into_iter().map(model).collect::<Result<_, _>>()?;
    let source = format!("{{ use Size::*; {:#?} }}\n", List::<Model>(models));
    fs::write(Path::new(&env::var("OUT_DIR")?).join("models.rs"), source)?;
    Ok(())
}

/// Reads one entry. Its `note` is for the reader of the file only.
fn model(mut entry: Map<String, Value>) -> Result<Model, String> {
    entry.remove("note");
    let id = entry.get("id").cloned().unwrap_or_default();
    serde_json::from_value(Value::Object(entry)).map_err(|error| format!("{CATALOGUE}: the model {id}: {error}"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    id: String,
    version: Option<String>,
    size: Size,
    steps: Option<Steps>,
    guidance: Option<Guidance>,
    #[serde(default)]
    negative_prompt: bool,
    seed: Option<Seed>,
    image: Option<SourceImage>,
    #[serde(default)]
    fixed: Pairs<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Size {
    AspectRatio { ratios: List<Ratio>, preset: Option<Preset> },
    Pixels { min: u32, max: u32, step: u32 },
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Ratio {
    name: String,
    width: u32,
    height: u32,
}

impl TryFrom<String> for Ratio {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let side = |text: &str| text.parse().ok().filter(|side| *side > 0);
        match name.split_once(':').map(|(width, height)| (side(width), side(height))) {
            Some((Some(width), Some(height))) => Ok(Self { name, width, height }),
            Some(_) | None => Err(format!("{name:?} is not a ratio such as \"16:9\"")),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Preset {
    field: String,
    pixels: Pairs<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Steps {
    field: String,
    min: u32,
    max: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Guidance {
    field: String,
    min: f64,
    max: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed {
    max: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceImage {
    field: String,
    #[serde(default)]
    list: bool,
    strength: Option<Strength>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strength {
    field: String,
    #[serde(default)]
    inverted: bool,
}

/// A JSON array, printed as `&[…]`.
#[derive(Deserialize)]
struct List<T>(Vec<T>);

impl<T: Debug> Debug for List<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("&")?;
        f.debug_list().entries(&self.0).finish()
    }
}

/// A JSON object, printed as `&[(name, value), …]`.
#[derive(Default, Deserialize)]
struct Pairs<T>(BTreeMap<String, T>);

impl<T: Debug> Debug for Pairs<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("&")?;
        f.debug_list().entries(&self.0).finish()
    }
}
