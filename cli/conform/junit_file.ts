import type { Context } from "../command.ts";
import { UserFile } from "../file.ts";

/** The file that `--junit` names. It is opened before a long run: one that cannot be written is known then. */
export async function junitFile(context: Context): Promise<UserFile | undefined> {
  const { junit } = context.given;
  return typeof junit === "string" ? await UserFile.open(context, junit, "write") : undefined;
}

/** Writes all of a file. */
export async function writeText(file: UserFile, text: string): Promise<void> {
  await file.write(0, new TextEncoder().encode(text));
  await file.finish();
}
