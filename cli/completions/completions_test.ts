// What the shells make of the scripts, asked of the shells themselves.
import { assert, assertEquals } from "@std/assert";
import { findProgram } from "../../core/linux/file.ts";
import { patience } from "../../tests/support/patience.ts";
import "../../tests/support/libc.ts";
import { COMMANDS } from "../commands.ts";
import { runFake } from "../fake_test.ts";
import { nounsOf, wantedOf } from "./wanted.ts";

/** Starts a shell that answers a line for its own means of completion. */
const SHELLS: Readonly<Record<string, (script: string, line: string) => string[]>> = {
  bash: (script, line) => [
    "--norc",
    "-c",
    `compopt() { [[ $1 == -o ]] && echo "($2)"; }; source ${script}
     COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'; COMP_LINE=$1; COMP_POINT=\${#COMP_LINE}
     _virtio; printf '%s\\n' "\${COMPREPLY[@]}"`,
    "bash",
    line,
  ],
  // What zsh calls to offer something says what that is.
  zsh: (script, line) => [
    "-f",
    "-c",
    `compadd() { shift; print -l -- $@ }; _files() { print "(default)" }
     _describe() { print -l -- \${\${(P)@[-1]}%%:*} }
     source ${script}; words=(\${(s: :)1}); [[ $1 == *" " ]] && words+=(""); CURRENT=$#words; _virtio; true`,
    "zsh",
    line,
  ],
  fish: (script, line) => [
    "--no-config",
    "-c",
    `source ${script}; complete -C $argv | string replace -r '\\t.*' ''`,
    line,
  ],
};

/** Lines, and words that are offered for the last word of each. */
const LINES: readonly (readonly [line: string, offered: readonly string[]])[] = [
  ["virtio sho", ["show"]],
  ["virtio net d", ["dump"]],
  ["virtio --machine simulated blk co", ["copy"]],
  ["virtio check --machine si", ["simulated"]],
  ["virtio conform driver --jun", ["--junit"]],
  ["virtio net dump --coun", ["--count"]],
  ["virtio ls --isol", ["--isolation"]],
  ["virtio completions fi", ["fish"]],
  ["virtio new x --bus p", ["pci"]],
  ["virtio ls --coun", []],
  ["virtio ls sho", []],
];

for (const [shell, starts] of Object.entries(SHELLS)) {
  const program = findProgram(shell);
  if (!program) console.log(`skipped: completions of ${shell}: there is no ${shell}`);
  Deno.test({
    name: `completions ${shell}: ${shell} completes commands, options and values #cli:completions`,
    ignore: !program,
    async fn() {
      using file = temporary((await runFake(`completions ${shell}`)).out);
      const complete = async (line: string) => {
        const { stdout, stderr } = await new Deno.Command(program!, {
          args: starts(file.path, line),
          stdin: "null",
          signal: patience(),
          env: { LC_ALL: "C.UTF-8", HOME: Deno.makeTempDirSync() },
        }).output();
        const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
        assertEquals(text(stderr), "", line);
        // zsh itself leaves out what does not begin with the word.
        const word = line.slice(line.lastIndexOf(" ") + 1);
        return text(stdout).split("\n").filter((each) => each !== "" && each.startsWith(word));
      };
      for (const [line, offered] of LINES) assertEquals(await complete(line), offered, line);
      const nouns = nounsOf(wantedOf("virtio", COMMANDS)).map(([noun]) => noun);
      assertEquals((await complete("virtio ")).sort(), nouns.sort());
      const devices = [...Deno.readDirSync("/sys/bus/pci/devices")].map(({ name }) => name);
      const offered = await complete("virtio show ");
      for (const device of devices) assert(offered.includes(device.replace(/^0000:/, "")), device);
    },
  });
}

function temporary(text: string): { readonly path: string } & Disposable {
  const path = Deno.makeTempFileSync({ prefix: "virtio-completion-" });
  Deno.writeTextFileSync(path, text);
  return { path, [Symbol.dispose]: () => Deno.removeSync(path) };
}

Deno.test("completions go by the name that the program was installed by; another shell is a usage error #cli:completions", async () => {
  for (const shell of Object.keys(SHELLS)) {
    const { out } = await runFake(`completions ${shell}`, { program: "v2" });
    assert(out.includes("_v2") && !out.includes("_virtio"), out);
  }
  const { exit, err } = await runFake("completions fihs");
  assertEquals(exit, 2);
  assertEquals(
    err,
    'error: Unknown shell "fihs": wanted one of bash, zsh, fish. Did you mean "fish"?',
  );
});
