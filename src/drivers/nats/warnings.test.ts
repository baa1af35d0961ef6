import { describe, expect, it } from "vitest";
import { ServerVersion } from "./version.ts";
import { warnings } from "./warnings.ts";

const said = (version: string, clustered = false, copies?: number): readonly string[] =>
  warnings(new ServerVersion(version), clustered, copies).map(([text]) => text);

describe("a warning", () => {
  it.each(["2.10.0", "2.10.22", "v2.10.22", "2.10.22-RC.1"])("is given of %s, which may lose streams", (version) => {
    expect(said(version)).toEqual([expect.stringContaining("before 2.10.23")]);
    expect(warnings(new ServerVersion(version), false)[0]?.[1]).toEqual({ version });
  });

  it.each(["2.10.23", "2.10.29", "2.11.0", "2.15.2", "3.0.0"])("of its version is not given of %s", (version) => {
    expect(said(version)).toEqual([]);
  });

  it("is given in a cluster that has one copy of what the driver keeps, and only there", () => {
    const alone = [expect.stringMatching(/on one server of the cluster alone.*"replicas"/)];
    expect(said("2.15.2", true, 1)).toEqual(alone);
    expect(said("2.15.2", true)).toEqual(alone);
    expect(said("2.15.2", true, 3)).toEqual([]);
    expect(said("2.15.2", false, 1)).toEqual([]);
    expect(said("2.10.22", true, 1)).toHaveLength(2);
  });
});
