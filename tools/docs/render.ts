// Markdown to HTML.

// @ts-types="@types/markdown-it"
import MarkdownIt from "markdown-it";
import highlight from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import json from "highlight.js/lib/languages/json";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import { slug } from "./markdown.ts";

for (const [name, language] of Object.entries({ bash, json, typescript, xml })) {
  highlight.registerLanguage(name, language);
}
const LANGUAGES: Readonly<Record<string, string>> = {
  sh: "bash",
  bash: "bash",
  ts: "typescript",
  js: "typescript",
  json: "json",
  xml: "xml",
};

/** A heading and what stands under it, for the search. */
export interface Section {
  /** The heading's text. */
  readonly title: string;
  /** What a link to it ends with; empty for the page. */
  readonly anchor: string;
  /** The title of its page. */
  readonly of: string;
  readonly text: string;
  /** 1 for the page's own heading, and so on. */
  readonly level: number;
}

/** A page as HTML. */
export interface Rendered {
  readonly title: string;
  readonly body: string;
  readonly sections: readonly Section[];
}

/**
 * Renders a page.
 *
 * @param path Where it is in the project: its links are relative to that.
 * @param place Where in the site something of the project is, by its path.
 */
export function render(text: string, path: string, place: (target: string) => string): Rendered {
  const markdown = new MarkdownIt({
    html: true,
    highlight(code, name) {
      const language = LANGUAGES[name];
      return language === undefined ? "" : highlight.highlight(code, { language }).value;
    },
  });
  const tokens = markdown.parse(text, {});
  const sections: { title: string; anchor: string; level: number; text: string[] }[] = [];
  const used = new Map<string, number>();
  for (const [i, token] of tokens.entries()) {
    if (token.type === "heading_open") {
      const title = plain(tokens[i + 1]!.children ?? []);
      const name = slug(title);
      const count = used.get(name) ?? 0;
      used.set(name, count + 1);
      const anchor = count === 0 ? name : `${name}-${count}`;
      token.attrSet("id", anchor);
      sections.push({ title, anchor, level: Number(token.tag.slice(1)), text: [] });
    } else if (token.type === "inline" && tokens[i - 1]?.type !== "heading_open") {
      sections.at(-1)?.text.push(plain(token.children ?? []));
    }
    for (const child of token.children ?? []) {
      for (const name of ["href", "src"]) {
        const target = child.attrGet(name);
        if (target !== null) child.attrSet(name, moved(target, path, place));
      }
    }
  }
  // A fence that names a file shows that name; wide tables scroll by themselves.
  markdown.renderer.rules.table_open = () => `<div class="table"><table>\n`;
  markdown.renderer.rules.table_close = () => `</table></div>\n`;
  const fence = markdown.renderer.rules.fence!;
  markdown.renderer.rules.fence = (tokens, i, ...rest) => {
    const file = tokens[i]!.info.trim().split(/\s+/)[1];
    const block = fence(tokens, i, ...rest);
    return file === undefined ? block : `<figure><figcaption>${file}</figcaption>${block}</figure>`;
  };
  const title = sections[0]?.title ?? path;
  return {
    title,
    body: markdown.renderer.render(tokens, markdown.options, {}),
    sections: sections.map(({ text, ...section }) => ({
      ...section,
      of: title,
      text: text.join(" "),
    })),
  };
}

function plain(children: readonly { readonly content: string; readonly type: string }[]): string {
  return children.filter(({ type }) => type !== "html_inline").map(({ content }) => content).join(
    "",
  );
}

/** A link of a page, as it is in the site. */
function moved(target: string, path: string, place: (target: string) => string): string {
  if (/^(\w+:|#)/.test(target)) return target;
  const { pathname, hash } = new URL(target, `file:///${path}`);
  return place(decodeURIComponent(pathname.slice(1))) + hash;
}
