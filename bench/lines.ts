/** The lines of a stream of bytes, as they come. */
export async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream() as never)) {
    const all = (rest + text).split("\n");
    rest = all.pop()!;
    yield* all;
  }
}
