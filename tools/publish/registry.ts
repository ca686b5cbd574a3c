/**
 * A registry on the loopback that packages are published to and fetched from as from JSR: what `deno publish` sends is
 * what is served, so that tests see packages as their users do.
 *
 * @module
 */

import { createHash } from "node:crypto";

const BRIDGE = new URL("../../bridge/", import.meta.url);

/** One version of a package, as it was published. */
interface Published {
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  readonly exports: Record<string, string>;
}

/** A running registry. */
export interface Registry extends AsyncDisposable {
  /** What `JSR_URL` must be for Deno to use it. */
  readonly url: string;
  /** What was published, `@scope/name@version`, in the order in which it came. */
  readonly published: readonly string[];
}

/**
 * Starts a registry with nothing in it but Deno's own packages that this project needs: the same code, under the same names
 * as on JSR.
 */
export async function openRegistry(): Promise<Registry> {
  const versions = new Map<string, Published>();
  const published: string[] = [];

  /** What Deno asks of the part that packages are published to. */
  async function api(request: Request, path: string): Promise<Response | undefined> {
    const [, scope, name, version] =
      /^scopes\/([^/]+)\/packages\/([^/]+)(?:\/versions\/(.+))?$/.exec(path) ?? [];
    if (scope === undefined) return undefined;
    const key = `@${scope}/${name}@${version}`;
    if (request.method !== "POST") {
      if (version !== undefined && !versions.has(key)) return undefined;
      return Response.json({ latestVersion: null });
    }
    const done = { id: key, status: "success", error: null };
    if (versions.has(key)) {
      const code = "duplicateVersionPublish";
      return Response.json({ code, message: "It is there already", task: done }, { status: 400 });
    }
    published.push(add(await unpack(request.body!)));
    return Response.json(done);
  }

  /** Adds the package that its `deno.json` describes; its key. */
  function add(files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>): string {
    const { name, version, exports } = JSON.parse(
      new TextDecoder().decode(files.get("/deno.json")),
    );
    const key = `${name}@${version}`;
    versions.set(key, { files, exports: typeof exports === "string" ? { ".": exports } : exports });
    return key;
  }

  /** What it asks of the part that packages are fetched from. */
  function file(path: string): Response | undefined {
    const [, name, rest] = /^(@[^/]+\/[^/]+)\/(.+)$/.exec(path) ?? [];
    if (rest === undefined) return undefined;
    const own = [...versions].filter(([key]) => key.startsWith(`${name}@`))
      .map(([key, version]) => [key.slice(name!.length + 1), version] as const);
    if (own.length === 0) return undefined;
    if (rest === "meta.json") {
      const latest = own.at(-1)![0];
      return Response.json({
        scope: name!.split("/")[0]!.slice(1),
        name: name!.split("/")[1],
        latest,
        versions: Object.fromEntries(own.map(([version]) => [version, {}])),
      });
    }
    for (const [version, { files, exports }] of own) {
      if (rest === `${version}_meta.json`) {
        const manifest = Object.fromEntries(
          [...files].map(([path, bytes]) => [path, {
            size: bytes.length,
            checksum: `sha256-${createHash("sha256").update(bytes).digest("hex")}`,
          }]),
        );
        return Response.json({ manifest, exports });
      }
      const bytes = rest.startsWith(`${version}/`) && files.get(rest.slice(version.length));
      if (bytes) return new Response(bytes, { headers: { "content-type": mediaType(rest) } });
    }
    return undefined;
  }

  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const path = decodeURIComponent(new URL(request.url).pathname).slice(1);
    const found = path.startsWith("api/") ? await api(request, path.slice(4)) : file(path);
    if (found) return found;
    await request.body?.cancel();
    return new Response("There is no such thing", { status: 404 });
  });
  for await (const { name } of Deno.readDir(BRIDGE)) {
    const folder = new URL(`${name}/`, BRIDGE);
    const files = new Map<string, Uint8Array<ArrayBuffer>>();
    for await (const { name } of Deno.readDir(folder)) {
      files.set(`/${name}`, await Deno.readFile(new URL(name, folder)));
    }
    add(files);
  }
  const { port } = server.addr as Deno.NetAddr;
  return {
    url: `http://127.0.0.1:${port}/`,
    published,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

function mediaType(path: string): string {
  if (path.endsWith(".ts")) return "text/typescript";
  return path.endsWith(".json") ? "application/json" : "text/plain";
}

/** The files of a gzipped tar archive by their paths, each with a slash before it. */
async function unpack(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const plain = body.pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(plain).arrayBuffer());
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const text = (from: number, length: number) =>
    new TextDecoder().decode(bytes.subarray(from, from + length)).replace(/\0.*$/s, "");
  // One block of 512 bytes is a header; the contents follow in whole blocks.
  for (let at = 0; at + 512 <= bytes.length && bytes[at] !== 0;) {
    const size = parseInt(text(at + 124, 12), 8);
    const prefix = text(at + 345, 155);
    const path = `${prefix && `${prefix}/`}${text(at, 100)}`.replace(/^\.?\/?/, "/");
    if (text(at + 156, 1) === "0" || text(at + 156, 1) === "") {
      files.set(path, bytes.slice(at + 512, at + 512 + size));
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}
