//! What cannot be met is refused by the name of the field.

use process_jobs::models::request::ImageRequest;

use super::{DEFAULT_SEED, build, pictures, request};

#[test]
fn a_request_that_cannot_be_met_is_refused_by_the_name_of_its_field() {
    let flux = || request("black-forest-labs/flux-dev");
    let hex = "0123456789abcdef".repeat(4);
    let with = |model_id: &str, count| ImageRequest { source_image_urls: Some(pictures(count)), ..request(model_id) };
    let forms = "is neither owner/name nor owner/name:version nor a version of 64 lowercase hex digits";
    let strengths = "not from 0 (keep the picture) to 1 (ignore it)";
    let table = [
        (ImageRequest { prompt: " \n".to_owned(), ..flux() }, "prompt is empty".to_owned()),
        (ImageRequest { width: Some(0), ..flux() }, "width is 0, not from 1 to 16384 pixels".to_owned()),
        (ImageRequest { height: Some(16_385), ..flux() }, "height is 16385, not from 1 to 16384 pixels".to_owned()),
        (
            ImageRequest { width: Some(1_000_000_000), ..flux() },
            "width is 1000000000, not from 1 to 16384 pixels".to_owned(),
        ),
        (
            ImageRequest { guidance_scale: Some(f64::NAN), ..flux() },
            "guidance_scale is null, not a number from 0 up".to_owned(),
        ),
        (
            ImageRequest { guidance_scale: Some(-0.5), ..flux() },
            "guidance_scale is -0.5, not a number from 0 up".to_owned(),
        ),
        (
            ImageRequest { guidance_scale: Some(f64::INFINITY), ..flux() },
            "guidance_scale is null, not a number from 0 up".to_owned(),
        ),
        (ImageRequest { strength: Some(7.0), ..flux() }, format!("strength is 7, {strengths}")),
        (ImageRequest { strength: Some(-0.1), ..flux() }, format!("strength is -0.1, {strengths}")),
        (ImageRequest { strength: Some(f64::NAN), ..flux() }, format!("strength is null, {strengths}")),
        (ImageRequest { num_outputs: Some(0), ..flux() }, "num_outputs is 0, not from 1 to 10".to_owned()),
        (ImageRequest { num_outputs: Some(99), ..flux() }, "num_outputs is 99, not from 1 to 10".to_owned()),
        (
            ImageRequest { output_format: Some("gif".to_owned()), ..flux() },
            "output_format is \"gif\", not png, jpg, jpeg, webp".to_owned(),
        ),
        (
            ImageRequest { source_image_urls: Some(vec![String::new()]), ..flux() },
            "source_image_url is empty".to_owned(),
        ),
        (
            ImageRequest { source_image_urls: Some(vec!["https://a/1.png".to_owned(), " ".to_owned()]), ..flux() },
            "source_image_urls is empty".to_owned(),
        ),
        (
            with("black-forest-labs/flux-dev", 2),
            "source_image_urls: the model black-forest-labs/flux-dev takes 1 at most, and there are 2".to_owned(),
        ),
        (
            with("black-forest-labs/flux-2-dev", 5),
            "source_image_urls: the model black-forest-labs/flux-2-dev takes 4 at most, and there are 5".to_owned(),
        ),
        (
            with("google/imagen-4", 1),
            "source_image_url: the model google/imagen-4 takes no picture".to_owned(),
        ),
        (
            with("ideogram-ai/ideogram-v3-turbo", 1),
            "source_image_url: the model ideogram-ai/ideogram-v3-turbo needs a mask with its picture, which a job cannot give"
                .to_owned(),
        ),
        (
            request("qwen/qwen-image-edit"),
            "source_image_url: the model qwen/qwen-image-edit needs a picture, and there is none".to_owned(),
        ),
        (
            with("someone/some-model", 1),
            "source_image_url: the model someone/some-model is not in the catalogue, so how it takes a picture is unknown"
                .to_owned(),
        ),
        (request(""), format!("model_id \"\" {forms}")),
        (request("flux-schnell"), format!("model_id \"flux-schnell\" {forms}")),
        (request("a/b/c"), format!("model_id \"a/b/c\" {forms}")),
        (request("../flux"), format!("model_id \"../flux\" {forms}")),
        (request("owner/na\nme"), format!("model_id \"owner/na\\nme\" {forms}")),
        (request("owner/name:latest"), format!("model_id \"owner/name:latest\" {forms}")),
        (request(&format!("o/{}", "n".repeat(200))), format!("model_id \"o/{}\" {forms}", "n".repeat(98))),
        (
            ImageRequest { model_version: Some("latest".to_owned()), ..flux() },
            "model_version \"latest\" is not of 64 lowercase hex digits".to_owned(),
        ),
        (
            ImageRequest { model_version: Some("f".repeat(64)), ..request(&hex) },
            format!("model_version {} is not the version in model_id", "f".repeat(64)),
        ),
    ];
    for (request, message) in table {
        assert_eq!(build(&request, DEFAULT_SEED, None), Err(message));
    }
}
