import type { TraceSink } from "../../mod.ts";
import type { ServedFigures } from "../../serve/mod.ts";
import type { Context } from "../command.ts";
import { traceSink } from "../kernel.ts";

/** What is seen of devices that are served, by the options about that. */
interface Watch {
  /** What serves them is to know so much. */
  options(): Promise<{ readonly counted: boolean; readonly trace?: TraceSink }>;
  /**
   * Shows their figures where the user wants them, until it is disposed.
   *
   * @param by By which protocol they are served.
   */
  of(
    by: string,
    figures: () => Readonly<Record<string, ServedFigures>>,
  ): Promise<AsyncDisposable | undefined>;
}

/** Takes the options `--trace`, `--control` and `--metrics`. */
export function watchOptions(context: Context): Watch {
  const { io: { system }, options: { control, metrics }, talk } = context;
  const counted = control !== undefined || metrics !== undefined;
  return {
    async options() {
      const trace = await traceSink(context);
      return { counted, ...(trace && { trace }) };
    },
    async of(by, figures) {
      if (!counted) return undefined;
      const { watchServed } = await system.loadWatch();
      return watchServed({ by, figures, failed: talk }, {
        ...(control !== undefined && { control }),
        ...(metrics !== undefined && { metrics }),
      });
    },
  };
}
