import type { Figure } from "./figure.ts";

/** The C reference of each kind of ring. */
const SOURCES = { split: "ring.c", packed: "packed.c" } as const;

/** Compiles the C references with gcc -O2 and runs them; none where there is no gcc. */
export async function benchReference(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const [kind, source] of Object.entries(SOURCES)) {
    const program = await Deno.makeTempFile({ prefix: "virtio-bench-" });
    try {
      const path = new URL(source, import.meta.url).pathname;
      await output("gcc", ["-O2", "-std=c11", "-o", program, path]);
      const { results } = JSON.parse(await output(program, ["2"]));
      for (const result of results) figures.push({ kind: kind as Figure["kind"], ...result });
    } catch (error) {
      console.error(`No C reference for the ${kind} ring: ${(error as Error).message}`);
    } finally {
      await Deno.remove(program);
    }
  }
  return figures;
}

async function output(program: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr).trim());
  return new TextDecoder().decode(stdout);
}
