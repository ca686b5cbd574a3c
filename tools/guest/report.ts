/** What a line of a guest's serial console says to the test. */
export type Said =
  /** A job begins. */
  | { readonly kind: "job"; readonly name: string }
  /** Something was checked. */
  | {
    readonly kind: "check";
    readonly name: string;
    readonly passed: boolean;
    readonly detail: string;
  }
  /** What a disk has to hold at the end; the test looks into its image. */
  | {
    readonly kind: "disk";
    readonly id: string;
    readonly offset: number;
    readonly length: number;
    readonly sha256: string;
  }
  /** A command for QEMU's monitor. */
  | { readonly kind: "monitor"; readonly command: object }
  /** The job means to be stopped by the IOMMU. */
  | { readonly kind: "provoke" }
  /** The guest's kernel reported something bad. */
  | { readonly kind: "kernel"; readonly text: string }
  /** The guest is alive. */
  | { readonly kind: "beat" }
  /** The job ended. */
  | { readonly kind: "end"; readonly status: number }
  /** Nothing to the test. */
  | { readonly kind: "talk" };

const TALK: Said = { kind: "talk" };

/** Understands a line. One that only looks as if it were for the test is talk. */
export function understand(line: string): Said {
  const [, word = "", rest = ""] = /@@([A-Z]+)[ =]?(.*)$/.exec(line) ?? [];
  switch (word) {
    case "JOB":
      return { kind: "job", name: rest };
    case "CHECK": {
      const [, name, verdict, detail = ""] = /^(.+?) (ok|FAIL)\b ?(.*)$/.exec(rest) ?? [];
      return name ? { kind: "check", name, passed: verdict === "ok", detail } : TALK;
    }
    case "DISK": {
      const [, id, offset, length, sha256] = /^(\S+) (\d+) (\d+) ([0-9a-f]{64})$/.exec(rest) ?? [];
      if (!id || !sha256) return TALK;
      return { kind: "disk", id, offset: Number(offset), length: Number(length), sha256 };
    }
    case "QMP":
      return { kind: "monitor", command: JSON.parse(rest) };
    case "PROVOKE":
      return { kind: "provoke" };
    case "KERNEL":
      return { kind: "kernel", text: rest };
    case "BEAT":
      return { kind: "beat" };
    case "RC":
      return { kind: "end", status: Number(rest) };
    default:
      return TALK;
  }
}
