//! The models of the catalogue. Where each entry comes from, and how sure it is, is in
//! `tests/fixtures/model_sources.json`; a test holds it to the schema in `tests/fixtures/model_schemas.json`.

use super::description::{Model, Named, Outputs, Pictures, Pixels, Preset, Range, Seed, Size, Strength};
use std::borrow::Cow::Borrowed;

const FLUX_SCHNELL_SIZE: Size<'static> = Size::NONE
    .ratios(Borrowed(&[(1, 1), (16, 9), (21, 9), (3, 2), (2, 3), (4, 5), (5, 4), (3, 4), (4, 3), (9, 16), (9, 21)]))
    .preset(Some(Preset { field: "megapixels", pixels: Borrowed(&[("0.25", 262144), ("1", 1048576)]) }));
const IDEOGRAM_V3_TURBO_SIZE: Size<'static> = Size::NONE
    .ratios(Borrowed(&[
        (1, 3),
        (3, 1),
        (1, 2),
        (2, 1),
        (9, 16),
        (16, 9),
        (10, 16),
        (16, 10),
        (2, 3),
        (3, 2),
        (3, 4),
        (4, 3),
        (4, 5),
        (5, 4),
        (1, 1),
    ]))
    .named(Some(Named {
        field: "resolution",
        sizes: Borrowed(&[
            (512, 1536),
            (576, 1408),
            (576, 1472),
            (576, 1536),
            (640, 1344),
            (640, 1408),
            (640, 1472),
            (640, 1536),
            (704, 1152),
            (704, 1216),
            (704, 1280),
            (704, 1344),
            (704, 1408),
            (704, 1472),
            (736, 1312),
            (768, 1088),
            (768, 1216),
            (768, 1280),
            (768, 1344),
            (800, 1280),
            (832, 960),
            (832, 1024),
            (832, 1088),
            (832, 1152),
            (832, 1216),
            (832, 1248),
            (864, 1152),
            (896, 960),
            (896, 1024),
            (896, 1088),
            (896, 1120),
            (896, 1152),
            (960, 832),
            (960, 896),
            (960, 1024),
            (960, 1088),
            (1024, 832),
            (1024, 896),
            (1024, 960),
            (1024, 1024),
            (1088, 768),
            (1088, 832),
            (1088, 896),
            (1088, 960),
            (1120, 896),
            (1152, 704),
            (1152, 832),
            (1152, 864),
            (1152, 896),
            (1216, 704),
            (1216, 768),
            (1216, 832),
            (1248, 832),
            (1280, 704),
            (1280, 768),
            (1280, 800),
            (1312, 736),
            (1344, 640),
            (1344, 704),
            (1344, 768),
            (1408, 576),
            (1408, 640),
            (1408, 704),
            (1472, 576),
            (1472, 640),
            (1472, 704),
            (1536, 512),
            (1536, 576),
            (1536, 640),
        ]),
    }));
const IMAGEN_4_FAST_SIZE: Size<'static> = Size::NONE.ratios(Borrowed(&[(1, 1), (9, 16), (16, 9), (3, 4), (4, 3)]));
const RECRAFT_V3_SIZE: Size<'static> = Size::NONE
    .ratios(Borrowed(&[
        (1, 1),
        (4, 3),
        (3, 4),
        (3, 2),
        (2, 3),
        (16, 9),
        (9, 16),
        (1, 2),
        (2, 1),
        (7, 5),
        (5, 7),
        (4, 5),
        (5, 4),
        (3, 5),
        (5, 3),
    ]))
    .named(Some(Named {
        field: "size",
        sizes: Borrowed(&[
            (1024, 1024),
            (1365, 1024),
            (1024, 1365),
            (1536, 1024),
            (1024, 1536),
            (1820, 1024),
            (1024, 1820),
            (1024, 2048),
            (2048, 1024),
            (1434, 1024),
            (1024, 1434),
            (1024, 1280),
            (1280, 1024),
            (1024, 1707),
            (1707, 1024),
        ]),
    }));
const FLUX_KONTEXT_PRO_SIZE: Size<'static> = Size::NONE
    .ratios(Borrowed(&[
        (1, 1),
        (16, 9),
        (9, 16),
        (4, 3),
        (3, 4),
        (3, 2),
        (2, 3),
        (4, 5),
        (5, 4),
        (21, 9),
        (9, 21),
        (2, 1),
        (1, 2),
    ]))
    .matching(Some("match_input_image"));
