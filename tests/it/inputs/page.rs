//! `docs/models.md`, which is made from the catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use process_jobs::models::catalogue::MODELS;
use process_jobs::models::description::{Model, Range};
use serde_json::Value;

const INTRODUCTION: &str = "\
<!-- Made from src/models/catalogue.rs and tests/fixtures/model_sources.json. After a change there: WRITE_DOCS=1 cargo test models_page -->

# Models

What the worker knows of Replicate's models, and what becomes of the fields of a `generate-image` job. Where a model \
takes a thing under another name, within other limits or not at all, the job goes through all the same, and its \
`result` says under `adjustments` what was changed. What cannot be met without giving another picture than the one \
asked for ends the job with a message that names the field: a source picture for a model that takes none, more of \
them than it takes, none where it needs one.

- **Size** is `width` and `height` in pixels, 1024 each where the job does not say. A model that takes pixels gets them, \
rounded to its steps; what is too large or too small is scaled with its ratio. A model with ratios or sizes of its own \
gets the nearest in ratio, and of its areas the nearest. Where the table says *as the picture*, a job with a source \
picture and without a size gets the picture's; where it says *always*, with a size too.
- **Steps** and **guidance** are `num_inference_steps` and `guidance_scale`, brought into the model's range; the model's \
own where the job does not say.
- **Seed** is kept, 0 included; beyond the model's range it is reduced to it. A job without one gets one that follows \
from its id, the same at every attempt.
- **Pictures** are `source_image_url`, or `source_image_urls` for several, in order. **Strength** means one thing for \
all models: 0 keeps the picture, 1 ignores it; where a model counts the other way it is turned round.
- **Outputs** is `num_outputs`, 1 to 10. Where the table says *up to*, the model itself decides how many.
- **Formats** is `output_format`: `png`, `jpg` (or `jpeg`) or `webp`; the model's own where it has no choice, or not \
this one.
- Safety settings stay the model's own.

A dash means that the model has no such field, or none whose values are known: what the job says of it is left out. \
*Confidence* is how sure we are of an entry. Most were taken from copies of Replicate's schemas, named below.

Schemas change. Where a model refuses the input that its entry here makes, the schema that Replicate publishes for it \
is read, kept for a day in the table `model_schemas`, and the job is mapped and sent once more after that; what was \
sent is in its `result`. `\"published_schema\": true` in a payload asks for it from the start. A change that Replicate \
does not refuse, such as a field that is gone and now dropped, shows only so.

Any other model of Replicate's may be asked for too: it is mapped by its published schema alone, whose fields are \
known by the names that models commonly give them, and called by the version that the schema is of. A size that the \
job does not give is its own. One that has no known field for a prompt fails, unless it starts from a picture. One \
that has no schema to read, because `model_id` is a version without a name, gets `prompt`, `negative_prompt`, `width`, `height`, `num_inference_steps` (30), `guidance_scale` \
(7.5) and `seed` as they are.

";

/// To write the page instead of comparing it, set `WRITE_DOCS`.
#[test]
fn the_models_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/models.md");
    let page = page();
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "docs/models.md is out of date; run: WRITE_DOCS=1 cargo test models_page");
}

