// Keeps Storage's objects as files. Their metadata lives as long as this process, as the directory does.

export class FileStorage {
  driver = "file";
  #directory;
  #metadata = new Map();

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
    this.#metadata.set(path, metadata);
    return metadata;
  }

  async getObject(bucket, key) {
    const path = this.#path(bucket, key);
    const file = await Deno.open(path);
    return { httpStatusCode: 200, metadata: this.#metadata.get(path), body: file.readable };
  }

  headObject(bucket, key) {
    return Promise.resolve(this.#metadata.get(this.#path(bucket, key)));
  }

  async deleteObject(bucket, key) {
    const path = this.#path(bucket, key);
    this.#metadata.delete(path);
    await Deno.remove(path);
  }

  async deleteObjects(bucket, keys) {
    for (const key of keys) await this.deleteObject(bucket, key);
  }

  async copyObject(bucket, key, _version, toBucket, toKey) {
    const [from, to] = [this.#path(bucket, key), this.#path(toBucket, toKey)];
    await Deno.copyFile(from, to);
    this.#metadata.set(to, this.#metadata.get(from));
    return this.#metadata.get(to);
  }

  privateAssetUrl(bucket, key) {
    return Promise.resolve(this.#path(bucket, key));
  }

  // One flat file an object: a key may hold slashes, and one key may be the folder of another.
  #path(bucket, key) {
    return `${this.#directory}/${encodeURIComponent(`${bucket}/${key}`)}`;
  }
}
