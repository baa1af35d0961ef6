import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";

const script = "../../scripts/require-node.cjs";
const { refusal } = createRequire(import.meta.url)(script) as {
  refusal: (version: string) => string | undefined;
};

describe("the guard of the npm scripts", () => {
  it.each(["v20.20.2", "v22.21.9", "v18.0.0", "v8.17.0"])("refuses Node %s", (version) => {
    expect(refusal(version)).toContain(`needs Node 22.22 or newer and this is ${version}`);
  });

  it.each(["v22.22.0", "v22.30.1", "v24.0.0", "v100.1.0"])("lets Node %s pass", (version) => {
    expect(refusal(version)).toBeUndefined();
  });

  it("says what to do about it", () => {
    expect(refusal("v20.20.2")).toContain("`npm ci` puts Node 24 into node_modules");
  });

  it("exits with 1, and the sentence, under an old Node", () => {
    const pretend = `data:text/javascript,Object.defineProperty(process, "version", { value: "v20.0.0" })`;
    const ran = spawnSync(process.execPath, ["--import", pretend, "scripts/require-node.cjs"], { encoding: "utf8" });
    expect(ran.status).toBe(1);
    expect(ran.stderr).toContain("Omnibus needs Node 22.22 or newer and this is v20.0.0");
  });
});
