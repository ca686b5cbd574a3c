const REFERENCE = new URL("reference/", import.meta.url).pathname;

/**
 * Compiles a C reference into a folder.
 *
 * @param missing Called with why it cannot be, if so.
 * @param more Arguments for the compiler.
 * @returns The program's path; undefined if there is none.
 */
export async function compile(
  source: string,
  folder: string,
  missing: (why: string) => void,
  more: readonly string[] = [],
): Promise<string | undefined> {
  const program = `${folder}/${source.replace(/\.c$/, "")}`;
  const args = ["-O2", "-std=c11", "-o", program, `${REFERENCE}${source}`, ...more];
  try {
    const { success, stderr } = await new Deno.Command("gcc", { args, env: { TMPDIR: folder } })
      .output();
    if (success) return program;
    missing(`gcc does not compile ${source}: ${new TextDecoder().decode(stderr).split("\n")[0]}`);
  } catch {
    missing(`no C reference (${source}): there is no gcc`);
  }
}
