//! How a model of Replicate's is described: which input fields it takes, within which limits.
//!
//! The models themselves are in [`super::catalogue`]. To add one, add its entry there, its published schema to
//! `tests/fixtures/model_schemas.json` and its source to `tests/fixtures/model_sources.json`. The same description is made
//! from a schema at run time by [`super::schema`].

use std::borrow::Cow::{self, Borrowed};
use std::mem::{ManuallyDrop, replace};

/// One model. Settings without a field here are not sent; safety settings stay the model's own.
#[derive(Debug, PartialEq)]
pub struct Model<'a> {
    /// `owner/name`.
    pub id: &'a str,
    /// 64 hex digits; `None` for Replicate's official models, which need no version.
    pub version: Option<&'a str>,
    /// True if the model takes `prompt`; all models of the catalogue do.
    pub prompt: bool,
    pub size: Size<'a>,
    pub steps: Option<Range<'a>>,
    pub guidance: Option<Range<'a>>,
    /// True if the model takes `negative_prompt`.
    pub negative_prompt: bool,
    /// The limits of `seed`, if the model takes it.
    pub seed: Option<Seed>,
    /// The values of `output_format`, in the model's spelling; empty if the model has no such field.
    pub formats: Cow<'a, [&'a str]>,
    pub outputs: Option<Outputs<'a>>,
    pub pictures: Option<Pictures<'a>>,
    /// Fields that the model requires besides `prompt`.
    pub required: Cow<'a, [&'a str]>,
}

/// The fields that set the picture's size: `pixels` if there are any, else the nearest of `ratios` and `named`, and a
/// `preset` for the area. Without any of them the model decides the size.
#[derive(Debug, Default, PartialEq)]
pub struct Size<'a> {
    pub pixels: Option<Pixels<'a>>,
    /// The values of `aspect_ratio`: `(16, 9)` is sent as `16:9`.
    pub ratios: Cow<'a, [(u16, u16)]>,
    pub named: Option<Named<'a>>,
    pub preset: Option<Preset<'a>>,
    /// The value of `aspect_ratio` for the size of the source picture.
    pub matching: Option<&'a str>,
    /// True if the model decides the size when a job gives none.
    pub own_default: bool,
}

/// `width` and `height` in pixels, each from `min` to `max` in steps of `step`.
#[derive(Debug, PartialEq)]
pub struct Pixels<'a> {
    pub min: u32,
    pub max: u32,
    pub step: u32,
    /// The only sides taken, if limited to some.
    pub widths: Cow<'a, [u32]>,
    pub heights: Cow<'a, [u32]>,
    /// The field and value that make the model use `width` and `height`.
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
    /// Each value, and about how many pixels it stands for.
    pub pixels: Cow<'a, [(&'a str, u32)]>,
}

/// A field for a number, and its limits.
#[derive(Debug, PartialEq)]
pub struct Range<'a> {
    pub field: &'a str,
    pub min: f64,
    pub max: f64,
    /// True if the field takes whole numbers only.
    pub whole: bool,
    /// The only values taken, if limited to some.
    pub among: Cow<'a, [f64]>,
}

/// The smallest and the largest seed; the limits of 64 bits if the model sets none.
#[derive(Debug, PartialEq)]
pub struct Seed {
    pub min: i64,
    pub max: i64,
}

/// A field for the number of pictures.
#[derive(Debug, PartialEq)]
pub struct Outputs<'a> {
    pub field: &'a str,
    pub max: u32,
    /// The field and value without which the model makes only one. With it the model itself decides the number, up to
    /// the one asked for.
    pub with: Option<(&'a str, &'a str)>,
}

/// The field for source pictures.
#[derive(Debug, PartialEq)]
pub struct Pictures<'a> {
    pub field: &'a str,
    /// True if the field takes a list of URLs.
    pub list: bool,
    /// The largest number of pictures, if known.
    pub most: Option<u32>,
    /// True if the result has the size of its source, whatever size is asked for.
    pub follows: bool,
    /// True if the model also needs a mask, which a job cannot give.
    pub mask: bool,
    pub strength: Option<Strength<'a>>,
}

/// How far the model may leave the source picture: 0 keeps it, 1 ignores it.
#[derive(Debug, PartialEq)]
pub struct Strength<'a> {
    pub range: Range<'a>,
    /// True if the field counts the other way round: 0 ignores the picture.
    pub inverted: bool,
}

/// Sets fields in constants, where nothing can be dropped: what is replaced owns nothing.
macro_rules! with {
    ($($field:ident: $kind:ty,)*) => {
        $(pub(super) const fn $field(mut self, $field: $kind) -> Self {
            let _owns_nothing = ManuallyDrop::new(replace(&mut self.$field, $field));
            self
        })*
    };
}

impl Model<'static> {
    /// One that takes a prompt, and nothing else.
    pub(super) const fn called(id: &'static str) -> Model<'static> {
        Model {
            id,
            version: None,
            prompt: true,
            size: Size::NONE,
            steps: None,
            guidance: None,
            negative_prompt: false,
            seed: None,
            formats: Borrowed(&[]),
            outputs: None,
            pictures: None,
            required: Borrowed(&[]),
        }
    }

    with! {
        version: Option<&'static str>,
        size: Size<'static>,
        steps: Option<Range<'static>>,
        guidance: Option<Range<'static>>,
        negative_prompt: bool,
        seed: Option<Seed>,
        formats: Cow<'static, [&'static str]>,
        outputs: Option<Outputs<'static>>,
        pictures: Option<Pictures<'static>>,
        required: Cow<'static, [&'static str]>,
    }
}

impl Size<'static> {
    pub(super) const NONE: Size<'static> =
        Size { pixels: None, ratios: Borrowed(&[]), named: None, preset: None, matching: None, own_default: false };

    with! {
        pixels: Option<Pixels<'static>>,
        ratios: Cow<'static, [(u16, u16)]>,
        named: Option<Named<'static>>,
        preset: Option<Preset<'static>>,
        matching: Option<&'static str>,
    }
}

impl Seed {
    pub(super) const ANY: Seed = Seed { min: i64::MIN, max: i64::MAX };
}
