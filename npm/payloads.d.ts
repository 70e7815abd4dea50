// Made of src/handlers: WRITE_DOCS=1 cargo test payload_types

/** The payload of a `deliver-webhook` job. */
export interface DeliverWebhook {
  /** An http or https address. */
  url: string;
  /** The user who has given it: it must be a public https address, and that user's secret signs. */
  user_id?: string | null;
  /** What is sent. */
  body: Record<string, unknown>;
}

/** The payload of a `download-image` job. */
export interface DownloadImage {
  /** 1 to 128 letters, digits, `_` and `-`, as in the user's. */
  generation_id: string;
  user_id: string;
  /** The picture's address; several, in their order, go into `output_urls`. */
  output_url?: string | null;
  output_urls?: string[] | null;
  /** Whose outputs they are, where they are too large to be in a payload. */
  prediction_id?: string | null;
  model_id?: string | null;
  /** These two go into the pictures' rows. */
  prompt?: string | null;
  negative_prompt?: string | null;
}

/** The payload of a `generate-image` job. */
export interface GenerateImage {
  /** 1 to 128 letters, digits, `_` and `-`, as in the user's. */
  generation_id: string;
  user_id: string;
  prompt: string;
  negative_prompt?: string | null;
  /** `owner/name`, `owner/name:version` or a version alone: 64 lowercase hex digits. */
  model_id: string;
  model_version?: string | null;
  /** Pixels, as is the height. */
  width?: number | null;
  height?: number | null;
  num_inference_steps?: number | null;
  guidance_scale?: number | null;
  seed?: number | null;
  /** `png`, `jpg`, `jpeg` or `webp`. */
  output_format?: string | null;
  /** 1 to 10. */
  num_outputs?: number | null;
  /** The picture to start from; or several, in their order, in `source_image_urls`. */
  source_image_url?: string | null;
  source_image_urls?: string[] | null;
  /** 0 keeps the source picture, 1 ignores it. */
  strength?: number | null;
  /** True: mapped by the schema that Replicate publishes now, even though the catalogue has the model. */
  published_schema?: boolean | null;
}

/** The payload of a `watch-prediction` job. */
export interface WatchPrediction {
  prediction_id: string;
  /** The job that made it, and the life in which it did. */
  job_id: string;
  life: number;
}

/** By job type. */
export interface JobTypes {
  "deliver-webhook": DeliverWebhook;
  "download-image": DownloadImage;
  "generate-image": GenerateImage;
  "watch-prediction": WatchPrediction;
}
