//! What is known of Replicate's models: which input fields each takes, within which limits.
//!
//! The facts are data, `models.json` beside this file; the build turns them into [`MODELS`]. To add
//! a model, add its entry there and its published schema to `tests/fixtures/model_schemas.json`. The
//! same description is made from a schema at run time by [`super::schema`].

use std::borrow::Cow;

/// The models of `models.json`, in its order.
pub static MODELS: &[Model<'static>] = include!(concat!(env!("OUT_DIR"), "/models.rs"));

/// One model. What it has no field for is not sent; safety settings stay the model's own.
#[derive(Debug, PartialEq)]
pub struct Model<'a> {
    /// `owner/name`.
    pub id: &'a str,
    /// 64 hex digits; `None` for Replicate's official models, which need none.
    pub version: Option<&'a str>,
    /// Whether it takes a field `prompt`, as all of the catalogue do.
    pub prompt: bool,
    pub size: Size<'a>,
    pub steps: Option<Range<'a>>,
    pub guidance: Option<Range<'a>>,
    /// Whether it takes a field `negative_prompt`.
    pub negative_prompt: bool,
    /// How it takes a field `seed`, if it does.
    pub seed: Option<Seed>,
    /// What a field `output_format` takes, in the model's spelling; none: it has no such field.
    pub formats: Cow<'a, [&'a str]>,
    pub outputs: Option<Outputs<'a>>,
    pub pictures: Option<Pictures<'a>>,
    /// Fields that must be there, beside `prompt`.
    pub required: Cow<'a, [&'a str]>,
}

/// How the model is told the picture's size: by `pixels` where it has them, else by the nearest of
/// `ratios` and `named`, and a `preset` for the area. Without any of them its size is its own.
#[derive(Debug, Default, PartialEq)]
pub struct Size<'a> {
    pub pixels: Option<Pixels<'a>>,
    /// What a field `aspect_ratio` takes: `(16, 9)` is sent as `16:9`.
    pub ratios: Cow<'a, [(u16, u16)]>,
    pub named: Option<Named<'a>>,
    pub preset: Option<Preset<'a>>,
    /// What `aspect_ratio` takes for the size of the source picture.
    pub matching: Option<&'a str>,
    /// Whether the size is left to the model where a job gives none.
    pub own_default: bool,
}

/// `width` and `height` in pixels, each from `min` to `max` in steps of `step`.
#[derive(Debug, PartialEq)]
pub struct Pixels<'a> {
    pub min: u32,
    pub max: u32,
    pub step: u32,
    /// The only ones taken, where that is so.
    pub widths: Cow<'a, [u32]>,
    pub heights: Cow<'a, [u32]>,
    /// The field and value that make the model look at them.
    pub custom: Option<(&'a str, &'a str)>,
}

/// A field that takes some sizes in pixels: `(1365, 1024)` is sent as `1365x1024`.
#[derive(Debug, PartialEq)]
pub struct Named<'a> {
    pub field: &'a str,
    pub sizes: Cow<'a, [(u16, u16)]>,
}

/// A field that names the picture's area.
#[derive(Debug, PartialEq)]
pub struct Preset<'a> {
    pub field: &'a str,
    /// What the model is sent, and about how many pixels it stands for.
    pub pixels: Cow<'a, [(&'a str, u32)]>,
}

/// A field for a number, and its limits.
#[derive(Debug, PartialEq)]
pub struct Range<'a> {
    pub field: &'a str,
    pub min: f64,
    pub max: f64,
    /// Whether it takes whole numbers only.
    pub whole: bool,
    /// The only ones it takes, where that is so.
    pub among: Cow<'a, [f64]>,
}

/// The least and the largest seed; where the model sets no limits, those of 64 bits.
#[derive(Debug, PartialEq)]
pub struct Seed {
    pub min: i64,
    pub max: i64,
}

/// A field that says how many pictures are made.
#[derive(Debug, PartialEq)]
pub struct Outputs<'a> {
    pub field: &'a str,
    pub max: u32,
    /// The field and value without which more than one is not made. The model then decides itself how
    /// many, up to the number asked for.
    pub with: Option<(&'a str, &'a str)>,
}

/// Where the model takes pictures to start from.
#[derive(Debug, PartialEq)]
pub struct Pictures<'a> {
    pub field: &'a str,
    /// Whether the field takes a list of addresses.
    pub list: bool,
    /// How many, where a limit is known.
    pub most: Option<u32>,
    /// Whether the picture made has the size of its source, whatever is asked for.
    pub follows: bool,
    /// Whether it also needs a mask, which a job cannot give.
    pub mask: bool,
    pub strength: Option<Strength<'a>>,
}

/// How far the model may leave the source picture: 0 keeps it, 1 ignores it.
#[derive(Debug, PartialEq)]
pub struct Strength<'a> {
    pub range: Range<'a>,
    /// Whether the field counts the other way round: 0 ignores the picture.
    pub inverted: bool,
}

/// The model with this id or, for a job that gives only a version, this version.
pub fn find(id_or_version: &str) -> Option<&'static Model<'static>> {
    MODELS.iter().find(|model| model.id == id_or_version || model.version == Some(id_or_version))
}
