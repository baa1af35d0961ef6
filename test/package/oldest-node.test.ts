import { globSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

/** What a child process of a test, an example or the bench runs as it is: Node strips its types and changes nothing else. */
const run = globSync("{src,test,scripts,bench}/**/*.ts", { exclude: (path) => path.endsWith(".test.ts") });

describe("sources that Node 22.22 runs as they are", () => {
  it.each(run.toSorted())("have no `using`, which it can't parse: %s", (path) => {
    const found = readFileSync(path, "utf8").match(/^\s*(?:await )?using \w+ =.*$|\((?:await )?using \w+ of /m);
    expect(found?.[0]).toBeUndefined();
  });
});
