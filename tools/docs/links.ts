// Where the pages of the documentation lead.

import { slug } from "./markdown.ts";

/** A link of a page, or a picture in it. */
export interface Link {
  /** As it stands there, without what follows `#`. */
  readonly target: string;
  /** What follows `#`. */
  readonly anchor: string | undefined;
}

/** A page's links into the tree and to itself; those elsewhere are left out. */
export function linksOf(text: string): Link[] {
  return [...withoutCode(text).matchAll(/\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].map(
    ([, target, anchor]) => ({ target: target!, anchor }),
  );
}

/** What can be linked to in a page. */
export function anchorsOf(text: string): Set<string> {
  const seen = new Map<string, number>();
  const headings = [...withoutCode(text).matchAll(/^#{1,6} (.+)$/gm)];
  return new Set(headings.map(([, heading]) => {
    const name = slug(heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1"));
    const count = seen.get(name) ?? 0;
    seen.set(name, count + 1);
    return count === 0 ? name : `${name}-${count}`;
  }));
}

/** A page's fenced blocks are no text, and have neither links nor headings. */
function withoutCode(text: string): string {
  return text.replace(/^(```+)[^\n]*\n[^]*?^\1$/gm, "");
}
