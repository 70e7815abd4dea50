// Keeps Storage's objects as files, and what is known of each in another one beside it.

export class FileStorage {
  driver = "file";
  #directory;

  constructor(directory) {
    this.#directory = directory;
  }

  async uploadObject(bucket, key, _version, body, contentType, cacheControl) {
    const path = this.#path(bucket, key);
    const stream = body instanceof ReadableStream ? body : new Response(body).body ?? new Blob().stream();
    await Deno.writeFile(path, stream);
    const { size, mtime } = await Deno.stat(path);
    const metadata = {
      mimetype: contentType,
      cacheControl,
      size,
      contentLength: size,
      eTag: `"${crypto.randomUUID()}"`,
      lastModified: mtime,
    };
    await Deno.writeTextFile(`${path}.`, JSON.stringify(metadata));
    return metadata;
  }

  async getObject(bucket, key) {
    const path = this.#path(bucket, key);
    const file = await Deno.open(path);
    return { httpStatusCode: 200, metadata: await this.#metadata(path), body: file.readable };
  }

  headObject(bucket, key) {
    return this.#metadata(this.#path(bucket, key));
  }

  async deleteObject(bucket, key) {
    const path = this.#path(bucket, key);
    await Deno.remove(path);
    await Deno.remove(`${path}.`);
  }

  async deleteObjects(bucket, keys) {
    for (const key of keys) await this.deleteObject(bucket, key);
  }

  async copyObject(bucket, key, _version, toBucket, toKey) {
    const [from, to] = [this.#path(bucket, key), this.#path(toBucket, toKey)];
    await Deno.copyFile(from, to);
    await Deno.copyFile(`${from}.`, `${to}.`);
    return this.#metadata(to);
  }

  privateAssetUrl(bucket, key) {
    return Promise.resolve(this.#path(bucket, key));
  }

  /** None: there is no such object. */
  async #metadata(path) {
    try {
      const metadata = JSON.parse(await Deno.readTextFile(`${path}.`));
      return { ...metadata, lastModified: new Date(metadata.lastModified) };
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  // One flat file an object: a key may hold slashes, and one key may be the folder of another.
  #path(bucket, key) {
    return `${this.#directory}/${encodeURIComponent(`${bucket}/${key}`).replaceAll(".", "%2E")}`;
  }
}
