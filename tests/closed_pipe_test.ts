/**
 * The program where its output is not read to the end, or goes nowhere: no complaint, nothing lost, nothing left.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { soon } from "./support/leaks.ts";
import { patience } from "./support/patience.ts";
import { program } from "./support/program.ts";
import { OnTerminal, withoutTerminal } from "./support/terminal.ts";

/** The program as one word of a shell. */
const PROGRAM = program().map((word) => `'${word}'`).join(" ");
const SIMULATED = "--machine simulated";

/** Runs a line of bash; statuses of the parts of its pipe, what was complained of, and how many processes are left. */
async function run(line: string): Promise<{ statuses: number[]; err: string; left: number }> {
  const { stdout, stderr } = await new Deno.Command("setsid", {
    args: [
      "--wait",
      "bash",
      "-c",
      `${line.replaceAll("virtio", PROGRAM)}; echo "@@ \${PIPESTATUS[@]} $$"`,
    ],
    stdin: "null",
    signal: patience(),
    env: { NO_COLOR: "1" },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const statuses = /@@ (.*)\n/.exec(text(stdout))![1]!.split(" ").map(Number);
  const session = statuses.pop()!;
  // What the program started may need a moment to notice its end.
  await soon(() => inSession(session) === 0, 10_000);
  return { statuses, err: text(stderr), left: inSession(session) };
}

/** Processes of a session that are there. */
function inSession(session: number): number {
  return [...Deno.readDirSync("/proc")].filter(({ name }) => {
    try {
      const stat = Deno.readTextFileSync(`/proc/${name}/stat`);
      const [state, , , of] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return Number(of) === session && !"ZX".includes(state!);
    } catch {
      return false; // no process, or one that has ended meanwhile
    }
  }).length;
}

/** Lines whose reader leaves at once, or after a first line. */
const LINES: readonly string[] = [
  "virtio --help | true",
  "virtio help --json | head -1",
  `virtio ls ${SIMULATED} | head -1`,
  `virtio check ${SIMULATED} --quiet | head -1`,
  `virtio check ${SIMULATED} --quiet --json | true`,
  `virtio blk read ${SIMULATED} --quiet | head -c 10`,
  `virtio net dump --text --quiet ${SIMULATED} | head -1`,
  `virtio balloon watch --quiet ${SIMULATED} | true`,
  `virtio random --continuous --quiet ${SIMULATED} | head -c 100`,
  `virtio conform device 00:01.0 --only status --quiet ${SIMULATED} | true`,
];

for (const line of LINES) {
  Deno.test(`${line}: ends without a complaint, and leaves nothing #cli:closed_pipe`, async () => {
    assertEquals(await run(line), { statuses: [0, 0], err: "", left: 0 });
  });
}

Deno.test("talk that is not read keeps no data back #cli:closed_pipe", async () => {
  const { statuses } = await run(
    `{ virtio check ${SIMULATED} -v 2>&3 | grep -c passed >/dev/null; } 3>&1 | true`,
  );
  assertEquals(statuses, [0, 0]);
  const closed = await run(`virtio random 16 --hex ${SIMULATED} 2>&- | grep -qE '^[0-9a-f]{32}$'`);
  assertEquals(closed.statuses, [0, 0]);
});

if (!withoutTerminal) {
  for (const columns of [20, 40, 80]) {
    Deno.test(`on a terminal of ${columns} columns ls, check and help keep to it #cli:width`, async () => {
      const at = (line: string) =>
        `sh -c "stty cols ${columns}; ${PROGRAM.replaceAll("'", "")} ${line}"`;
      for (const line of ["help net ping", `ls ${SIMULATED}`, `check 00:01.0 ${SIMULATED}`]) {
        await using terminal = new OnTerminal(at(line));
        assertEquals(await terminal.ended(), 0, terminal.text);
        const lines = terminal.text.split(/\r?\n/);
        assert(lines.length > 1, terminal.text);
        for (const each of lines) {
          const words = each.trim().split(/ +/);
          // Talk wraps as the terminal does it; names and addresses are never cut.
          const whole = words.length <= 2 || /^(Checking|The device)/.test(each) ||
            line.startsWith("ls");
          assert(each.length <= columns || columns < 60 && whole, `${columns}: ${each}`);
        }
      }
    });
  }
}
