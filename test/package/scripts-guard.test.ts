import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

const manifest = JSON.parse(readFileSync("package.json", "utf8")) as {
  readonly scripts: Readonly<Record<string, string>>;
};

it.each(Object.entries(manifest.scripts))("npm run %s looks at the Node version first", (_name, command) => {
  expect(command).toMatch(/^node scripts\/require-node\.cjs && /);
});
