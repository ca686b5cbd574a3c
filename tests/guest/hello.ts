import { address, check, program } from "./support/job.ts";
await check("ls sees it", async () => {
  const { stdout, stderr, code } = await program("ls");
  if (code !== 0 || !stdout.includes("1044")) throw new Error(stderr + stdout);
  return stdout + address("rng");
});
