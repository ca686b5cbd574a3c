import { assertEquals } from "@std/assert";

/** What a program says that has only the permission to open libraries, and gives that up. */
async function said(code: string): Promise<string> {
  const program = `import { bindLibc, forgetLibc, libc } from "${import.meta.resolve("./libc.ts")}";
const giveUp = () => Deno.permissions.revokeSync({ name: "ffi" });
const of = (call) => { try { return call() === Deno.pid ? "bound" : "wrong"; } catch (error) { return error.name; } };
${code}`;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--no-config", "--no-lock", "--no-prompt", "--allow-ffi", "--allow-import"],
      `data:text/javascript,${encodeURIComponent(program)}`,
    ],
    stdin: "null",
    signal: AbortSignal.timeout(60_000),
  }).output();
  return new TextDecoder().decode(stdout).trim();
}

Deno.test("a function of the C library is bound when it is first named, and stays so without the permission", async () => {
  const code = `libc().getppid(); giveUp();
console.log(of(() => libc().getppid() && Deno.pid), of(() => libc().getpid()));`;
  assertEquals(await said(code), "bound NotCapable");
});

Deno.test("bindLibc() binds all of them, also if the table was forgotten meanwhile", async () => {
  const code = `libc().getpid(); forgetLibc(); bindLibc(); giveUp();
console.log(of(() => libc().getpid()), of(() => libc().getppid() && Deno.pid));`;
  assertEquals(await said(code), "bound bound");
});

Deno.test("what was forgotten needs the permission again", async () => {
  const code = `const { getpid } = libc(); forgetLibc(); giveUp();
console.log(of(() => getpid()), of(() => libc().getpid()));`;
  assertEquals(await said(code), "bound NotCapable");
});
