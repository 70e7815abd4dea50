//! What is known of Replicate's models: which input fields each takes, within which limits.
//!
//! The facts are data, `models.json` beside this file; the build turns them into [`MODELS`]. To add
//! a model, add its entry there and its published schema to `tests/fixtures/model_schemas.json`.

/// The models of `models.json`, in its order.
pub static MODELS: &[Model] = include!(concat!(env!("OUT_DIR"), "/models.rs"));

/// One model. Every model takes `prompt`; output format and safety settings stay the model's own.
#[derive(Debug)]
pub struct Model {
    /// `owner/name`.
    pub id: &'static str,
    /// 64 hex digits; `None` for Replicate's official models, which need none.
    pub version: Option<&'static str>,
    pub size: Size,
    pub steps: Option<Steps>,
    pub guidance: Option<Guidance>,
    /// Whether it takes a field `negative_prompt`.
    pub negative_prompt: bool,
    /// How it takes a field `seed`, if it does.
    pub seed: Option<Seed>,
    pub image: Option<SourceImage>,
    /// Fields that are always sent with this text.
    pub fixed: &'static [(&'static str, &'static str)],
}

/// How the model is told the picture's size.
#[derive(Debug)]
pub enum Size {
    /// By a field `aspect_ratio` that takes one of these, and perhaps a preset for the area.
    AspectRatio { ratios: &'static [Ratio], preset: Option<Preset> },
    /// By `width` and `height` in pixels, each from `min` to `max` in steps of `step`.
    Pixels { min: u32, max: u32, step: u32 },
}

#[derive(Debug)]
pub struct Ratio {
    /// What the model is sent: `16:9`.
    pub name: &'static str,
    pub width: u32,
    pub height: u32,
}

/// A field that names the picture's area.
#[derive(Debug)]
pub struct Preset {
    pub field: &'static str,
    /// What the model is sent, and about how many pixels it stands for.
    pub pixels: &'static [(&'static str, u32)],
}

#[derive(Debug)]
pub struct Steps {
    pub field: &'static str,
    pub min: u32,
    pub max: u32,
}

#[derive(Debug)]
pub struct Guidance {
    pub field: &'static str,
    pub min: f64,
    pub max: f64,
}

#[derive(Debug)]
pub struct Seed {
    /// Seeds go from 0 to this; `None`: the model sets no limits.
    pub max: Option<i64>,
}

/// Where the model takes a picture to start from.
#[derive(Debug)]
pub struct SourceImage {
    pub field: &'static str,
    /// Whether the field takes a list of addresses.
    pub list: bool,
    pub strength: Option<Strength>,
}

/// How far the model may leave the source picture: 0 keeps it, 1 ignores it.
#[derive(Debug)]
pub struct Strength {
    pub field: &'static str,
    /// Whether the field counts the other way round: 0 ignores the picture.
    pub inverted: bool,
}

/// The model with this id or, for a job that gives only a version, this version.
pub fn find(id_or_version: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.id == id_or_version || model.version == Some(id_or_version))
}
