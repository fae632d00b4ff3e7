/**
 * Build the client: ES modules and files for a plain `<script>`, in `dist/` and where Django's staticfiles finds them.
 *
 *     node build.mjs
 */

import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Where the Python package keeps what it serves. */
export const STATIC = here("../../src/fairway/static/fairway/");
export const DIST = here("./dist/");

const FILES = {
  "fairway.js": { entry: "src/index.ts", format: "esm" },
  "fairway.browser.js": { entry: "src/index.browser.ts", format: "iife" },
  "compat.js": { entry: "src/compat.ts", format: "esm" },
  "compat.browser.js": { entry: "src/compat.browser.ts", format: "iife" },
};

/** Build all in memory. Returns the text of each file, by its name. */
export async function built() {
  const files = {};
  for (const [name, { entry, ...options }] of Object.entries(FILES)) {
    const { outputFiles } = await build({
      ...options,
      entryPoints: [here(entry)],
      bundle: true,
      minify: true,
      target: "es2022",
      legalComments: "none",
      write: false,
    });
    files[name] = `/*! Fairway, MIT; built from clients/js */\n${outputFiles[0].text}`;
  }
  return files;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const folder of [DIST, STATIC]) {
    await mkdir(folder, { recursive: true });
    for (const [name, text] of Object.entries(await built())) await writeFile(folder + name, text);
  }
}
