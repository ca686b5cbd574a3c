/**
 * Checks that each package of the workspace could be published, without doing it.
 *
 * @module
 */

const ROOT = new URL("../", import.meta.url);
const plugins = [...Deno.readDirSync(new URL("plugins", ROOT))].map(({ name }) =>
  `plugins/${name}`
);

for (const folder of [".", ...plugins.sort()]) {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["publish", "--dry-run", "--allow-dirty", "--quiet"],
    cwd: new URL(`${folder}/`, ROOT),
  }).output().then(({ success, stderr }) => {
    if (!success) console.error(new TextDecoder().decode(stderr));
    return { success };
  });
  console.log(`publish: ${folder} ${success ? "could be published" : "could NOT be published"}`);
  if (!success) Deno.exit(1);
}
