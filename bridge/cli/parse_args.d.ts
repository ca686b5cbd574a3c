// What the command line uses of @std/cli 1.x. The options are the ones it has there; the result says
// for each named option what it holds, and everything else is unknown. Aliases and dotted names are
// not followed: read an option by the name it is declared with.

export interface ParseOptions<
  B extends string = string,
  S extends string = string,
  C extends string = string,
  N extends string = string,
  D extends Record<string, unknown> = Record<string, unknown>,
  Dash extends boolean | undefined = boolean | undefined,
> {
  /** Put what follows `--` into the result's `"--"` instead of `_`. */
  "--"?: Dash;
  alias?: Record<string, string | readonly string[]>;
  /** Options that take no value. `true`: all double-dash options without `=`. */
  boolean?: boolean | B | readonly B[];
  /** Options whose value stays a string even if it looks like a number. */
  string?: S | readonly S[];
  /** Options that may be given several times. */
  collect?: C | readonly C[];
  /** Boolean options that `--no-<name>` turns off. */
  negatable?: N | readonly N[];
  default?: D;
  /** Stop at the first argument that is no option. */
  stopEarly?: boolean;
  /** Called for each argument that is not declared; return false to leave it out. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

type Listed<K extends string, T, C extends string> = K extends C ? T[] : T;

/** A named option is there when it has a default; a boolean or a collected one always is. */
type Named<B extends string, S extends string, C extends string, D> =
  & { [K in B]: Listed<K, boolean, C> | DefaultOf<K, D> }
  & { [K in S & C]: string[] | DefaultOf<K, D> }
  & { [K in Exclude<S, C> & keyof D]: string | D[K] }
  & { [K in Exclude<S, C | keyof D>]?: string }
  & { [K in Exclude<C, B | S>]: unknown[] }
  & { [K in Exclude<keyof D, B | S | C>]: D[K] };

type DefaultOf<K, D> = K extends keyof D ? D[K] : never;

type AfterDash<Dash> = Dash extends true ? { "--": string[] } : unknown;

export type Args<
  B extends string = never,
  S extends string = never,
  C extends string = never,
  // deno-lint-ignore ban-types
  D = {},
  Dash = undefined,
> =
  & { [name: string]: unknown; _: (string | number)[] }
  & Named<B, S, C, D>
  & AfterDash<Dash>;

export function parseArgs<
  const B extends string = never,
  const S extends string = never,
  const C extends string = never,
  const N extends string = never,
  // deno-lint-ignore ban-types
  D extends Record<string, unknown> = {},
  const Dash extends boolean | undefined = undefined,
>(args: readonly string[], options?: ParseOptions<B, S, C, N, D, Dash>): Args<B, S, C, D, Dash>;
