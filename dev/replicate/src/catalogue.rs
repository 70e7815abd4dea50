//! The models with their inputs and outputs: `models.json`.

use std::collections::HashMap;
use std::sync::OnceLock;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::picture::Format;

#[derive(Deserialize)]
pub struct Catalogue {
    /// width and height by aspect ratio, by the table's name
    tables: HashMap<String, HashMap<String, (u32, u32)>>,
    models: Vec<Model>,
}

#[derive(Deserialize)]
pub struct Model {
    /// `owner/name`
    pub id: String,
    /// official models are named without a version and report the version `hidden`
    pub official: bool,
    /// 64 hex digits
    pub version: Option<String>,
    required: Vec<String>,
    pub output: Shape,
    /// the input for the number of pictures
    count: Option<String>,
    /// an input and the value it must have for `count` to count
    count_when: Option<(String, String)>,
    format: FormatRule,
    /// the first rule that gives a size wins; 1024x1024 if none does
    size: Vec<SizeRule>,
    inputs: Map<String, Value>,
    #[serde(skip)]
    input_schema: OnceLock<Value>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    Array,
    String,
}

#[derive(Deserialize)]
struct FormatRule {
    /// the input that chooses; absent: the default always applies
    input: Option<String>,
    default: Format,
}

/// `when` is an input and the value it must have for the rule to apply.
#[derive(Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
enum SizeRule {
    /// the inputs `width` and `height`
    WidthHeight { when: Option<(String, String)> },
    /// an input such as `size` with a value such as `1365x1024`
    Named { input: String },
    /// the input `aspect_ratio`, looked up in a published table
    Table { table: String, when: Option<(String, String)> },
    /// the input `aspect_ratio` on this many pixels, sides rounded down to multiples of 64
    Area { pixels: u32, when: Option<(String, String)> },
}

impl Catalogue {
    pub fn load() -> anyhow::Result<Catalogue> {
        serde_json::from_str(include_str!("../models.json")).context("dev/replicate/models.json")
    }

    /// Replaces a model's inputs, as when Replicate publishes a new version of it. Adds an unknown model as an
    /// unofficial one that is called by its version and returns PNGs.
    pub fn publish(&mut self, id: &str, inputs: Map<String, Value>) {
        match self.models.iter_mut().find(|model| model.id == id) {
            Some(model) => model.inputs = inputs,
            None => self.models.push(Model {
                id: id.to_owned(),
                official: false,
                version: Some(format!("{:064x}", self.models.len())),
                required: vec!["prompt".to_owned()],
                output: Shape::Array,
                count: Some("num_outputs".to_owned()),
                count_when: None,
                format: FormatRule { input: None, default: Format::Png },
                size: vec![SizeRule::WidthHeight { when: None }],
                inputs,
                input_schema: OnceLock::new(),
            }),
        }
    }

    pub fn by_name(&self, id: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.id == id)
    }

    pub fn by_version(&self, version: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.version.as_deref() == Some(version))
    }

    /// The size in pixels of a picture made from this input.
    pub fn size(&self, model: &Model, input: &Map<String, Value>) -> (u32, u32) {
        let applies = |when: &Option<(String, String)>| model.has(input, when.as_ref());
        let ratio = model.text(input, "aspect_ratio").unwrap_or("1:1");
        let found = model.size.iter().find_map(|rule| match rule {
            SizeRule::WidthHeight { when } if applies(when) => {
                Some((model.number(input, "width")?, model.number(input, "height")?))
            }
            SizeRule::Named { input: key } => split(model.text(input, key)?, 'x'),
            SizeRule::Table { table, when } if applies(when) => self.tables.get(table)?.get(ratio).copied(),
            // `match_input_image` counts as a square, because the image is not looked at.
            SizeRule::Area { pixels, when } if applies(when) => {
                Some(on_area(*pixels, split(ratio, ':').unwrap_or((1, 1))))
            }
            SizeRule::WidthHeight { .. } | SizeRule::Table { .. } | SizeRule::Area { .. } => None,
        });
        found.unwrap_or((1024, 1024))
    }
}

impl Model {
    /// The JSON schema of the input. It accepts unknown inputs, because they are dropped, not refused.
    pub fn input_schema(&self) -> &Value {
        self.input_schema.get_or_init(
            || json!({"type": "object", "title": "Input", "required": self.required, "properties": self.inputs}),
        )
    }