fn page() -> String {
    let sources: BTreeMap<String, Value> =
        serde_json::from_str(include_str!("../../fixtures/model_sources.json")).expect("model_sources.json");
    let known: BTreeSet<&str> = sources.keys().map(String::as_str).collect();
    assert_eq!(known, MODELS.iter().map(|model| model.id).collect(), "each model has its source");
    let mut page = INTRODUCTION.to_owned();
    page += "| model | size | steps | guidance | negative prompt | seed | pictures, strength | outputs | formats ";
    page += "| confidence |\n";
    page += "|---|---|---|---|---|---|---|---|---|---|\n";
    for (model, entry) in MODELS.iter().map(|model| (model, &sources[model.id])) {
        let confidence = entry["confidence"].as_str().unwrap();
        assert!(["high", "medium-high", "medium", "low"].contains(&confidence), "{}: {confidence}", model.id);
        let cells = [
            model.id.to_owned(),
            size(model),
            range(model.steps.as_ref()),
            range(model.guidance.as_ref()),
            if model.negative_prompt { "yes" } else { "–" }.to_owned(),
            model.seed.as_ref().map_or("–".to_owned(), |seed| match seed.max {
                i64::MAX => "yes".to_owned(),
                max => format!("0 to {max}"),
            }),
            pictures(model),
            model.outputs.as_ref().map_or("–".to_owned(), |outputs| {
                let most = outputs.max.min(10);
                if outputs.with.is_some() { format!("up to {most}") } else { format!("1 to {most}") }
            }),
            if model.formats.is_empty() { "–".to_owned() } else { model.formats.join(", ") },
            confidence.to_owned(),
        ];
        writeln!(page, "| {} |", cells.join(" | ")).unwrap();
    }
    page += "\n## What to know of each, and where it comes from\n\n| model | to know | from |\n|---|---|---|\n";
    for (model, entry) in MODELS.iter().map(|model| (model, &sources[model.id])) {
        let note = entry["note"].as_str().map(str::to_owned);
        let known: Vec<_> = [cannot(model), note].into_iter().flatten().collect();
        writeln!(page, "| {} | {} | {} |", model.id, known.join("; "), entry["source"].as_str().unwrap()).unwrap();
    }
    page
}

fn size(model: &Model<'_>) -> String {
    let size = &model.size;
    let mut ways = Vec::new();
    if let Some(pixels) = &size.pixels {
        let steps = if pixels.step == 1 { String::new() } else { format!(" in steps of {}", pixels.step) };
        ways.push(format!("{} to {} pixels{steps}", pixels.min, pixels.max));
    }
    if !size.ratios.is_empty() {
        let ratios: Vec<_> = size.ratios.iter().map(|(width, height)| format!("{width}:{height}")).collect();
        ways.push(ratios.join(" "));
    }
    if let Some(named) = &size.named {
        let all: Vec<_> = named.sizes.iter().map(|(width, height)| format!("{width}x{height}")).collect();
        ways.push(match all.len() {
            0..=14 => all.join(" "),
            count => format!("{count} sizes from {} to {}", all[0], all[count - 1]),
        });
    }
    if let Some(preset) = &size.preset {
        let names: Vec<_> = preset.pixels.iter().map(|(name, _)| format!("`{name}`")).collect();
        ways.push(format!("`{}` {}", preset.field, names.join(" ")));
    }
    if model.pictures.as_ref().is_some_and(|pictures| pictures.follows) {
        ways.push("always as the picture".to_owned());
    } else if size.matching.is_some() {
        ways.push("as the picture".to_owned());
    }
    if ways.is_empty() { "–".to_owned() } else { ways.join("; ") }
}

fn range(range: Option<&Range<'_>>) -> String {
    range.map_or("–".to_owned(), |range| format!("{} to {}", range.min, range.max))
}

fn pictures(model: &Model<'_>) -> String {
    let Some(pictures) = model.pictures.as_ref().filter(|pictures| !pictures.mask) else { return "–".to_owned() };
    let needed = if model.required.contains(&pictures.field) { ", needed" } else { "" };
    let count = match (pictures.list, pictures.most) {
        (false, _) => "1".to_owned(),
        (true, Some(most)) => format!("up to {most}"),
        (true, None) => "several".to_owned(),
    };
    let strength = pictures.strength.as_ref().map_or("no strength".to_owned(), |strength| {
        let turned = if strength.inverted { ", turned round" } else { "" };
        format!("`{}`{turned}", strength.range.field)
    });
    format!("{count}{needed}; {strength}")
}

/// What makes every job for the model fail: a field it needs that no job fills.
fn cannot(model: &Model<'_>) -> Option<String> {
    let filled = model.pictures.as_ref().map(|pictures| pictures.field);
    let field = model.required.iter().find(|field| filled != Some(**field))?;
    Some(format!("**jobs for it fail**: it needs `{field}`"))
}
