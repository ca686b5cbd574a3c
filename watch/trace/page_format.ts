import type { Format } from "./file.ts";
import { PAGE } from "./page_asset.ts";

/** What may stand in a page: nothing from elsewhere, so that it says nothing to anyone either. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/** A trace as a page of its own: the events, one a line, and what shows them. */
export function pageFormat(): Format {
  return {
    begin: () =>
      [
        "<!doctype html>",
        '<html lang="en">',
        '<meta charset="utf-8">',
        `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`,
        '<meta name="viewport" content="width=device-width">',
        "<title>Trace: virtio for Deno</title>",
        `<style>${PAGE.style}</style>`,
        '<div id="page"></div>',
        '<script type="application/json" id="trace">',
        "",
      ].join("\n"),
    event: (event) => `${embedded(event)}\n`,
    end: (missing) =>
      `${
        embedded({ end: missing ?? null })
      }\n</script>\n<script type="module">${PAGE.script}</script>\n`,
  };
}

/** As JSON in which nothing ends the script. */
function embedded(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}