    /// The input without fields that the model does not know.
    pub fn known_inputs(&self, input: &Map<String, Value>) -> Map<String, Value> {
        input
            .iter()
            .filter(|(key, _)| self.inputs.contains_key(*key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    pub fn format(&self, input: &Map<String, Value>) -> Format {
        let chosen = self.format.input.as_deref().and_then(|key| self.text(input, key));
        chosen.and_then(Format::by_name).unwrap_or(self.format.default)
    }

    pub fn count(&self, input: &Map<String, Value>) -> u32 {
        let count = self.count.as_deref().filter(|_| self.has(input, self.count_when.as_ref()));
        count.and_then(|key| self.number(input, key)).unwrap_or(1)
    }

    /// The number of denoising steps; `None` for models that Replicate only forwards to.
    pub fn steps(&self, input: &Map<String, Value>) -> Option<u32> {
        self.number(input, "num_inference_steps")
    }

    pub fn to_json(&self) -> Value {
        let (owner, name) = self.id.split_once('/').unwrap_or((&self.id, ""));
        json!({
            "url": format!("https://replicate.com/{}", self.id),
            "owner": owner,
            "name": name,
            "description": null,
            "visibility": "public",
            "is_official": self.official,
            "github_url": null,
            "paper_url": null,
            "license_url": null,
            "run_count": 0,
            "cover_image_url": null,
            "default_example": null,
            "latest_version": self.version_json(),
        })
    }

    pub fn version_json(&self) -> Value {
        let uri = json!({"type": "string", "format": "uri"});
        let output = match self.output {
            Shape::Array => json!({"type": "array", "items": uri, "title": "Output"}),
            Shape::String => json!({"type": "string", "format": "uri", "title": "Output"}),
        };
        let (input, mut schemas) = self.published_input();
        schemas.insert("Input".to_owned(), input);
        schemas.insert("Output".to_owned(), output);
        json!({
            "id": self.version.as_deref().unwrap_or("hidden"),
            "openapi_schema": {
                "openapi": "3.0.2",
                "info": {"title": "Cog", "version": "0.1.0"},
                "paths": {},
                "components": {"schemas": schemas},
            },
        })
    }

    /// The input's schema as cog writes it: enums are separate schemas to which the inputs refer.
    fn published_input(&self) -> (Value, Map<String, Value>) {
        let mut enums = Map::new();
        let mut inputs = Map::new();
        for (order, (name, input)) in self.inputs.iter().enumerate() {
            let mut input = input.as_object().cloned().unwrap_or_default();
            if let Some(values) = input.remove("enum") {
                let kind = input.remove("type");
                let of = json!({"title": name, "type": kind, "description": "An enumeration.", "enum": values});
                enums.insert(name.clone(), of);
                input.insert("allOf".to_owned(), json!([{"$ref": format!("#/components/schemas/{name}")}]));
            } else {
                input.insert("title".to_owned(), name.as_str().into());
            }
            input.insert("x-order".to_owned(), order.into());
            inputs.insert(name.clone(), Value::Object(input));
        }
        (json!({"type": "object", "title": "Input", "required": self.required, "properties": inputs}), enums)
    }

    /// True if the input has the value that `when` names, or there is no `when`.
    fn has(&self, input: &Map<String, Value>, when: Option<&(String, String)>) -> bool {
        when.is_none_or(|(key, value)| self.text(input, key) == Some(value.as_str()))
    }

    fn text<'a>(&'a self, input: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
        self.value(input, key)?.as_str()
    }

    fn number(&self, input: &Map<String, Value>, key: &str) -> Option<u32> {
        self.value(input, key)?.as_f64().map(|number| number as u32)
    }

    fn value<'a>(&'a self, input: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
        input.get(key).filter(|value| !value.is_null()).or_else(|| self.inputs.get(key)?.get("default"))
    }
}

/// `16:9` or `1365x1024`
fn split(text: &str, separator: char) -> Option<(u32, u32)> {
    let (left, right) = text.split_once(separator)?;
    Some((left.parse().ok()?, right.parse().ok()?))
}

fn on_area(pixels: u32, (width, height): (u32, u32)) -> (u32, u32) {
    let side = |of: u32, to: u32| ((f64::from(pixels) * f64::from(of) / f64::from(to)).sqrt() as u32 / 64 * 64).max(64);
    (side(width, height), side(height, width))
}