const FLUX_2_PRO_SIZE: Size<'static> = Size::NONE
    .pixels(Some(pixels(256, 2048, 32, Some(("aspect_ratio", "custom")))))
    .matching(Some("match_input_image"));
const GPT_IMAGE_1_SIZE: Size<'static> = Size::NONE.ratios(Borrowed(&[(1, 1), (3, 2), (2, 3)]));

const fn range(field: &'static str, min: f64, max: f64) -> Range<'static> {
    Range { field, min, max, whole: false, among: Borrowed(&[]) }
}

const fn whole(field: &'static str, min: f64, max: f64) -> Range<'static> {
    Range { field, min, max, whole: true, among: Borrowed(&[]) }
}

/// Every strength known goes from 0 to 1.
const fn strength(field: &'static str, inverted: bool) -> Strength<'static> {
    Strength { range: range(field, 0.0, 1.0), inverted }
}

const fn pixels(min: u32, max: u32, step: u32, custom: Option<(&'static str, &'static str)>) -> Pixels<'static> {
    Pixels { min, max, step, widths: Borrowed(&[]), heights: Borrowed(&[]), custom }
}

/// In the order of the page `docs/models.md`.
pub static MODELS: &[Model<'static>] = &[
    Model::called("black-forest-labs/flux-schnell")
        .size(FLUX_SCHNELL_SIZE)
        .steps(Some(whole("num_inference_steps", 1.0, 4.0)))
        .seed(Some(Seed::ANY))
        .formats(Borrowed(&["webp", "jpg", "png"]))
        .outputs(Some(Outputs { field: "num_outputs", max: 4, with: None })),
    Model::called("black-forest-labs/flux-dev")
        .size(FLUX_SCHNELL_SIZE)
        .steps(Some(whole("num_inference_steps", 1.0, 50.0)))
        .guidance(Some(range("guidance", 0.0, 10.0)))
        .seed(Some(Seed::ANY))
        .formats(Borrowed(&["webp", "jpg", "png"]))
        .outputs(Some(Outputs { field: "num_outputs", max: 4, with: None }))
        .pictures(Some(Pictures {
            field: "image",
            list: false,
            most: None,
            follows: true,
            mask: false,
            strength: Some(strength("prompt_strength", false)),
        })),
    Model::called("black-forest-labs/flux-krea-dev")
        .size(FLUX_SCHNELL_SIZE)
        .steps(Some(whole("num_inference_steps", 1.0, 50.0)))
        .guidance(Some(range("guidance", 0.0, 10.0)))
        .seed(Some(Seed::ANY))
        .formats(Borrowed(&["webp", "jpg", "png"]))
        .outputs(Some(Outputs { field: "num_outputs", max: 4, with: None }))
        .pictures(Some(Pictures {
            field: "image",
            list: false,
            most: None,
            follows: true,
            mask: false,
            strength: Some(strength("prompt_strength", false)),
        })),
    Model::called("black-forest-labs/flux-1.1-pro")
        .size(Size::NONE.pixels(Some(pixels(256, 1440, 32, Some(("aspect_ratio", "custom"))))))
        .seed(Some(Seed::ANY))
        .formats(Borrowed(&["webp", "jpg", "png"]))
        .pictures(Some(Pictures {
            field: "image_prompt",
            list: false,
            most: None,
            follows: false,
            mask: false,
            strength: None,
        })),
    Model::called("black-forest-labs/flux-1.1-pro-ultra")
        .size(Size::NONE.ratios(Borrowed(&[
            (21, 9),
            (16, 9),
            (3, 2),
            (4, 3),
            (5, 4),
            (1, 1),
            (4, 5),
            (3, 4),
            (2, 3),
            (9, 16),
            (9, 21),
        ])))
        .seed(Some(Seed::ANY))
        .formats(Borrowed(&["jpg", "png"]))
        .pictures(Some(Pictures {
            field: "image_prompt",
            list: false,
            most: None,
            follows: false,
            mask: false,
            strength: Some(strength("image_prompt_strength", true)),
        })),
    Model::called("ideogram-ai/ideogram-v3-turbo")
        .size(IDEOGRAM_V3_TURBO_SIZE)
        .seed(Some(Seed { min: 0, max: 2147483647 }))
        .pictures(Some(Pictures {
            field: "image",
            list: false,
            most: None,
            follows: false,
            mask: true,
            strength: None,
        })),
    Model::called("ideogram-ai/ideogram-v3-balanced")
        .size(IDEOGRAM_V3_TURBO_SIZE)
        .seed(Some(Seed { min: 0, max: 2147483647 }))
        .pictures(Some(Pictures {
            field: "image",
            list: false,
            most: None,
            follows: false,
            mask: true,
            strength: None,
        })),
    Model::called("ideogram-ai/ideogram-v3-quality")
        .size(IDEOGRAM_V3_TURBO_SIZE)
        .seed(Some(Seed { min: 0, max: 2147483647 }))
        .pictures(Some(Pictures {
            field: "image",
            list: false,
            most: None,
            follows: false,
            mask: true,
            strength: None,
        })),
    Model::called("google/imagen-4-fast").size(IMAGEN_4_FAST_SIZE).formats(Borrowed(&["jpg", "png"])),
    Model::called("google/imagen-4").size(IMAGEN_4_FAST_SIZE).formats(Borrowed(&["jpg", "png"])),
    Model::called("google/imagen-4-ultra").size(IMAGEN_4_FAST_SIZE).formats(Borrowed(&["jpg", "png"])),
    Model::called("bytedance/sdxl-lightning-4step")
        .version(Some("5599ed30703defd1d160a25a63321b4dec97101d98b4674bcc56e41f62f35637"))
        .size(Size::NONE.pixels(Some(pixels(256, 1280, 8, None))))
        .steps(Some(whole("num_inference_steps", 1.0, 10.0)))
        .guidance(Some(range("guidance_scale", 0.0, 50.0)))
        .negative_prompt(true)
        .seed(Some(Seed::ANY))
        .outputs(Some(Outputs { field: "num_outputs", max: 4, with: None })),
    Model::called("stability-ai/sdxl")
        .version(Some("7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc"))
        .size(Size::NONE.pixels(Some(pixels(256, 2048, 8, None))))
        .steps(Some(whole("num_inference_steps", 1.0, 500.0)))
        .guidance(Some(range("guidance_scale", 1.0, 50.0)))
        .negative_prompt(true)
        .seed(Some(Seed::ANY))
        .outputs(Some(Outputs { field: "num_outputs", max: 4, with: None }))
        .pictures(Some(Pictures {
            field: "image",
            list: false,
            most: None,
            follows: false,
            mask: false,
            strength: Some(strength("prompt_strength", false)),
        })),
    Model::called("bytedance/seedream-4")
        .size(
            Size::NONE
                .pixels(Some(pixels(1024, 4096, 1, Some(("size", "custom")))))
                .matching(Some("match_input_image")),
        )
        .outputs(Some(Outputs { field: "max_images", max: 15, with: Some(("sequential_image_generation", "auto")) }))
        .pictures(Some(Pictures {
            field: "image_input",
            list: true,
            most: Some(10),
            follows: false,
            mask: false,
            strength: None,
        })),
    Model::called("bytedance/seedream-4.5")
        .size(
            Size::NONE
                .ratios(Borrowed(&[(1, 1), (4, 3), (3, 4), (16, 9), (9, 16), (3, 2), (2, 3), (21, 9)]))
                .matching(Some("match_input_image")),
        )
        .outputs(Some(Outputs { field: "max_images", max: 15, with: Some(("sequential_image_generation", "auto")) }))
        .pictures(Some(Pictures {
            field: "image_input",
            list: true,
            most: Some(14),
            follows: false,
            mask: false,
            strength: None,
        })),
    Model::called("bytedance/seedream-5-lite")
        .size(
            Size::NONE
                .ratios(Borrowed(&[(1, 1), (4, 3), (3, 4), (16, 9), (9, 16), (3, 2), (2, 3), (21, 9)]))
                .preset(Some(Preset { field: "size", pixels: Borrowed(&[("2K", 4194304), ("3K", 9437184)]) }))
                .matching(Some("match_input_image")),
        )
        .formats(Borrowed(&["png", "jpeg"]))
        .outputs(Some(Outputs { field: "max_images", max: 15, with: Some(("sequential_image_generation", "auto")) }))
        .pictures(Some(Pictures {
            field: "image_input",
            list: true,
            most: Some(14),
            follows: false,
            mask: false,
            strength: None,
        })),
    Model::called("bytedance/seedream-3")
        .size(Size::NONE.pixels(Some(pixels(512, 2048, 1, Some(("aspect_ratio", "custom"))))))
        .guidance(Some(range("guidance_scale", 1.0, 10.0)))
        .seed(Some(Seed::ANY)),
    Model::called("recraft-ai/recraft-v3").size(RECRAFT_V3_SIZE),
    Model::called("recraft-ai/recraft-v3-svg").size(RECRAFT_V3_SIZE),
    Model::called("recraft-ai/recraft-v4").size(Size::NONE.named(Some(Named {
        field: "size",
        sizes: Borrowed(&[
            (1024, 1024),
            (1536, 768),
            (768, 1536),
            (1280, 832),
            (832, 1280),
            (1216, 896),
            (896, 1216),
            (1152, 896),
            (896, 1152),
            (832, 1344),
            (1280, 896),
            (896, 1280),
            (1344, 768),
            (768, 1344),
        ]),
    }))),
    Model::called("recraft-ai/recraft-v4-pro")
        .size(Size::NONE.named(Some(Named { field: "size", sizes: Borrowed(&[(2048, 2048)]) }))),
    Model::called("stability-ai/stable-diffusion-3.5-large")
        .size(Size::NONE.ratios(Borrowed(&[
            (16, 9),
            (1, 1),
            (21, 9),
            (2, 3),
            (3, 2),
            (4, 5),
            (5, 4),
            (9, 16),
            (9, 21),
        ])))
        .guidance(Some(range("cfg", 1.0, 10.0)))
        .negative_prompt(true)
        .seed(Some(Seed::ANY))
        .formats(Borrowed(&["webp", "jpg", "png"]))
        .pictures(Some(Pictures {
            field: "image",
            list: false,
            most: None,
            follows: false,
            mask: false,
            strength: Some(strength("prompt_strength", false)),
        })),
    Model::called("qwen/qwen-image")
        .size(Size::NONE.ratios(Borrowed(&[(1, 1), (16, 9), (9, 16), (4, 3), (3, 4), (3, 2), (2, 3)])).preset(Some(
            Preset {
                field: "image_size",
                pixels: Borrowed(&[("optimize_for_quality", 1763584), ("optimize_for_speed", 1048576)]),
            },
        )))
        .steps(Some(whole("num_inference_steps", 1.0, 50.0)))
        .guidance(Some(range("guidance", 0.0, 10.0)))
        .negative_prompt(true)
        .seed(Some(Seed::ANY))
        .formats(Borrowed(&["webp", "jpg", "png"]))
        .pictures(Some(Pictures {
            field: "image",
            list: false,
            most: None,
            follows: false,
            mask: false,
            strength: Some(strength("strength", false)),
        })),
    Model::called("qwen/qwen-image-edit")
        .size(Size::NONE)
        .seed(Some(Seed::ANY))
        .formats(Borrowed(&["webp", "jpg", "png"]))
        .pictures(Some(Pictures {
            field: "image",
            list: false,
            most: None,
            follows: true,
            mask: false,
            strength: None,
        }))
        .required(Borrowed(&["image"])),
    Model::called("qwen/qwen-image-edit-plus")
        .size(
            Size::NONE
                .ratios(Borrowed(&[(1, 1), (16, 9), (9, 16), (4, 3), (3, 4)]))
                .matching(Some("match_input_image")),
        )
        .seed(Some(Seed::ANY))
        .formats(Borrowed(&["webp", "jpg", "png"]))
        .pictures(Some(Pictures {
            field: "image",
            list: true,
            most: None,
            follows: false,
            mask: false,
            strength: None,
        }))
        .required(Borrowed(&["image"])),
    Model::called("black-forest-labs/flux-kontext-pro")
        .size(FLUX_KONTEXT_PRO_SIZE)
        .seed(Some(Seed::ANY))
        .formats(Borrowed(&["jpg", "png"]))
        .pictures(Some(Pictures {
            field: "input_image",
            list: false,
            most: None,
            follows: false,
            mask: false,
            strength: None,
        })),
    Model::called("black-forest-labs/flux-kontext-max")
        .size(FLUX_KONTEXT_PRO_SIZE)
        .seed(Some(Seed::ANY))
        .formats(Borrowed(&["jpg", "png"]))
        .pictures(Some(Pictures {
            field: "input_image",
            list: false,
            most: None,
            follows: false,
            mask: false,
            strength: None,
        })),
    Model::called("black-forest-labs/flux-2-pro")
        .size(FLUX_2_PRO_SIZE)
        .seed(Some(Seed::ANY))
        .formats(Borrowed(&["webp", "jpg", "png"]))
        .pictures(Some(Pictures {
            field: "input_images",
            list: true,
            most: Some(8),
            follows: false,
            mask: false,
            strength: None,
        })),
    Model::called("black-forest-labs/flux-2-flex")
        .size(FLUX_2_PRO_SIZE)
        .guidance(Some(range("guidance", 1.5, 10.0)))
        .seed(Some(Seed::ANY))
        .formats(Borrowed(&["webp", "jpg", "png"]))
        .pictures(Some(Pictures {
            field: "input_images",
            list: true,
            most: Some(10),
            follows: false,
            mask: false,
            strength: None,
        })),
    Model::called("black-forest-labs/flux-2-dev")
        .size(
            Size::NONE
                .pixels(Some(pixels(256, 1440, 32, Some(("aspect_ratio", "custom")))))
                .matching(Some("match_input_image")),
        )
        .seed(Some(Seed::ANY))
        .formats(Borrowed(&["webp", "jpg", "png"]))
        .pictures(Some(Pictures {
            field: "input_images",
            list: true,
            most: Some(4),
            follows: false,
            mask: false,
            strength: None,
        })),
    Model::called("google/nano-banana")
        .size(
            Size::NONE
                .ratios(Borrowed(&[(1, 1), (2, 3), (3, 2), (3, 4), (4, 3), (4, 5), (5, 4), (9, 16), (16, 9), (21, 9)]))
                .matching(Some("match_input_image")),
        )
        .formats(Borrowed(&["jpg", "png"]))
        .pictures(Some(Pictures {
            field: "image_input",
            list: true,
            most: None,
            follows: false,
            mask: false,
            strength: None,
        })),
    Model::called("google/nano-banana-pro")
        .size(
            Size::NONE
                .ratios(Borrowed(&[(1, 1), (2, 3), (3, 2), (3, 4), (4, 3), (4, 5), (5, 4), (9, 16), (16, 9), (21, 9)]))
                .preset(Some(Preset {
                    field: "resolution",
                    pixels: Borrowed(&[("1K", 1048576), ("2K", 4194304), ("4K", 16777216)]),
                }))
                .matching(Some("match_input_image")),
        )
        .formats(Borrowed(&["jpg", "png"]))
        .pictures(Some(Pictures {
            field: "image_input",
            list: true,
            most: Some(14),
            follows: false,
            mask: false,
            strength: None,
        })),
    Model::called("google/nano-banana-2")
        .size(
            Size::NONE
                .ratios(Borrowed(&[
                    (1, 1),
                    (1, 4),
                    (1, 8),
                    (2, 3),
                    (3, 2),
                    (3, 4),
                    (4, 1),
                    (4, 3),
                    (4, 5),
                    (5, 4),
                    (8, 1),
                    (9, 16),
                    (16, 9),
                    (21, 9),
                ]))
                .preset(Some(Preset {
                    field: "resolution",
                    pixels: Borrowed(&[("1K", 1048576), ("2K", 4194304), ("4K", 16777216)]),
                }))
                .matching(Some("match_input_image")),
        )
        .formats(Borrowed(&["jpg", "png"]))
        .pictures(Some(Pictures {
            field: "image_input",
            list: true,
            most: Some(14),
            follows: false,
            mask: false,
            strength: None,
        })),
    Model::called("openai/gpt-image-1")
        .size(GPT_IMAGE_1_SIZE)
        .formats(Borrowed(&["png", "jpeg", "webp"]))
        .outputs(Some(Outputs { field: "number_of_images", max: 10, with: None }))
        .pictures(Some(Pictures {
            field: "input_images",
            list: true,
            most: None,
            follows: false,
            mask: false,
            strength: None,
        }))
        .required(Borrowed(&["openai_api_key"])),
    Model::called("openai/gpt-image-1.5")
        .size(GPT_IMAGE_1_SIZE)
        .formats(Borrowed(&["png", "jpeg", "webp"]))
        .outputs(Some(Outputs { field: "number_of_images", max: 10, with: None }))
        .pictures(Some(Pictures {
            field: "input_images",
            list: true,
            most: None,
            follows: false,
            mask: false,
            strength: None,
        })),
    Model::called("prunaai/z-image-turbo")
        .size(Size::NONE.pixels(Some(pixels(512, 1024, 16, None))))
        .seed(Some(Seed::ANY))
        .formats(Borrowed(&["jpg", "png", "webp"])),
];

/// The model with this id or, for a job that gives only a version, this version.
pub fn find(id_or_version: &str) -> Option<&'static Model<'static>> {
    MODELS.iter().find(|model| model.id == id_or_version || model.version == Some(id_or_version))
}
